"""Read the text of a document, YAML or JSON, and say on which line a value stands.

YAML is read as the OpenAPI specification wants it: keys are strings, and scalars follow YAML 1.2, so that `no`, `on`
and `2024-01-31` stay text.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from carboy.api.strict_json import parse_json
from carboy.extras import extra
from carboy.problems import Problem

__all__ = ["UnreadableText", "line_of", "read_text"]

_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value"))
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}


class UnreadableText(ValueError):
    """The text is neither YAML nor JSON, or says a key twice; `line` counts from 1."""

    def __init__(self, detail: str, line: int) -> None:
        super().__init__(detail)
        self.line = line


def read_text(data: bytes) -> Any:
    """Return the value that a YAML or JSON text holds.

    Raises:
        UnreadableText: it cannot be read; the line is where.
    """
    if data.lstrip()[:1] == b"{":
        try:
            return parse_json(data, max_depth=512)
        except Problem as problem:
            if _is_json(data):
                raise UnreadableText(problem.detail, 1) from problem
    return _to_value(_compose(data), {}, ())


def line_of(data: bytes, pointer: Sequence[str]) -> int:
    """Return the line (from 1) of the value that a pointer names, or of its nearest ancestor that is there."""
    try:
        node = _compose(data)
    except UnreadableText as error:
        return error.line
    for part in pointer:
        below = _child(node, part)
        if below is None:
            break
        node = below
    return 1 if node is None else int(node.start_mark.line) + 1


def _is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def _compose(data: bytes) -> Any:
    with extra("api"):
        import yaml
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.compose(data, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UnreadableText(error.problem or "is not YAML", mark.line + 1 if mark else 1) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnreadableText("is not YAML in UTF-8", 1) from error


def _child(node: Any, part: str) -> Any:
    if node is None or node.id == "scalar":
        return None
    if node.id == "sequence":
        return node.value[int(part)] if part.isdecimal() and int(part) < len(node.value) else None
    return next((value for key, value in node.value if key.value == part), None)


def _to_value(node: Any, seen: dict[int, Any], above: tuple[int, ...]) -> Any:
    """Turn a node into a value; one that an alias names again is the same object, and must not hold itself."""
    if node is None:
        return None
    if node.id == "scalar":
        return _scalar(node)
    identity = id(node)
    if identity in above:
        raise UnreadableText("an alias holds itself", node.start_mark.line + 1)
    if identity not in seen:
        build: Callable[..., Any] = _mapping if node.id == "mapping" else _sequence
        seen[identity] = build(node, seen, (*above, identity))
    return seen[identity]


def _sequence(node: Any, seen: dict[int, Any], above: tuple[int, ...]) -> list[Any]:
    return [_to_value(item, seen, above) for item in node.value]


def _mapping(node: Any, seen: dict[int, Any], above: tuple[int, ...]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key, value in node.value:
        if key.id != "scalar":
            raise UnreadableText("a key must be a string", key.start_mark.line + 1)
        if key.tag == _TAG + "merge":
            parts = value.value if value.id == "sequence" else [value]
            for part in reversed(parts):
                merged.update(_to_value(part, seen, above))
        elif key.value in result:
            raise UnreadableText(f"the key `{key.value}` stands twice", key.start_mark.line + 1)
        else:
            result[key.value] = _to_value(value, seen, above)
    return {**merged, **result} if merged else result


def _scalar(node: Any) -> Any:
    if node.tag not in _PLAIN_TAGS:
        raise UnreadableText(f"the tag `{node.tag}` is not of JSON", node.start_mark.line + 1)
    text: str = node.value
    if node.style:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if text[:2] in {"0x", "0o"}:
        return int(text, 0)
    return text
