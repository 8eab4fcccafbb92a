"""What stands where in a document: the one table that every walk over it goes by, and JSON pointers.

Source: OpenAPI 3.0.4 and 3.1.1, Swagger 2.0, JSON Schema 2020-12.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from carboy.http_values import dig, parse_pointer

PLACEHOLDER = re.compile(r"\{([^{}/]+)\}")
"""A parameter in the template of a path."""


def path_names(path: str) -> list[str]:
    """Return the names of a path's parameters: `{name}`, or `{+name}`, whose value may hold slashes.

    Source: RFC 6570, section 3.2.3 (reserved expansion), which the documents of Google's APIs use.
    """
    return [name.removeprefix("+") for name in PLACEHOLDER.findall(path)]


Kind = str
Pointer = tuple[str, ...]
Many = Literal["one", "list", "map"]

METHODS = (
    "head",
    "get",
    "put",
    "post",
    "delete",
    "options",
    "patch",
    "trace",
    "query",
)  # HEAD before GET, which has it

_OPERATIONS: dict[str, tuple[Many, Kind]] = dict.fromkeys(METHODS, ("one", "operation"))
_SCHEMAS_IN_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_SCHEMAS_IN_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SCHEMAS = (
    *("items", "additionalItems", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema"),
)
_VALUE: dict[str, tuple[Many, Kind]] = {
    "schema": ("one", "schema"),
    "items": ("one", "schema"),
    "content": ("map", "mediaType"),
    "examples": ("map", "example"),
}
_TABLE: dict[Kind, dict[str, tuple[Many, Kind]]] = {
    "document": {
        "paths": ("map", "pathItem"),
        "webhooks": ("map", "pathItem"),
        "components": ("one", "components"),
        "definitions": ("map", "schema"),
        "parameters": ("map", "parameter"),
        "responses": ("map", "response"),
    },
    "components": {
        "schemas": ("map", "schema"),
        "responses": ("map", "response"),
        "parameters": ("map", "parameter"),
        "examples": ("map", "example"),
        "requestBodies": ("map", "requestBody"),
        "headers": ("map", "header"),
        "securitySchemes": ("map", "securityScheme"),
        "links": ("map", "link"),
        "callbacks": ("map", "callback"),
        "pathItems": ("map", "pathItem"),
        "mediaTypes": ("map", "mediaType"),
    },
    "pathItem": {
        "parameters": ("list", "parameter"),
        **_OPERATIONS,
        "additionalOperations": ("map", "operation"),
    },
    "operation": {
        "parameters": ("list", "parameter"),
        "requestBody": ("one", "requestBody"),
        "responses": ("map", "response"),
        "callbacks": ("map", "callback"),
    },
    "callback": {"*": ("one", "pathItem")},
    "parameter": _VALUE,
    "header": _VALUE,
    "requestBody": {"content": ("map", "mediaType")},
    "response": {
        "schema": ("one", "schema"),
        "headers": ("map", "header"),
        "content": ("map", "mediaType"),
        "links": ("map", "link"),
    },
    "mediaType": {
        "schema": ("one", "schema"),
        "itemSchema": ("one", "schema"),
        "encoding": ("map", "encoding"),
        "examples": ("map", "example"),
    },
    "encoding": {"headers": ("map", "header")},
    "schema": {
        **dict.fromkeys(_SCHEMAS_IN_MAPS, ("map", "schema")),
        **dict.fromkeys(_SCHEMAS_IN_LISTS, ("list", "schema")),
        **dict.fromkeys(_SCHEMAS, ("one", "schema")),
    },
}
_EXTENDED = frozenset({"pathItem", "response"})  # their maps may hold extensions of the specification
_SECTIONS = {
    kind: section for section, (_, kind) in _TABLE["components"].items() if kind not in {"pathItem", "mediaType"}
}
_SECTIONS_2 = {"schema": "definitions", "response": "responses", "parameter": "parameters"}


def section_of(kind: Kind, *, is_swagger_2: bool) -> tuple[str, ...] | None:
    """Return where a document keeps shared things of a kind, such as `("components", "schemas")`; None for nowhere."""
    if is_swagger_2:
        return (_SECTIONS_2[kind],) if kind in _SECTIONS_2 else None
    return ("components", _SECTIONS[kind]) if kind in _SECTIONS else None


def map_children(kind: Kind, node: Mapping[str, Any], change: Callable[[Pointer, Kind, Any], Any]) -> dict[str, Any]:
    """Copy a node, with each part that the table knows replaced by what `change` makes of it, in linear time."""
    result = dict(node)
    for key, many, below in _parts(kind, node):
        value = node[key]
        if many == "map" and isinstance(value, dict):
            result[key] = {
                name: item if below in _EXTENDED and name.startswith("x-") else change((key, name), below, item)
                for name, item in value.items()
            }
        elif isinstance(value, list):
            result[key] = [change((key, str(index)), below, item) for index, item in enumerate(value)]
        elif many == "one":
            result[key] = change((key,), below, value)
    return result


def operations_of(item: Mapping[str, Any]) -> Iterator[tuple[Pointer, str, Any]]:
    """Yield the pointer below a path item, the method and the operation, HEAD before GET."""
    for method in METHODS:
        if method in item:
            yield (method,), method, item[method]
    for method, node in (item.get("additionalOperations") or {}).items():
        yield ("additionalOperations", method), method, node


def _parts(kind: Kind, node: Mapping[str, Any]) -> Iterator[tuple[str, Many, Kind]]:
    table = _TABLE.get(kind, {})
    anything = table.get("*")
    for key in node:
        found = table.get(key) or (anything if not key.startswith("x-") else None)
        if found is not None:
            yield key, *found


def walk(kind: Kind, node: Any, pointer: Pointer = ()) -> Iterator[tuple[Kind, Pointer, dict[str, Any]]]:
    """Yield every object of a document with its kind and pointer, from the outside in; references are not followed."""
    if not isinstance(node, dict):
        return
    yield kind, pointer, node
    parts: list[tuple[Pointer, Kind, Any]] = []
    map_children(kind, node, lambda *part: parts.append(part))
    for below, kind_below, value in parts:
        yield from walk(kind_below, value, pointer + below)


def deref(content: Any, node: Any) -> Any:
    """Return what a node stands for, following its references inside the document.

    Raises:
        KeyError: a reference names nothing, or itself.
    """
    seen: set[str] = set()
    while isinstance(node, dict) and isinstance(node.get("$ref"), str):
        reference = node["$ref"]
        if reference in seen or not reference.startswith("#"):
            raise KeyError(reference)
        seen.add(reference)
        node = dig(content, parse_pointer(reference[1:], is_fragment=True))
    return node
