"""Counts of rows over the last week, kept by hour in the process, so that no view counts a large table."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from carboy.clock import Clock
from carboy.web.pages import Figure

__all__ = ["Tally"]

_HOUR_MS = 3_600_000
_SETTLE_MS = 120_000  # after so long no commit adds to a minute any more
_BUDGET_S = 0.02
_PART_MS = 60_000
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
        self._last: tuple[float, list[Mapping[str, int] | None]] = (float("-inf"), [])

    def hours(self) -> list[Mapping[str, int] | None]:
        """Return the counts of the last 168 hours, the running one last."""
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        first = now_ms // _HOUR_MS - 167
        with self._lock:
            if now_s - self._last[0] < _FRESH_S:  # several figures of one view
                return self._last[1]
            self._kept = {key: found for key, found in self._kept.items() if key[1] > first * _HOUR_MS}
            newest_first = range(first + 167, first - 1, -1)
            oldest_ms = self._oldest()
            found: list[Mapping[str, int] | None] = [
                {}
                if oldest_ms is None or (hour + 1) * _HOUR_MS <= oldest_ms
                else self._hour(hour * _HOUR_MS, now_ms, now_s + _BUDGET_S)
                for hour in newest_first
            ]
            self._last = now_s, found[::-1]
            return self._last[1]

    def figure(self, name: str, label: str, href: str = "", *, is_bad: bool = False) -> Figure:
        """Return the figure of a name."""
        hours = [None if one is None else one.get(name, 0) for one in self.hours()]
        day, week = _total(hours[-24:]), _total(hours)
        return Figure(label, hours[-1], day, week, hours[-24:], href, is_bad=is_bad and bool(day))

    def _hour(self, start_ms: int, now_ms: int, deadline_s: float) -> Mapping[str, int] | None:
        """Return the counts of an hour: a closed one by one query, the running one minute by minute."""
        end_ms = start_ms + _HOUR_MS
        if end_ms < now_ms - _SETTLE_MS:
            return self._part(start_ms, end_ms, now_ms, deadline_s)
        total: dict[str, int] = {}
        for at in range(start_ms, min(end_ms, now_ms + 1), _PART_MS):
            part = self._part(at, at + _PART_MS, now_ms, float("inf"))
            for key, number in (part or {}).items():
                total[key] = total.get(key, 0) + number
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


def _total(hours: list[Any]) -> int | None:
    return None if any(one is None for one in hours) else sum(hours)
