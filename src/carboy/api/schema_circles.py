"""Find schemas that refer to one another, for the same value, in more ways than a validator can follow.

A parent that lists its children, each of which names its parent, is a circle that costs nothing. Where each of many
schemas lists all the others, a validator follows every order of them, which has no end.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_IN_PLACE = ("$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
_PREFIX = "#/components/schemas/"
_MAX_PATHS = 5000


def entangled(schemas: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the names of the components of each circle that a validator cannot follow, in the document's order."""
    edges = {name: [other for other in _named(schema) if other in schemas] for name, schema in schemas.items()}
    for circle in _circles(edges):
        if _paths(edges, circle) > _MAX_PATHS:
            yield [name for name in schemas if name in circle]


def _named(schema: Any) -> Iterator[str]:
    """Yield the components that a schema applies to its own value, as often as it does."""
    pending = [schema]
    while pending:
        node = pending.pop()
        for key in _IN_PLACE if isinstance(node, dict) else ():
            value = node.get(key)
            if key == "$ref" and isinstance(value, str):
                if value.startswith(_PREFIX):
                    yield value.removeprefix(_PREFIX).replace("~1", "/").replace("~0", "~")
            elif isinstance(value, list):
                pending += value
            elif isinstance(value, dict):
                pending += value.values() if key == "dependentSchemas" else [value]


def _circles(edges: Mapping[str, list[str]]) -> Iterator[set[str]]:
    """Yield the strongly connected components of more than one node. Source: R. Tarjan, 1972, without recursion."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for root in edges:
        work = [(root, iter(edges[root]))] if root not in order else []
        while work:
            name, rest = work[-1]
            if name not in order:
                order[name] = low[name] = len(order)
                stack.append(name)
                on_stack.add(name)
            below = next((other for other in rest if other not in order or other in on_stack), None)
            if below is not None and below not in order:
                work.append((below, iter(edges[below])))
            elif below is not None:
                low[name] = min(low[name], order[below])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == order[name]:
                    circle = {name}
                    while (member := stack.pop()) != name:
                        circle.add(member)
                    on_stack -= circle
                    if len(circle) > 1:
                        yield circle


def _paths(edges: Mapping[str, list[str]], circle: set[str]) -> int:
    """Count the ways through a circle from one of its nodes on which none occurs twice; it stops beyond the limit."""
    start = min(circle)
    count, path, work = 0, [start], [iter(edges[start])]
    while work and count <= _MAX_PATHS:
        other = next(work[-1], None)
        if other is None:
            work.pop()
            path.pop()
        elif other in circle and other not in path:
            count += 1
            path.append(other)
            work.append(iter(edges[other]))
    return count
