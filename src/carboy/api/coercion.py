"""Text to typed values, as a schema wants them: parameters, headers, cookies and form fields are all text at first."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from carboy.api.walk import deref

__all__ = ["Reader", "keyword_of", "properties_of", "reader", "types_of"]

Reader = Callable[[Any], Any]

_ORDER = ("null", "boolean", "integer", "number", "string", "array", "object")
_COMBINED = frozenset({"allOf", "anyOf", "oneOf", "nullable"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,3})?")
_FLAGS = {"true": True, "false": False}
_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def types_of(content: Any, schema: Any, depth: int = 0) -> tuple[str, ...]:
    """Return the JSON types that a schema lets through, most particular first; empty when it lets any."""
    schema = deref(content, schema)
    if not isinstance(schema, dict) or depth > 16:
        return ()
    declared = schema.get("type")
    if isinstance(declared, str) and schema.keys().isdisjoint(_COMBINED):
        return (declared,)
    found: set[str] = set(_ORDER)
    if declared is not None:
        found &= {declared} if isinstance(declared, str) else set(declared)
    elif "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        found &= {_JSON_TYPES.get(type(value), "null") for value in values}
    for keyword in ("oneOf", "anyOf"):
        branches = [types_of(content, branch, depth + 1) for branch in schema.get(keyword, ())]
        if branches and all(branches):
            found &= {name for branch in branches for name in branch}
    for part in schema.get("allOf", ()):
        found &= set(types_of(content, part, depth + 1)) or found
    if schema.get("nullable") is True and len(found) < len(_ORDER):
        found.add("null")
    return () if len(found) == len(_ORDER) else tuple(name for name in _ORDER if name in found)


def reader(content: Any, schema: Any, depth: int = 0) -> Reader:
    """Make the function that turns untyped values (texts, lists and mappings of them) into what a schema wants.

    The function raises ValueError, with words for the sender, when a text cannot be of any type that is allowed.
    """
    types = types_of(content, schema)
    if not types or depth > 16:
        return _any
    readers = [_READERS[name] for name in types if name in _READERS]
    if "array" in types:
        readers.append(_array(content, schema, depth))
    if "object" in types:
        readers.append(_object(content, schema, depth))
    return readers[0] if len(readers) == 1 else _first_of(readers, types)


def keyword_of(content: Any, schema: Any, keyword: str) -> Any:
    """Return what a schema, or a part of its `allOf`, `anyOf` or `oneOf`, says under a keyword; None for nothing."""
    schema = deref(content, schema)
    if not isinstance(schema, dict):
        return None
    if keyword in schema:
        return schema[keyword]
    for part in (part for name in ("allOf", "anyOf", "oneOf") for part in schema.get(name, ())):
        found = keyword_of(content, part, keyword)
        if found is not None:
            return found
    return None


def properties_of(content: Any, schema: Any, depth: int = 0) -> dict[str, Any]:
    """Return every property that a schema or a part of it describes."""
    schema = deref(content, schema)
    if not isinstance(schema, dict) or depth > 16:
        return {}
    found: dict[str, Any] = {}
    for part in (part for name in ("allOf", "anyOf", "oneOf") for part in schema.get(name, ())):
        found |= properties_of(content, part, depth + 1)
    found |= schema.get("properties", {})
    return found


def _any(value: Any) -> Any:
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("must be string")
    return value


def _integer(value: Any) -> int:
    if type(value) is not str or _INTEGER.fullmatch(value) is None:
        raise ValueError("must be integer")
    return int(value)


def _number(value: Any) -> float:
    if type(value) is not str or _NUMBER.fullmatch(value) is None:
        raise ValueError("must be number")
    number = float(value)
    if number in {float("inf"), float("-inf")}:
        raise ValueError("must be number")
    return number


def _boolean(value: Any) -> bool:
    found = _FLAGS.get(value.lower()) if type(value) is str else None
    if found is None:
        raise ValueError("must be boolean")
    return found


def _null(value: Any) -> None:
    if type(value) is not str or value.strip() not in {"null", "None"}:
        raise ValueError("must be null")


_READERS: dict[str, Reader] = {
    "null": _null,
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "string": _text,
}


def _first_of(readers: list[Reader], types: tuple[str, ...]) -> Reader:
    words = "must be " + " or ".join(types)

    def read(value: Any) -> Any:
        for one in readers:
            try:
                return one(value)
            except ValueError:
                continue
        raise ValueError(words)

    return read


def _array(content: Any, schema: Any, depth: int) -> Reader:
    item = reader(content, keyword_of(content, schema, "items") or {}, depth + 1)

    def read(value: Any) -> list[Any]:
        if type(value) is not list:
            raise ValueError("must be array")
        return [item(part) for part in value]

    return read


def _object(content: Any, schema: Any, depth: int) -> Reader:
    readers = {name: reader(content, below, depth + 1) for name, below in properties_of(content, schema).items()}
    rest = keyword_of(content, schema, "additionalProperties")
    other = reader(content, rest, depth + 1) if isinstance(rest, dict) else _any

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError("must be object")  # the sender's fault, as any other
        return {name: readers.get(name, other)(part) for name, part in value.items()}

    return read
