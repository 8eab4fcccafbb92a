"""What a plain scalar of YAML 1.2 means, and a loader that leaves it to be read so.

Source: YAML 1.2.2, section 10.3.2 (core schema).
"""

import math
import re
from functools import cache
from typing import Any

__all__ = ["PLAIN", "TAG", "TooDeep", "make_loader", "scalar_of"]

TAG = "tag:yaml.org,2002:"
"""How the tags of YAML's own types begin."""
PLAIN = "?"
"""The tag of a scalar that has none and stands without quotes."""

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


class TooDeep(Exception):
    """Nodes stand one in another more often than allowed; `line` counts from 1."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


@cache
def make_loader(max_depth: int) -> type[Any]:
    """Return a loader of PyYAML, the one of libyaml where it is there, whose plain scalars have the tag `PLAIN`.

    It raises `TooDeep` at the first node below more than `max_depth` others: libyaml has no limit, and crashes.
    """
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]  # the two have no common base
        depth = 0

        def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
            if kind is yaml.ScalarNode:
                return PLAIN if implicit[0] else TAG + "str"
            return TAG + ("map" if kind is yaml.MappingNode else "seq")

        def descend_resolver(self, parent: Any, _index: Any) -> None:
            self.depth += 1
            if self.depth > max_depth + 1:
                raise TooDeep(parent.start_mark.line + 1)

        def ascend_resolver(self) -> None:
            self.depth -= 1

    return Loader
