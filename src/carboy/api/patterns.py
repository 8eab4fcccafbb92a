"""Rewrite the regular expressions of ECMA-262 that the validator's engine spells in another way.

Source: ECMA-262, section 22.2 and annex B.1.2; the syntax of Rust's `regex` and `fancy-regex`.
"""

import re
from collections.abc import Callable

_CLASS = r"\\[wdsWDS]"
_REWRITES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(?<!\\)\[\^\]"), r"[\\s\\S]"),
    (re.compile(r"(?<!\\)\[\]"), r"(?!)"),
    (re.compile(r"\\0(?![0-9])"), r"\\x00"),
    (re.compile(r"\\Z"), r"$"),  # not of ECMA-262, but often written
    (re.compile(r"(?<=\[)((?:[^\]\\]|\\[^b])*)\\b(?=[^\]]*\])"), r"\1\\x08"),
    (re.compile(rf"({_CLASS})-(?=[^\]])"), r"\1\\-"),
    (re.compile(rf"(?<=[^\[\\^])-({_CLASS})"), r"\\-\1"),
    (
        re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"),
        lambda pair: f"\\u{{{0x10000 + ((int(pair[1], 16) - 0xD800) << 10) + int(pair[2], 16) - 0xDC00:x}}}",
    ),
)


def to_rust(pattern: str) -> str:
    """Return a pattern that the engine compiles and that matches the same; the pattern itself when it needs none."""
    for odd, plain in _REWRITES:
        pattern = odd.sub(plain, pattern)
    return pattern
