"""Render one event as one line of JSON; pure but for the clock.

Most lines hold only short, plain facts. They are rendered at once and looked through once for what could be a
secret; if there may be one, each text is masked by itself. All other lines go the careful way, value by value.
"""

import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from time import gmtime, strftime, time_ns
from typing import Any

import orjson

from carboy.errors import UsageError
from carboy.logs.clean_values import MAX_ITEMS, Budget, clean, clean_key, clean_named, clean_text
from carboy.logs.exceptions import describe
from carboy.redact import is_secret_name, mask_text, may_hold_secret

LEVEL_NUMBERS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_OTHER_LEVELS = {"trace": 5, "warn": logging.WARNING, "fatal": logging.CRITICAL, "notset": logging.NOTSET}
_HEAD = frozenset({"ts", "level", "logger", "event"})
_SPECIAL = _HEAD | {"exc_info", "exception", "stack_info"}
_PLAIN_TYPES = frozenset({str, int, bool, type(None)})
_COLONS_OF_TS = 2
_FIXED_BYTES = len('{"ts":"2026-11-21T10:00:00.000000Z","level":"')
_KEPT_NAMES = 4096
_plain_names: dict[str, bool] = {}
# Valid in JSON, but commands to a terminal, or the end of a line to some readers: C1, DEL, separators, text direction.
_UNSAFE = re.compile(rb"\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]")


class UnknownLevel(UsageError, ValueError):
    """A level is neither a known name nor a number."""


def parse_level(level: int | str) -> int:
    """Return the number of a level: `INFO`, `warn`, `fatal`, `TRACE` (5), a name that `logging` was given, `25`.

    Raises:
        UnknownLevel: it is not one of these.
    """
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    text = str(level).strip()
    number = LEVEL_NUMBERS.get(text.lower(), _OTHER_LEVELS.get(text.lower()))
    if number is None:
        own = {name.lower(): value for name, value in logging.getLevelNamesMapping().items()}
        number = int(text) if text.isascii() and text.isdigit() else own.get(text.lower())
    if number is None:
        why = "it is not one of TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL, nor a number"
        raise UnknownLevel(f"unknown log level `{text[:40]}`", why, "correct the level")
    return number


def level_name(number: int) -> str:
    """Return the name of a level's number; a number between two counts as the lower."""
    for name, at_least in reversed(LEVEL_NUMBERS.items()):
        if number >= at_least:
            return name
    return "debug"


def render_json(
    level: str, logger: str, event: str, context: Mapping[str, Any], facts: Mapping[str, Any], max_chars: int
) -> bytes:
    """Return the line of an event: UTF-8, one newline at its end and none before, no secret in it.

    Args:
        level: the level's name, in lower case.
        logger: who logs.
        event: what happened.
        context: the request id and what else is bound, as `clean_facts` returns it.
        facts: of the caller; they override the context. `exc_info` becomes `exception`.
        max_chars: how much text the values may hold together.
    """
    line: dict[str, Any] = {"ts": timestamp(time_ns()), "level": level, "logger": logger, "event": event}
    if context:
        line.update(context)
    for name, value in facts.items():
        if not _plain_names.get(name) and not _is_plain(name):
            break
        kind = type(value)
        if kind not in _PLAIN_TYPES and (kind is not float or value - value != 0.0):  # not finite: JSON has no such
            break
        line[name] = value
    else:
        with suppress(TypeError):  # a lone surrogate, an enormous number
            rendered = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
            if len(rendered) <= max_chars:
                if may_hold_secret(rendered, len(line) + _COLONS_OF_TS, _FIXED_BYTES):
                    budget = Budget(max_chars)
                    return render_fields({mask_text(name): clean(value, budget) for name, value in line.items()})
                return rendered if rendered.isascii() else _UNSAFE.sub(_escaped, rendered)
    return render_fields(careful_fields(level, logger, event, context, facts, max_chars))


def careful_fields(
    level: str, logger: str, event: str, context: Mapping[str, Any], facts: Mapping[str, Any], max_chars: int
) -> dict[str, Any]:
    """Return the same line as a dict: JSON's own types only, masked and cut."""
    budget = Budget(max_chars)
    line: dict[str, Any] = {
        "ts": timestamp(time_ns()),
        "level": level,
        "logger": clean_key(logger),
        "event": clean_key(event) if type(event) is not str else clean_text(event, budget),
    }
    line.update(clean_facts(context, budget))
    line.update(clean_facts(facts, budget))
    if stack := facts.get("stack_info"):
        line["stack"] = clean_text(stack if isinstance(stack, str) else _stack_here(), budget)
    if error := _error_of(facts.get("exc_info")):
        line["exception"] = describe(error, budget)
    return line


def clean_facts(facts: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    """Return facts as a line can hold them; one with the name of a fixed field gets a `_` at its end."""
    clean: dict[str, Any] = {}
    for name, value in facts.items():
        if len(clean) >= MAX_ITEMS:
            clean["…"] = f"[{len(facts)} facts]"
            break
        if name not in {"exc_info", "stack_info"}:
            key = clean_key(name)
            clean[f"{key}_" if key in _HEAD else key] = clean_named(key, value, budget)
    return clean


def render_fields(fields: Mapping[str, Any]) -> bytes:
    """Return clean fields as a line."""
    rendered = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    return rendered if rendered.isascii() else _UNSAFE.sub(_escaped, rendered)


def _escaped(match: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(match[0].decode())


def _is_plain(name: str) -> bool:
    if type(name) is not str or name in _SPECIAL or ":" in name or len(name) > 64 or is_secret_name(name):
        return False
    if len(_plain_names) >= _KEPT_NAMES:
        _plain_names.clear()
    _plain_names[name] = True
    return True


_HERE = os.path.dirname(__file__) + os.sep
_second = (0, "")


def timestamp(at_ns: int) -> str:
    """Return nanoseconds since the epoch as RFC 3339 in UTC, with six decimals."""
    global _second  # noqa: PLW0603 (swapped whole: the last second's text, which most lines share)
    second, rest = divmod(at_ns, 1_000_000_000)
    kept = _second
    if kept[0] != second:
        _second = kept = (second, strftime("%Y-%m-%dT%H:%M:%S.", gmtime(second)))
    return f"{kept[1]}{rest // 1000:06d}Z"


def _error_of(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if len(exc_info) == 3 else None
    return sys.exc_info()[1] if exc_info else None


def _stack_here() -> str:
    frames = traceback.extract_stack()
    return "".join(traceback.format_list([frame for frame in frames if not frame.filename.startswith(_HERE)]))
