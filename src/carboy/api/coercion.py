"""Convert the texts of parameters, headers, cookies and form fields to the types that their schemas want."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from carboy.api.patterns import to_rust
from carboy.api.validators import compile_schema
from carboy.http_values import dig, parse_pointer

Reader = Callable[[Any], Any]

_ORDER = ("null", "boolean", "integer", "number", "string", "array", "object")
_COMBINED = frozenset({"$ref", "allOf", "anyOf", "oneOf", "nullable"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,3})?")
_FLAGS = {"true": True, "false": False}
_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def types_of(content: Any, schema: Any) -> tuple[str, ...]:
    """Return the JSON types that a schema allows, the narrowest first; empty when it allows all."""
    return _types(content, schema, {})


def reader(content: Any, schema: Any) -> Reader:
    """Make the function that converts untyped values (texts, lists and mappings of them) to what a schema wants.

    The function raises ValueError, with words for the client, when a text is of none of the types that are allowed.
    """
    return _make(content, schema, {})


def keyword_of(content: Any, schema: Any, keyword: str) -> Any:
    """Return the value of a keyword in a schema, or the first in its parts; None when it has none."""
    return next((part[keyword] for part in _whole(content, schema) if part.get(keyword) is not None), None)


def default_of(content: Any, schema: Any) -> Any:
    """Return the default of a value that comes as text, None without one; those of an object's properties make one.

    A default that is written as a client would write it is read likewise: `"10"` for an integer, `1.0` for a text.
    """
    default = _own_default(content, schema)
    if default is None and types_of(content, schema) == ("object",):
        below = {name: _own_default(content, one) for name, one in properties_of(content, schema).items()}
        return {name: one for name, one in below.items() if one is not None} or None
    return default


def _own_default(content: Any, schema: Any) -> Any:
    default, types = keyword_of(content, schema, "default"), types_of(content, schema)
    if type(default) is str and types and "string" not in types:
        with suppress(ValueError):
            return reader(content, schema)(default)
    is_scalar = type(default) in {bool, int, float}
    return json.dumps(default) if is_scalar and types in {("string",), ("null", "string")} else default


def properties_of(content: Any, schema: Any) -> dict[str, Any]:
    """Return the schemas of all properties that a schema or a part of it describes."""
    found: dict[str, Any] = {}
    for part in _whole(content, schema):
        properties = part.get("properties")
        for name, below in properties.items() if isinstance(properties, dict) else ():
            found[name] = below if name not in found or found[name] == below else {"allOf": [found[name], below]}
    return found


def other_members(content: Any, schema: Any) -> Callable[[str], Any]:
    """Return the function that finds the schema of a member which is no property, by its name; None without one.

    `patternProperties` come before `additionalProperties`.
    """
    patterned, rest = _patterned(content, schema), keyword_of(content, schema, "additionalProperties")
    return lambda name: next((below for matches, below in patterned if matches(name)), rest)


def _patterned(content: Any, schema: Any) -> list[tuple[Callable[[str], bool], Any]]:
    maps = [part["patternProperties"] for part in _whole(content, schema) if "patternProperties" in part]
    return [
        (compile_schema({"pattern": to_rust(pattern)}).is_valid, below)
        for patterns in maps
        for pattern, below in patterns.items()
    ]


def _whole(content: Any, schema: Any) -> Iterator[dict[str, Any]]:
    """Yield a schema and every part that applies to the same value, each once, the schema itself first."""
    seen: set[int] = set()
    pending = [schema]
    while pending:
        part = pending.pop()
        if not isinstance(part, dict) or id(part) in seen:
            continue
        seen.add(id(part))
        if not _is_reference(content, part):
            yield part
        pending += reversed([*_parts(content, part, "allOf"), *_parts(content, part, "anyOf", "oneOf")])


def _is_reference(content: Any, schema: dict[str, Any]) -> bool:
    """Return whether a schema is a reference and nothing else; OpenAPI 3.0 ignores what stands beside one."""
    return isinstance(schema.get("$ref"), str) and (len(schema) == 1 or str(content.get("openapi")).startswith("3.0."))


def _parts(content: Any, schema: dict[str, Any], *keywords: str) -> Iterator[Any]:
    reference = schema.get("$ref")
    if isinstance(reference, str) and "allOf" in keywords:
        with suppress(KeyError, ValueError):  # the name of a schema resource: only the validator knows it
            yield dig(content, parse_pointer(reference.removeprefix("#"), is_fragment=True))
        if _is_reference(content, schema):
            return
    for keyword in keywords:
        if isinstance(schema.get(keyword), list):
            yield from schema[keyword]


def _types(content: Any, schema: Any, known: dict[int, tuple[str, ...]]) -> tuple[str, ...]:
    """Find the types of a schema; a circle adds nothing to those that are known already."""
    if not isinstance(schema, dict):
        return ()
    declared = schema.get("type")
    if isinstance(declared, str) and schema.keys().isdisjoint(_COMBINED):
        return (declared,)
    if id(schema) in known:
        return known[id(schema)]
    known[id(schema)] = ()
    found: set[str] = set(_ORDER)
    if not _is_reference(content, schema):
        found = _own_types(schema)
        for keyword in ("oneOf", "anyOf"):
            branches = [_types(content, branch, known) for branch in _parts(content, schema, keyword)]
            if branches and all(branches):
                found = _common(found, {name for branch in branches for name in branch})
    for part in _parts(content, schema, "allOf"):
        found = _common(found, set(_types(content, part, known)) or found)
    if schema.get("nullable") is True and len(found) < len(_ORDER):
        found.add("null")
    known[id(schema)] = () if len(found) == len(_ORDER) else tuple(name for name in _ORDER if name in found)
    return known[id(schema)]


def _own_types(schema: dict[str, Any]) -> set[str]:
    declared = schema.get("type")
    if declared is not None:
        return {declared} if isinstance(declared, str) else set(declared)
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return {_JSON_TYPES.get(type(value), "null") for value in values}
    return set(_ORDER)


def _common(left: set[str], right: set[str]) -> set[str]:
    """Return the types of both sets; an integer is a number."""
    common = left & right
    for one, other in ((left - right, right - left), (right - left, left - right)):
        if "integer" in one and "number" in other:
            common.add("integer")
    return common


def _make(content: Any, given: Any, made: dict[int, tuple[Any, Reader]]) -> Reader:
    types = types_of(content, given)
    if not types:
        return _any
    if id(given) in made:
        return made[id(given)][1]
    whole: list[Reader] = []

    def later(value: Any) -> Any:
        return whole[0](value)

    made[id(given)] = given, later  # for circles; `given` is kept so that its id stays its own
    readers = [_READERS[name] for name in types if name in _READERS]
    if "array" in types:
        readers.append(_array(content, given, made))
    if "object" in types:
        readers.append(_object(content, given, made))
    whole.append(readers[0] if len(readers) == 1 else _first_of(readers, types))
    return whole[0]


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


def _array(content: Any, schema: Any, made: dict[int, tuple[Any, Reader]]) -> Reader:
    items = keyword_of(content, schema, "items")
    item = _make(content, items, made) if isinstance(items, dict) else _any
    delimiter = keyword_of(content, schema, "x-carboy-delimiter")

    def read(value: Any) -> list[Any]:
        if delimiter and type(value) is str:  # a list within a list, of Swagger 2.0
            value = value.split(delimiter) if value else []
        if type(value) is not list:
            raise ValueError("must be array")
        return [item(part) for part in value]

    return read


def _object(content: Any, schema: Any, made: dict[int, tuple[Any, Reader]]) -> Reader:
    readers = {name: _make(content, below, made) for name, below in properties_of(content, schema).items()}
    patterned = [(matches, _make(content, below, made)) for matches, below in _patterned(content, schema)]
    rest = keyword_of(content, schema, "additionalProperties")
    other = _make(content, rest, made) if isinstance(rest, dict) else _any

    def find(name: str) -> Reader:
        return readers.get(name) or next((one for matches, one in patterned if matches(name)), other)

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError("must be object")  # the sender's fault, as any other
        return {name: find(name)(part) for name, part in value.items()}

    return read
