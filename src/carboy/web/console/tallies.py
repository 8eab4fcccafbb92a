"""Counts of rows over the last week, kept by hour in the process, so that no view counts a large table."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from carboy.clock import Clock
from carboy.web.pages import Figure

__all__ = ["Tally"]

_HOUR_MS = 3_600_000
_SETTLE_MS = 120_000  # after so long no commit adds to a minute any more
_BUDGET_S = 0.02
_PART_MS = 60_000
_LONG_MS = 600_000
_FRESH_S = 0.5


class Tally:
    """Counts things by hour for a week. Closed hours are counted once; a view counts for at most 20 ms.

    What could not be counted in that time is None, and the next view goes on with it.

    Args:
        count: returns the counts by name of a time range, start and end in milliseconds; `open` counts those that may
            still change, so that the range is counted again. It is at most an hour, and the query uses an index.
        clock: what time it is.
        oldest: returns the time of the oldest row, milliseconds since the epoch, by a look into an index; None where
            there is no row. Hours before it are not counted.
    """

    def __init__(
        self,
        count: Callable[[int, int], Mapping[str, int]],
        clock: Clock,
        oldest: Callable[[], int | None] = lambda: 0,
    ) -> None:
        self._count, self._clock, self._oldest = count, clock, oldest
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, int], Mapping[str, int]] = {}
        self._seen_s = float("-inf")
        self._last = _View({}, {}, [])

    def figure(self, name: str, label: str, href: str = "", *, is_bad: bool = False) -> Figure:
        """Return the figure of a name."""
        view = self._look()
        hours = [None if one is None else one.get(name, 0) for one in view.hours]
        hour = None if view.hour is None else view.hour.get(name, 0)
        day, week = _total(hours[-24:]), _total(hours)
        is_bad, minute = is_bad and bool(day), view.minute.get(name, 0)
        return Figure(label, hour, day, week, hours[-24:], href, is_bad=is_bad, minute=minute)

    def _look(self) -> "_View":
        """Count what is not known, within the time that a view has."""
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        first = now_ms // _HOUR_MS - 167
        with self._lock:
            if now_s - self._seen_s < _FRESH_S:  # several figures of one view
                return self._last
            self._kept = {key: found for key, found in self._kept.items() if key[1] > first * _HOUR_MS}
            oldest_ms = self._oldest()
            if oldest_ms is None:
                self._seen_s, self._last = now_s, _View({}, {}, [{}] * 168)
                return self._last
            minute = self._count(now_ms - _PART_MS, now_ms + 1)
            running = now_ms // _PART_MS * _PART_MS
            hour = self._minutes(running - 59 * _PART_MS, running + _PART_MS, now_ms, now_s + _BUDGET_S)
            newest_first = (at * _HOUR_MS for at in range(first + 167, first - 1, -1))
            deadline_s = self._clock.monotonic_s() + _BUDGET_S
            hours: list[Mapping[str, int] | None] = [
                {} if at + _HOUR_MS <= oldest_ms else self._hour(at, now_ms, deadline_s) for at in newest_first
            ]
            self._seen_s, self._last = now_s, _View(minute, hour, hours[::-1])
            return self._last

    def _hour(self, start_ms: int, now_ms: int, deadline_s: float) -> Mapping[str, int] | None:
        """Return the counts of an hour: a closed one by one query, the running one minute by minute."""
        end_ms = start_ms + _HOUR_MS
        if end_ms < now_ms - _SETTLE_MS:
            return self._part(start_ms, end_ms, now_ms, deadline_s)
        return self._minutes(start_ms, min(end_ms, now_ms + 1), now_ms, deadline_s)

    def _minutes(self, start_ms: int, end_ms: int, now_ms: int, deadline_s: float) -> Mapping[str, int] | None:
        """Return the counts of a range of minutes; None where the time is not enough for all of them."""
        total: dict[str, int] = {}
        at = start_ms
        while at < end_ms:
            is_long = at % _LONG_MS == 0 and at + _LONG_MS <= min(end_ms, now_ms - _SETTLE_MS)
            length_ms = _LONG_MS if is_long else _PART_MS
            part = self._part(at, at + length_ms, now_ms, deadline_s)
            if part is None:
                return None
            for key, number in part.items():
                total[key] = total.get(key, 0) + number
            at += length_ms
        return total

    def _part(self, start_ms: int, end_ms: int, now_ms: int, deadline_s: float) -> Mapping[str, int] | None:
        kept = self._kept.get((start_ms, end_ms))
        if kept is not None:
            return kept
        if self._clock.monotonic_s() > deadline_s:
            return None
        found = self._count(start_ms, end_ms)
        if end_ms < now_ms - _SETTLE_MS and not found.get("open"):
            self._kept[start_ms, end_ms] = found
        return found


@dataclass(frozen=True, slots=True)
class _View:
    """The counts of the last 60 seconds, of the last 60 minutes, and of the last 168 hours, the running one last."""

    minute: Mapping[str, int]
    hour: Mapping[str, int] | None
    hours: list[Mapping[str, int] | None]


def _total(hours: list[Any]) -> int | None:
    return None if any(one is None for one in hours) else sum(hours)
