"""Quiet hours: when a receiver gets no messages of a kind, in the receiver's own time zone. Nothing here does I/O.

[default.sms.quiet_hours]
marketing = "20:00-08:00"
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from carboy.errors import Fault
from carboy.services.sms.templates import KINDS

_RANGE = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]|24):([0-5]\d)")
_MINUTE_MS = 60_000
_LONGEST_MINUTES = 2 * 24 * 60


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A range of local times, in minutes of the day; `end` may be the smaller one, on the next day."""

    start: int
    end: int

    def has(self, minute: int) -> bool:
        """Return whether a minute of the day is quiet."""
        if self.start <= self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


def read_quiet_hours(table: Mapping[str, Any]) -> dict[str, QuietHours]:
    """Return the quiet hours by kind, of a table without `quiet_faults`."""
    return {kind: QuietHours(*_parse(text)) for kind, text in table.items() if text}


def quiet_faults(table: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield the faults of `SMS_QUIET_HOURS`."""
    for kind, text in table.items():
        if kind not in KINDS:
            yield Fault("SMS_QUIET_HOURS", f"`{kind}` is no kind of template; there are {', '.join(KINDS)}")
        elif not isinstance(text, str) or (text and not _RANGE.fullmatch(text)):
            yield Fault("SMS_QUIET_HOURS", f"`{kind}` must be two times of the day, such as 20:00-08:00")
        elif text and len(set(_parse(text))) == 1:
            yield Fault("SMS_QUIET_HOURS", f"`{kind}` begins and ends at the same time")


def ends_at_ms(quiet: QuietHours, zones: tuple[str, ...], now_ms: int) -> int:
    """Return when a receiver's quiet hours end, in milliseconds since the epoch; now if it is not quiet.

    A receiver whose zone is not certain gets a message when it is quiet in none of the possible ones. If there is no
    such time within two days, the first zone counts.

    Args:
        quiet: local times.
        zones: names of the IANA database, at least one.
        now_ms: milliseconds since the epoch.
    """
    minute = now_ms // _MINUTE_MS
    end = _first_minute(quiet, zones, minute)
    return now_ms if end == minute else end * _MINUTE_MS


def zones_of(e164: str) -> tuple[str, ...]:
    """Return the time zones that a number may be in; UTC if none is known."""
    import phonenumbers
    from phonenumbers.timezone import time_zones_for_number

    try:
        found = time_zones_for_number(phonenumbers.parse(e164))
    except phonenumbers.NumberParseException:
        found = ()
    known = tuple(one for one in found if _is_zone(one))
    return known or ("UTC",)


@lru_cache(maxsize=4096)
def _first_minute(quiet: QuietHours, zones: tuple[str, ...], minute: int) -> int:
    """Return the first minute since the epoch that is not quiet: a walk, as local clocks are moved back and forth."""
    rules = [ZoneInfo(one) for one in zones]
    for at in range(minute, minute + _LONGEST_MINUTES):
        if not any(quiet.has(_local_minute(at, zone)) for zone in rules):
            return at
    return _first_minute(quiet, zones[:1], minute) if len(zones) > 1 else minute


def _local_minute(minute: int, zone: ZoneInfo) -> int:
    local = datetime.fromtimestamp(minute * 60, UTC).astimezone(zone)
    return local.hour * 60 + local.minute


@lru_cache(maxsize=1024)
def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return False
    return True


def _parse(text: str) -> tuple[int, int]:
    found = _RANGE.fullmatch(text)
    assert found is not None
    start_h, start_m, end_h, end_m = map(int, found.groups())
    return start_h * 60 + start_m, (end_h * 60 + end_m) % (24 * 60)
