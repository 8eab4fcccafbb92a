"""Read the fields of filter forms; what cannot be read is as if it were not there, and the page says so."""

from collections.abc import Collection
from datetime import UTC, datetime

from flask import g, request

from carboy.http_values import parse_cursor

_LAST_MS = (1 << 41) - 1  # the last that the ids of rows hold; see `carboy.jobs.new_id`

PAGE_ROWS = 50
"""How many rows a list shows."""


def read_choice(name: str, choices: Collection[str]) -> str:
    """Return the value of a query field that is one of the choices; else an empty text."""
    given = request.args.get(name, "")
    if given in choices:
        return given
    _leave_out(name)
    return ""


def read_cursor(count: int = 1) -> tuple[int, ...] | None:
    """Return the place at which the page begins; None for the start, also for a cursor that is not ours."""
    try:
        return parse_cursor(request.args.get("cursor", ""), count)
    except ValueError:
        _leave_out("cursor")
        return None


def read_time(name: str) -> int | None:
    """Return the milliseconds since the epoch of a field `datetime-local` or of ISO 8601, without an offset in UTC."""
    try:
        at = datetime.fromisoformat(request.args.get(name, ""))
        at = at.replace(tzinfo=at.tzinfo or UTC)
        return min(max(0, int(at.timestamp() * 1000)), _LAST_MS)
    except (ValueError, OverflowError):
        _leave_out(name)
        return None


def read_time_range() -> tuple[int | None, int | None]:
    """Return the fields `from` and `until`, milliseconds since the epoch."""
    return read_time("from"), read_time("until")


def left_out() -> list[str]:
    """Return the names of the query fields of this request that have a value which could not be read."""
    found: list[str] = g.get("left_out", [])
    return found


def _leave_out(name: str) -> None:
    if request.args.get(name):
        g.left_out = [*left_out(), name]
