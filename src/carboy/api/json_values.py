"""Write what an operation returns as JSON: by orjson, and what it does not write in a second pass."""

import decimal
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import orjson

from carboy.api import coercion as typed

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_SERIALIZE_NUMPY
_MIN, _MAX = -(2**63), 2**64 - 1


def render_json(value: Any, content: Any = None, schema: Any = None) -> bytes:
    """Return a value as JSON.

    A `Decimal` is a number with all its digits, and text where the schema wants text. Dataclasses, structs of msgspec,
    enumerations, UUIDs, dates, sets and other collections, and values of NumPy have the form that is usual for them.
    NaN and infinities are null.

    Args:
        value: what is written.
        content: the document that the schema is in.
        schema: of the value; None without one.

    Raises:
        TypeError: a value has no form in JSON.
    """
    has_decimals = False

    def plain(part: Any) -> Any:
        nonlocal has_decimals
        has_decimals = has_decimals or isinstance(part, decimal.Decimal)
        return _plain(part)

    try:
        data = orjson.dumps(value, default=plain, option=_OPTIONS)
    except orjson.JSONEncodeError:
        value = _widen(value)
        data = orjson.dumps(value, default=plain, option=_OPTIONS)
    if has_decimals and schema is not None:
        data = orjson.dumps(_with_texts(content, schema, value), default=_plain, option=_OPTIONS)
    return data


def render_lines(values: Iterable[Any], start: bytes = b"") -> Iterator[bytes]:
    """Yield each value as one line of JSON; text and bytes are passed on as they are.

    Args:
        values: read one by one, as the lines are sent; closed at the end, where they can be.
        start: what is before each line, such as the record separator of a JSON text sequence (RFC 7464).
    """
    try:
        for value in values:
            if isinstance(value, str | bytes):
                yield value.encode() if isinstance(value, str) else value
            else:
                yield start + render_json(value) + b"\n"
    finally:
        close = getattr(values, "close", None)
        if close is not None:
            close()


def _plain(value: Any) -> Any:
    """Return a value in a form that orjson writes."""
    if isinstance(value, decimal.Decimal):
        return orjson.Fragment(str(value)) if value.is_finite() else None  # all its digits
    if hasattr(value, "isoformat"):
        return value.isoformat()
    opened = _open(value)
    if opened is value:
        raise TypeError(f"`{type(value).__name__}` has no form in JSON")
    return opened


def _open(value: Any) -> Any:
    """Return the members of what has some, as a dictionary or a list; anything else as it is."""
    if isinstance(value, str | bytes | bytearray | memoryview | type):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Collection):  # no iterator: it could be read once only
        return list(value)
    if is_dataclass(value):
        return {one.name: getattr(value, one.name) for one in fields(value) if not one.name.startswith("_")}
    if hasattr(type(value), "__struct_fields__"):
        import msgspec

        return msgspec.to_builtins(value, builtin_types=(decimal.Decimal,))
    return value


def _widen(value: Any) -> Any:
    """Copy a value with what orjson refuses in a form of its own: integers beyond 64 bits, lone surrogates."""
    if isinstance(value, str):
        return value if _is_utf8(value) else orjson.Fragment(json.dumps(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return value if _MIN <= value <= _MAX else orjson.Fragment(str(int(value)))
    opened = _open(value)
    if isinstance(opened, dict):
        return {_key(key): _widen(part) for key, part in opened.items()}
    return [_widen(part) for part in opened] if isinstance(opened, list) else opened


def _key(key: Any) -> Any:
    if isinstance(key, str):
        return key if _is_utf8(key) else key.encode("utf-8", "replace").decode()
    is_known = isinstance(key, bool) or not isinstance(key, int | decimal.Decimal)
    return key if is_known else str(key)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _with_texts(content: Any, schema: Any, value: Any) -> Any:
    """Copy a value with each `Decimal` as text where its schema wants text and no number."""
    if isinstance(value, decimal.Decimal):
        types = typed.types_of(content, schema)
        return str(value) if "string" in types and not {"number", "integer"} & set(types) else value
    opened = _open(value)
    if isinstance(opened, dict):
        known, rest = typed.properties_of(content, schema), typed.keyword_of(content, schema, "additionalProperties")
        return {name: _with_texts(content, known.get(name, rest), part) for name, part in opened.items()}
    if isinstance(opened, list):
        items = typed.keyword_of(content, schema, "items")
        return [_with_texts(content, items, part) for part in opened]
    return opened
