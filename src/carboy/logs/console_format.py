"""Render one event for a person at a terminal; pure."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

_RESET, _DIM, _BOLD = "\x1b[0m", "\x1b[2m", "\x1b[1m"
_COLOURS = {
    "debug": "\x1b[34m",
    "info": "\x1b[32m",
    "warning": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[1;31m",
}
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_BARE = re.compile(r"[^\s\"'=\\{}\[\]]+")
_WIDTH = 16


def render_console(fields: Mapping[str, Any], *, has_colour: bool) -> str:
    """Return clean fields as text: one line, and below it, indented, an exception if there is one.

    No value can write a line of its own, nor a command to the terminal.
    """

    def paint(colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if has_colour else text

    rest = dict(fields)
    ts, level, logger, event = (_safe(str(rest.pop(name, ""))) for name in ("ts", "level", "logger", "event"))
    if "request_id" in rest:
        rest["request_id"] = rest.pop("request_id")  # last: on a narrow terminal the facts come first
    exception, stack = rest.pop("exception", None), rest.pop("stack", None)
    parts = [
        paint(_DIM, ts[11:23]),
        paint(_COLOURS.get(level, _BOLD), f"{level:<8}"),
        paint(_BOLD, f"{event:<{_WIDTH}}"),
    ]
    parts += [f"{paint(_DIM, _safe(name) + '=')}{_bare(value)}" for name, value in rest.items()]
    if logger:
        parts.append(paint(_DIM, f"[{logger}]"))
    lines = [" ".join(parts).rstrip()]
    if isinstance(stack, str):
        lines += [f"    | {_safe(line)}" for line in stack.splitlines()]
    if isinstance(exception, Mapping):
        lines += [f"    | {_safe(line)}" for line in _exception(exception)]
    elif exception is not None:
        lines.append(f"    | {_bare(exception)}")
    return "\n".join(lines) + "\n"


def _exception(described: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    if isinstance(cause := described.get("cause"), Mapping):
        lines += [*_exception(cause), "which led to"]
    lines += [f"  {frame}" for frame in described.get("stack", ())]
    lines.append(f"{described.get('type')}: {described.get('message')}")
    lines += [f"  note: {note}" for note in described.get("notes", ())]
    if "hint" in described:
        lines.append(f"  hint: {described['hint']}")
    for number, one in enumerate(described.get("exceptions", ()), 1):
        lines += [f"  {number}. {line}" for line in _exception(one)]
    return lines


def _bare(value: Any) -> str:
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) and value.isprintable() else _safe(orjson.dumps(value).decode())
    return _safe(orjson.dumps(value).decode())


def _safe(text: str) -> str:
    return _UNSAFE.sub(lambda match: _SHORT.get(match[0]) or f"\\u{ord(match[0]):04x}", text)
