"""Parse JSON strictly: UTF-8, no duplicate keys, no NaN, bounded depth.

Nothing is walked in Python while the text is well: duplicate keys are found by counting colons before and after.
"""

import json
from codecs import BOM_UTF8
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson

from carboy.errors import Fault
from carboy.nesting import is_deeper
from carboy.problems import Problem

__all__ = ["parse_json"]

_DIGITS = bytes(ord("0") if byte in b"0123456789" else 0 for byte in range(256))
_LONG_NUMBER = b"0" * 19


def parse_json(data: bytes, max_depth: int = 64, *, exact_numbers: bool = False) -> Any:
    """Return the value of a JSON text.

    Integers have all their digits, and a byte order mark is skipped. Keys that stand twice in one object, NaN,
    Infinity, numbers too large for a double, lone surrogates and anything that is not UTF-8 are refused.

    Args:
        data: the text, in UTF-8.
        max_depth: how many arrays and objects may stand one in another.
        exact_numbers: numbers with a fraction or an exponent come as `msgspec.Raw`, with all their digits.

    Raises:
        Problem: 400, the text is not such JSON.

    Source: RFC 8259, section 8.1 for the mark; RFC 7493 (I-JSON), section 2.
    """
    if is_deeper(data, max_depth):
        raise Problem(400, f"the body is not JSON, or is nested deeper than {max_depth} levels")
    read, write = _exact() if exact_numbers else (orjson.loads, orjson.dumps)
    try:
        value = read(data)
    except ValueError as error:  # JSONDecodeError, DecodeError and UnicodeDecodeError are
        if data.startswith(BOM_UTF8) and not data.startswith(BOM_UTF8 * 2):
            return parse_json(data[len(BOM_UTF8) :], max_depth, exact_numbers=exact_numbers)
        raise Problem(400, _reason(data, str(error))) from error
    # A key that stands twice is kept once: its colon is gone when the value is written again. An escaped colon
    # (\u003a) would be written as itself, so that a text with such escapes is read the slow way.
    if b"\\u003" in data or data.count(b":") != write(value).count(b":"):
        _refuse_duplicates(data)
    if not exact_numbers and _LONG_NUMBER in data.translate(_DIGITS):
        return json.loads(data)  # orjson makes a float of an integer beyond 64 bits
    return value


@cache
def _exact() -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
    import msgspec

    return msgspec.json.Decoder(float_hook=lambda text: msgspec.Raw(text.encode())).decode, msgspec.json.encode


def _reason(data: bytes, said: str) -> str:
    if not data.strip():
        return "the body is empty"
    try:
        data.decode()
    except UnicodeDecodeError as fault:
        return f"the body is not UTF-8: byte {fault.start}"
    return f"the body is not JSON: {said}"


def _refuse_duplicates(data: bytes) -> None:
    twice: list[str] = []

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                twice.append(key)
            result[key] = value
        return result

    json.loads(data, object_pairs_hook=build)
    if twice:
        names = sorted(set(twice))
        faults = [
            Fault("", f"the key {json.dumps(name, ensure_ascii=False)} stands twice in one object") for name in names
        ]
        raise Problem(400, "the body holds a key twice", faults=faults)
