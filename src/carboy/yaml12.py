"""What a plain scalar of YAML 1.2 means.

Source: YAML 1.2.2, section 10.3.2 (core schema).
"""

import math
import re

__all__ = ["scalar_of"]

_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{sign + word: math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BASES = {"0o": 8, "0x": 16}
_MAX_DIGITS = 4300  # what Python reads without a setting of its own


def scalar_of(text: str) -> object:
    """Return what a plain (unquoted) scalar means: None, a boolean, a number, or the text itself.

    Dates, `yes`, `no`, `on`, `off`, `1_000` and `0b1` are text. So is an integer of more than 4,300 digits.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        base = _BASES.get(text[:2], 10)
        return text if base == 10 and len(text) > _MAX_DIGITS else int(text[2:] if base != 10 else text, base)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text
