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

_TOKEN = re.compile(
    r"\\[pPu]\{[^{}]*\}|\\k<(?P<wanted>[^<>]+)>|\\.|\[(?:\\.|[^\]\\])*\]|\{[0-9]+(?:,[0-9]*)?\}"
    r"|\(\?P?<(?![=!])(?P<name>[^<>]+)>|(?P<group>\((?!\?))|(?P<brace>[{}])|.",
    re.DOTALL,
)
_REPEATED = re.compile(r"\^(\.|\[(?:\\.|[^\]\\])+\]|\\[wdsWDS])\{([0-9]{1,9})(?:(,)([0-9]{1,9})?)?\}\$", re.DOTALL)
_MANY = 1000


def to_rust(pattern: str) -> str:
    """Return a pattern that the engine compiles and that matches the same; the pattern itself when it needs none."""
    for odd, plain in _REWRITES:
        pattern = odd.sub(plain, pattern)
    return _rewrite_tokens(pattern) if "{" in pattern or "}" in pattern or r"\k<" in pattern else pattern


def split_length(pattern: str) -> tuple[str, int, int | None] | None:
    """Return a pattern of one repeated character, such as `^.{0,262144}$`, as a pattern of any length and its limits.

    The engine compiles a copy for each repetition, so that a large number cannot be compiled. None for all others.
    """
    found = _REPEATED.fullmatch(pattern)
    if found is None:
        return None
    character, least, comma, most = found[1], int(found[2]), found[3], found[4]
    limit = int(most) if most else None if comma else least
    return (f"^{character}*$", least, limit) if max(least, limit or 0) > _MANY else None


def _rewrite_tokens(pattern: str) -> str:
    """Escape braces that are no quantifiers (annex B of ECMA-262), and number references to named groups."""
    groups: list[str] = []

    def rewrite(token: re.Match[str]) -> str:
        if token["brace"]:
            return "\\" + token["brace"]
        if token["group"] or token["name"]:
            groups.append(token["name"] or "")
        elif token["wanted"] in groups:
            return f"(?:\\{groups.index(token['wanted']) + 1})"
        return "(" if token["name"] else token[0]

    return _TOKEN.sub(rewrite, pattern)
