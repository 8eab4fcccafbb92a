"""Counts of rows over the last week, kept by hour in the process, so that no view counts a large table."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from carboy.clock import Clock
from carboy.jobs import accepted_ms
from carboy.logs import BoundLogger, get_logger
from carboy.web.pages import Figure

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from carboy.web.runtime import Runtime

log: BoundLogger = get_logger("carboy.console")

_HOUR_MS = 3_600_000
_LONG_MS = 600_000
_PART_MS = 60_000
_SETTLE_MS = 120_000  # after so long no commit adds to a minute any more
_BUDGET_S = 0.008
_FRESH_S = 0.5
_NEVER_S = float("inf")


class Tally:
    """Counts things by hour for a week. A view counts for at most 8 ms; a thread counts what is left.

    Until then a figure has no value (None). Closed hours are counted once; those with rows that may still change are
    counted again by and by, the older the more seldom.

    Args:
        count: returns the counts by name of a time range, start and end in milliseconds; `open` counts those that may
            still change. The range is at most an hour, and the query uses an index.
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
        self._kept: dict[tuple[int, int], _Part] = {}
        self._seen_s = float("-inf")
        self._last = _View({}, {}, [])
        self._is_filling = False

    def figure(self, name: str, label: str, href: str = "", *, is_bad: bool = False) -> Figure:
        """Return the figure of a name."""
        view = self._look()
        hours = [None if one is None else one.get(name, 0) for one in view.hours]
        hour = None if view.hour is None else view.hour.get(name, 0)
        day, week = _total(hours[-24:]), _total(hours)
        is_bad, minute = is_bad and bool(day), view.minute.get(name, 0)
        return Figure(label, hour, day, week, hours[-24:], href, is_bad=is_bad, minute=minute)

    def _look(self) -> "_View":
        """Return the counts, after counting what is not known within the time that a view has."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            if now_s - self._seen_s < _FRESH_S:  # several figures of one view
                return self._last
            self._last = self._count_all(now_s + _BUDGET_S)
            self._seen_s = now_s
            is_whole = self._last.hour is not None and None not in self._last.hours
            if not is_whole and not self._is_filling:
                self._is_filling = True
                threading.Thread(target=self._fill, name="console-tally", daemon=True).start()
            return self._last

    def _fill(self) -> None:
        try:
            self._count_all(_NEVER_S)
        except Exception as error:  # the next view tries again
            log.warning("tally_failed", exc_info=error)
        finally:
            self._is_filling = False
            self._seen_s = float("-inf")

    def _count_all(self, deadline_s: float) -> "_View":
        now_ms = self._clock.now_ms()
        first = now_ms // _HOUR_MS - 167
        self._kept = {key: one for key, one in dict(self._kept).items() if key[1] > first * _HOUR_MS}
        oldest_ms = self._oldest()
        if oldest_ms is None:
            return _View({}, {}, [{}] * 168)
        minute = self._count(now_ms - _PART_MS, now_ms + 1)
        running = now_ms // _PART_MS * _PART_MS
        hour = self._minutes(running - 59 * _PART_MS, running + _PART_MS, now_ms, deadline_s)
        newest_first = (at * _HOUR_MS for at in range(first + 167, first - 1, -1))
        hours: list[Mapping[str, int] | None] = [
            {} if at + _HOUR_MS <= oldest_ms else self._hour(at, now_ms, deadline_s) for at in newest_first
        ]
        return _View(minute, hour, hours[::-1])

    def _hour(self, start_ms: int, now_ms: int, deadline_s: float) -> Mapping[str, int] | None:
        """Return the counts of an hour: a closed one by one query, the running one by parts."""
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
        """Return the counts of a part; an older count where there is no time for a new one, None without any."""
        kept, now_s = self._kept.get((start_ms, end_ms)), self._clock.monotonic_s()
        if kept is not None and now_s < kept.due_s:
            return kept.counts
        if now_s > deadline_s:
            return None if kept is None else kept.counts
        counts = self._count(start_ms, end_ms)
        if end_ms < now_ms - _SETTLE_MS:
            age_s = (now_ms - end_ms) / 1000
            self._kept[start_ms, end_ms] = _Part(counts, now_s + age_s / 100 if counts.get("open") else _NEVER_S)
        return counts


def find_tally(
    runtime: "Runtime", kind: type[Tally], count: "Callable[[Engine, int, int], Mapping[str, int]]", column: Any
) -> Tally:
    """Return the counts of a kind that this process keeps, over the rows of one table.

    Args:
        runtime: the application's.
        kind: a class of its own for each table.
        count: as `Tally` takes it, with the engine before the range.
        column: the ids of the rows, made by `carboy.jobs.new_id`.
    """
    found = runtime.find(kind)
    if found is None:
        found = kind(partial(count, runtime.engine), runtime.clock, partial(_oldest, runtime.engine, column))
        runtime.keep(found)
    return found


def _oldest(engine: "Engine", column: Any) -> int | None:
    """Return when the oldest row was made, by its id; None where there is no row."""
    from sqlalchemy import func, select

    with engine.connect() as connection:
        found: int | None = connection.execute(select(func.min(column))).scalar()
    return None if found is None else accepted_ms(found)


@dataclass(frozen=True, slots=True)
class _Part:
    """The counts of a part of the week, and when they are counted again, monotonic seconds."""

    counts: Mapping[str, int]
    due_s: float


@dataclass(frozen=True, slots=True)
class _View:
    """The counts of the last 60 seconds, of the last 60 minutes, and of the last 168 hours, the running one last."""

    minute: Mapping[str, int]
    hour: Mapping[str, int] | None
    hours: list[Mapping[str, int] | None]


def _total(hours: list[Any]) -> int | None:
    return None if any(one is None for one in hours) else sum(hours)
