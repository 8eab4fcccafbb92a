"""What a scalar of YAML 1.2 means, and how a text becomes one that reads back the same."""

import json
import re

from carboy import yaml12

_LOOSE = re.compile(
    r"[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?)"
)
_BASES = {"0b": 2, "0o": 8, "0x": 16}


def scalar_of(text: str) -> object:
    """Return what a plain scalar means in YAML 1.2 and to the library of Fleece: `1_000`, `0b1` are numbers too."""
    value = yaml12.scalar_of(text)
    if not isinstance(value, str) or _LOOSE.fullmatch(text) is None:
        return value
    digits = text.replace("_", "")
    unsigned = digits.lstrip("+-")
    base = _BASES.get(unsigned[:2])
    if base is None:
        plain = yaml12.scalar_of(digits)
        return text if isinstance(plain, str) else plain
    number = int(unsigned[2:], base) if len(unsigned) > len("0x") else None  # `0x_`
    return text if number is None else -number if digits[0] == "-" else number


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
