"""What a scalar of YAML 1.2 means, and how a text becomes one that reads back the same."""

import json
import math
import re

__all__ = ["render_scalar", "scalar_of"]

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_FLOATS = {".inf": math.inf, ".Inf": math.inf, ".INF": math.inf, ".nan": math.nan, ".NaN": math.nan, ".NAN": math.nan}
_NUMERIC_START = frozenset("-+.0123456789")
_INT = re.compile(r"[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*(\.[0-9_]*([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)|\.[0-9][0-9_]*([eE][-+][0-9]+)?)")


def scalar_of(text: str) -> object:
    """Return what a plain (unquoted) scalar means in YAML 1.2; dates are text, as in JSON."""
    if text in _NULLS:
        return None
    if text[0] in _NUMERIC_START:
        return _number_of(text)
    return _BOOLS.get(text, text)


def _number_of(text: str) -> object:
    unsigned = text.lstrip("+-")
    sign = -1 if text[0] == "-" else 1
    if unsigned in _FLOATS and len(text) - len(unsigned) <= 1:
        return sign * _FLOATS[unsigned]
    try:
        if _INT.fullmatch(text):
            digits = unsigned.replace("_", "").lower()
            base = {"0b": 2, "0o": 8, "0x": 16}.get(digits[:2], 10)
            return sign * int(digits[2:] if base != 10 else digits, base)
        if _FLOAT.fullmatch(text):
            return float(text.replace("_", ""))
    except ValueError:  # `0x_`, or a number with more digits than Python reads
        return text
    return text


def render_scalar(value: str, *, indent: int | None) -> str:
    """Return a text as a YAML scalar that reads back the same.

    Args:
        value: the text.
        indent: the column of the key before it, where a block may follow; None inside `{}` or `[]`.
    """
    if indent is not None and "\n" in value.rstrip("\n") and _fits_block(value):
        body = value.rstrip("\n")
        extra_lines = len(value) - len(body)
        mark = "|-" if extra_lines == 0 else "|" if extra_lines == 1 else "|+"
        pad = " " * (indent + 2)
        lines = "\n".join(pad + line if line else "" for line in body.split("\n"))
        return f"{mark}\n{lines}" + "\n" * max(extra_lines - 1, 0)
    if indent is not None and _PLAIN_SAFE.fullmatch(value) and scalar_of(value) == value:
        return value
    return _double_quoted(value)


_PLAIN_SAFE = re.compile(
    r"(?::(?=\S)|[A-Za-z0-9_/.+])(?:[^\s:#\x00-\x1f\x7f-\x9f\ufeff\u2028\u2029]|:(?=[^\s])| (?=[^\s#]))*"
)


def _fits_block(value: str) -> bool:
    first = value.split("\n", 1)[0]
    return (
        bool(first)
        and first[0] != " "
        and not re.search(
            r"[^\n\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]|[\u2028\u2029]", value
        )
    )


def _double_quoted(value: str) -> str:
    quoted = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[\x7f-\x9f\ufeff\ufffe\uffff\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", quoted)
