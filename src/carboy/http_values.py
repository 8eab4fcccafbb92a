"""Parse and render the small values of HTTP and JSON: times, `Retry-After`, cursors, JSON pointers.

Source: RFC 3339; RFC 9110, sections 5.6.7 and 10.2.3; RFC 6901.
"""

import base64
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, overload
from urllib.parse import unquote

from carboy.clock import from_unix_ms

__all__ = [
    "MAX_ID",
    "MISSING",
    "dig",
    "look_up",
    "parse_cursor",
    "parse_pointer",
    "parse_query_time",
    "parse_retry_after",
    "parse_time",
    "render_cursor",
    "render_pointer",
    "render_retry_after",
    "render_time",
]

MISSING: Any = object()
"""What `look_up` returns where a pointer leads nowhere."""

MAX_ID = (1 << 63) - 1
"""The largest integer of a database; no row has it as its id."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_MS = 253_402_300_799_999  # the end of the year 9999
_NUMBER = re.compile(r"[0-9]{1,19}(?:\.[0-9]{0,9})?")
_LOST_PLUS = re.compile(r"(.*T.*) (\d\d:?\d\d)")  # an offset whose `+` a query turned into a blank
_NAMED_UTC = re.compile(r"(.*\d)\s*(?:UTC|GMT|Z)", re.IGNORECASE)
_FRACTION = re.compile(r"(?<=\d[.,]\d{6})\d+")  # nanoseconds: Python reads microseconds
_CURSOR = re.compile(r"\d{1,19}(?:\.\d{1,19})*")


@overload
def render_time(at_ms: int) -> str: ...


@overload
def render_time(at_ms: int | None) -> str | None: ...


def render_time(at_ms: int | None) -> str | None:
    """Return milliseconds since the epoch as RFC 3339 in UTC, such as `2026-01-31T12:00:00.000Z`; None of None."""
    return None if at_ms is None else from_unix_ms(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_query_time(text: str) -> int:
    """Return the milliseconds since the epoch of an ISO 8601 time with an offset, rounded up.

    A `+` that the query's encoding turned into a blank is repaired.

    Raises:
        ValueError: it is no such time, or has no offset; the message is for the sender.
    """
    try:
        at = datetime.fromisoformat(_LOST_PLUS.sub(r"\1+\2", text) if _LOST_PLUS.fullmatch(text) else text)
    except ValueError:
        raise ValueError("it is not a time in ISO 8601, such as 2017-01-17T13:44:21Z") from None
    if at.tzinfo is None:
        raise ValueError("it has no offset: add Z, or +01:00")
    return -((_EPOCH - at) // timedelta(milliseconds=1))


def parse_time(value: object) -> int | None:
    """Return the milliseconds since the epoch of a time in any form that senders of webhooks use; None for others.

    Takes seconds, milliseconds, microseconds and nanoseconds since the epoch, as numbers or digits; ISO 8601 with an
    offset or `UTC`; and the dates of HTTP and e-mail. The result is from 0 to the end of the year 9999.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        at_ms = _of_number(float(text)) if _NUMBER.fullmatch(text) else _of_text(text)
    elif isinstance(value, int | float) and value >= 0 and math.isfinite(value):
        at_ms = _of_number(value)
    else:
        return None
    return at_ms if at_ms is not None and 0 <= at_ms <= _MAX_MS else None


def render_retry_after(wait_s: float) -> str:
    """Return the value of `Retry-After` for a wait: whole seconds, rounded up, at least 1."""
    return str(max(1, math.ceil(wait_s)))


def parse_retry_after(text: str | None, now_s: float) -> float:
    """Return the seconds that a `Retry-After` header asks to wait; 0 when it says nothing readable.

    Args:
        text: the header's value, a whole number of seconds or an HTTP date.
        now_s: wall clock, seconds since the epoch.

    Source: RFC 9110, section 10.2.3.
    """
    if not text:
        return 0.0
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    at = _parse_date(text)
    return 0.0 if at is None else max(0.0, at.timestamp() - now_s)


def render_cursor(*numbers: int) -> str:
    """Return the opaque text of a place in a list, given by counts from 0."""
    return base64.urlsafe_b64encode(".".join(map(str, numbers)).encode()).decode().rstrip("=")


def parse_cursor(text: str, count: int) -> tuple[int, ...]:
    """Return the numbers that `render_cursor` was given; `count` is how many there must be.

    Raises:
        ValueError: it is no such cursor; the message is for the sender.
    """
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
    except ValueError:  # binascii.Error and UnicodeDecodeError are
        plain = ""
    numbers = tuple(map(int, plain.split("."))) if _CURSOR.fullmatch(plain) else ()
    if len(numbers) != count or any(number > MAX_ID for number in numbers):
        raise ValueError("it is not the `next` of an earlier answer")
    return numbers


def render_pointer(parts: Sequence[str | int]) -> str:
    """Return the JSON pointer of unescaped parts."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def parse_pointer(text: str, *, is_fragment: bool = False) -> tuple[str, ...]:
    """Return the unescaped parts of a JSON pointer, `""` or `/a/b`.

    Args:
        text: the pointer.
        is_fragment: it stands in a URI, percent-encoded.

    Raises:
        ValueError: it is not a pointer.
    """
    text = unquote(text) if is_fragment else text
    if not text:
        return ()
    if not text.startswith("/"):
        raise ValueError(f"`{text}` is not a JSON pointer")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))


def look_up(document: Any, pointer: str) -> Any:
    """Return what a JSON pointer leads to in a decoded document; `MISSING` where there is nothing.

    Raises:
        ValueError: it is not a pointer.
    """
    try:
        return dig(document, parse_pointer(pointer))
    except KeyError:
        return MISSING


def dig(node: Any, parts: Sequence[str]) -> Any:
    """Return what the unescaped parts of a JSON pointer lead to.

    Raises:
        KeyError: there is nothing.
    """
    for part in parts:
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isascii() and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            raise KeyError(part)
    return node


def _of_number(value: float) -> int | None:
    """Return milliseconds of a count: seconds until the year 5138, milliseconds from 1973, then micro and nano."""
    for limit, per_ms in ((1e11, 0.001), (1e14, 1.0), (1e17, 1e3), (1e20, 1e6)):
        if value < limit:
            return round(value / per_ms)
    return None


def _of_text(text: str) -> int | None:
    named = _NAMED_UTC.fullmatch(text)
    plain = _FRACTION.sub("", f"{named[1]}+00:00" if named else text)
    try:
        at = datetime.fromisoformat(plain)
    except ValueError:
        dated = _parse_date(text)
        if dated is None:
            return None
        at = dated
    try:
        return round(at.timestamp() * 1000) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _parse_date(text: str) -> datetime | None:
    """Return a date of HTTP or e-mail; without an offset, as C's `asctime` and `-0000` write it, it is in UTC."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return at.replace(tzinfo=at.tzinfo or UTC)
