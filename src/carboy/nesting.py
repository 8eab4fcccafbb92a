"""How deep a JSON text nests, found before a parser that recurses meets it.

A parser that calls itself for each level needs a stack for it. In a thread whose stack is small, as those of some
servers and of musl are, a body of brackets ends the process before Python's own limit does.
"""

import re

__all__ = ["is_deeper"]

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_INNERMOST = re.compile(rb"\[\]|\{\}")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def is_deeper(data: bytes, max_depth: int) -> bool:
    """Say whether arrays and objects stand one in another more often than that, or do not match."""
    if data.count(b"{") + data.count(b"[") <= max_depth:
        return False
    brackets = _STRING.sub(b"", data).translate(None, _NOT_BRACKETS)
    for _ in range(max_depth):  # takes the innermost away, level by level
        if not brackets:
            return False
        brackets = _INNERMOST.sub(b"", brackets)
    return bool(brackets)
