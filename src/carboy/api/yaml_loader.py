"""Read the text of a document, YAML or JSON, and find the lines of its values.

YAML is read as the OpenAPI specification wants it: keys are strings, and scalars follow YAML 1.2, so that `no`, `on`
and `2024-01-31` stay text.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, time
from decimal import Decimal
from typing import Any

from carboy.extras import extra
from carboy.http_values import render_pointer
from carboy.problems import Problem
from carboy.strict_json import parse_json
from carboy.yaml12 import PLAIN, TAG, TooDeep, make_loader, scalar_of

MAX_DEPTH = 128
_MAX_NODES = 5_000_000  # the description of Microsoft Graph, 35 MB, has less than half
_TAGGED: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "null": (type(None),),
}


class Unreadable(ValueError):
    """The text is neither YAML nor JSON, or holds what a document cannot; `line` counts from 1, 0 is unknown."""

    def __init__(self, detail: str, line: int = 0) -> None:
        super().__init__(detail)
        self.line = line


def read_text(data: bytes) -> Any:
    """Return the value that a YAML or JSON text holds.

    Raises:
        Unreadable: it cannot be read; the line is where.
    """
    if data.lstrip()[:1] in {b"{", b"["}:
        with suppress(Problem):
            return parse_json(data, MAX_DEPTH)
    return _Values().of(compose(data))  # also JSON that is refused: YAML knows the line


def compose(data: bytes) -> Any:
    """Return the tree of YAML nodes of a text, None for an empty one.

    Raises:
        Unreadable: it is not YAML in UTF-8, or nested too deeply.
    """
    with extra("api"):
        import yaml
    try:
        return yaml.compose(data, Loader=make_loader(MAX_DEPTH))
    except TooDeep as error:
        raise Unreadable(f"is nested deeper than {MAX_DEPTH} levels", error.line) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = (error.problem or "is not YAML").removeprefix("but ")  # of "expected …, but found …"
        raise Unreadable(words, mark.line + 1 if mark else 1) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Unreadable("is not YAML in UTF-8", 1) from error


def nodes_below(node: Any) -> dict[str, Any]:
    """Return the nodes that a YAML node holds, by their key or index."""
    if node.id == "mapping":
        return {key.value: value for key, value in reversed(node.value) if key.id == "scalar"}
    return {str(index): item for index, item in enumerate(node.value)} if node.id == "sequence" else {}


def plain_value(value: Any) -> Any:
    """Return a value of Python, such as `yaml.safe_load` makes, as JSON has it: keys and dates become text.

    Raises:
        Unreadable: it holds itself, is nested too deeply, or is of a type that JSON does not have.
    """
    return _plain(value, (), set())


def _plain(value: Any, at: tuple[str, ...], above: set[int]) -> Any:
    if value is None or type(value) in {str, bool, int}:
        return value
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            raise Unreadable(f"`{value}` is not a number of JSON (at {render_pointer(at)})")
        return float(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if not isinstance(value, Mapping | Sequence) or isinstance(value, bytes | bytearray):
        raise Unreadable(f"a `{type(value).__name__}` is not a value of JSON (at {render_pointer(at) or 'the root'})")
    if id(value) in above:
        raise Unreadable(f"a value holds itself (at {render_pointer(at)})")
    if len(above) > MAX_DEPTH:
        raise Unreadable(f"is nested deeper than {MAX_DEPTH} levels (at {render_pointer(at[:8])}…)")
    above.add(id(value))
    if isinstance(value, Mapping):
        named = [(_key_text(key), item) for key, item in value.items()]
        result: Any = {name: _plain(item, (*at, name), above) for name, item in named}
        if len(result) < len(named):
            raise Unreadable(f"two keys are the same text (at {render_pointer(at) or 'the root'})")
    else:
        result = [_plain(item, (*at, str(index)), above) for index, item in enumerate(value)]
    above.discard(id(value))
    return result


def _key_text(key: Any) -> str:
    """Return the text that a key was written as: `200`, `true`, `null`."""
    if isinstance(key, str):
        return str(key)
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return key.isoformat() if isinstance(key, date) else str(key)


class _Values:
    """Turns YAML nodes into values; a node that an alias names again becomes the same object."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Any, int]] = {}
        self._above: set[int] = set()
        self._size = 0

    def of(self, node: Any) -> Any:
        """Return the value of a node.

        Raises:
            Unreadable: it is not a value of JSON, or too large once its aliases are followed.
        """
        if node is None:
            return None
        self._size += 1
        if node.id == "scalar":
            return _scalar(node)
        identity, line = id(node), node.start_mark.line + 1
        if identity in self._above:
            raise Unreadable("an alias holds itself", line)
        if len(self._above) >= MAX_DEPTH:
            raise Unreadable(f"is nested deeper than {MAX_DEPTH} levels", line)
        if identity in self._seen:
            value, size = self._seen[identity]
            self._size += size
        else:
            self._above.add(identity)
            before = self._size
            value = self._mapping(node) if node.id == "mapping" else [self.of(item) for item in node.value]
            self._seen[identity] = value, self._size - before
            self._above.discard(identity)
        if self._size > _MAX_NODES:
            raise Unreadable(f"holds more than {_MAX_NODES:,} values once its aliases are followed", line)
        return value

    def _mapping(self, node: Any) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.id != "scalar":
                raise Unreadable("a key must be a string", line)
            if key.value == "<<" and key.tag in {PLAIN, TAG + "merge"}:
                for part in reversed(value.value if value.id == "sequence" else [value]):
                    found = self.of(part)
                    if type(found) is not dict:
                        raise Unreadable("`<<` merges mappings only", line)
                    merged.update(found)
            elif key.value in result:
                raise Unreadable(f"the key `{key.value}` stands twice", line)
            else:
                result[key.value] = self.of(value)
        return {**merged, **result} if merged else result


def _scalar(node: Any) -> Any:
    text, tag = node.value, node.tag.removeprefix(TAG)
    if tag in {"str", "timestamp"}:
        return text
    value = scalar_of(text)
    if tag != PLAIN and not (tag in _TAGGED and isinstance(value, _TAGGED[tag])):
        raise Unreadable(f"the tag `{node.tag}` is not of JSON, or not of this value", node.start_mark.line + 1)
    if isinstance(value, float) and not math.isfinite(value):
        raise Unreadable(f"`{text}` is not a number of JSON", node.start_mark.line + 1)
    return value
