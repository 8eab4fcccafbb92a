"""Publish row ids from a separate thread, so that a commit never waits for the broker.

While the broker is unavailable rows are kept, up to a number, and tried again with backoff; the sweeper finds rows for
which there is no room, and those that a process did not publish before it ended.
"""

import atexit
import heapq
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from carboy.clock import Clock
from carboy.jobs.engine_registry import Ready
from carboy.logs import BoundLogger, get_logger

log: BoundLogger = get_logger("carboy.jobs")

AHEAD_MS = 5_000
"""Rows that are due later than this from now are left to the sweeper, which runs before that."""

_AT_ONCE = 100
_MOST_KEPT = 10_000
_BACKOFF_S = (0.5, 10.0)
_GOODBYE_S = 2.0


class Publisher:
    """Publishes rows when they are due.

    Args:
        send: publishes rows, or raises; called in one thread.
        close: drops the connection after a fault, and at the end.
        clock: the time.
    """

    def __init__(self, send: Callable[[Sequence[Ready]], None], close: Callable[[], None], clock: Clock) -> None:
        self._send, self._close, self._clock = send, close, clock
        self.counts: Counter[str] = Counter()
        self.on_message: Callable[[str, int], None] | None = None
        self.stopped: bool = False
        self._start_fresh()

    def _start_fresh(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._heap: list[tuple[int, int, int, Ready]] = []
        self._due_ms: dict[int, int] = {}  # of the rows in the heap
        self._thread: threading.Thread | None = None
        self.is_unavailable: bool = False

    def add(self, rows: Iterable[Ready]) -> None:
        """Publish rows when they are due; never raises or waits.

        A row that waits here already is not added again: the sweepers find it until the broker has its message.
        """
        if self._pid != os.getpid():  # the thread and its connection are the parent's
            self._start_fresh()
        until_ms = self._clock.now_ms() + AHEAD_MS
        with self._changed:
            for row in rows:
                if row.run_at_ms > until_ms or self._due_ms.get(row.id, until_ms + 1) <= row.run_at_ms:
                    continue
                if len(self._heap) >= _MOST_KEPT or self.stopped:
                    self._count("left", 1)
                    continue
                self._due_ms[row.id] = row.run_at_ms
                heapq.heappush(self._heap, (row.run_at_ms, row.priority, row.id, row))
            if self._heap and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="carboy-jobs-publisher", daemon=True)
                self._thread.start()
                atexit.register(self.stop)  # a command that adds a job ends before the thread has begun
            self._changed.notify()

    def stop(self, drain_s: float = _GOODBYE_S) -> bool:
        """Publish what is due, within `drain_s`; return whether all of it went out."""
        with self._changed:
            self.stopped = True
            thread = self._thread if self._pid == os.getpid() else None
            self._changed.notify()
        if thread is not None:
            thread.join(min(drain_s, _GOODBYE_S))
        return thread is None or not thread.is_alive()

    def _count(self, outcome: str, count: int) -> None:
        self.counts[outcome] += count
        if self.on_message is not None:
            self.on_message(outcome, count)

    def _run(self) -> None:
        failures = 0
        while batch := self._next(self._pause_s(failures)):
            try:
                self._send(batch)
            except Exception as error:  # noqa: BLE001 (whatever it is: the rows are there, and published later)
                self._count("failed", len(batch))
                if not self.is_unavailable:
                    log.warning("jobs_broker_unavailable", error=f"{type(error).__name__}: {error}")
                self.is_unavailable = True
                self._close()
                if self.stopped:
                    break
                failures += 1
                self.add(batch)
            else:
                self._count("published", len(batch))
                if self.is_unavailable:
                    log.info("jobs_broker_recovered")
                failures, self.is_unavailable = 0, False
        self._close()

    @staticmethod
    def _pause_s(failures: int) -> float:
        return min(_BACKOFF_S[0] * 2 ** (failures - 1), _BACKOFF_S[1]) if failures else 0.0

    def _next(self, pause_s: float) -> list[Ready]:
        """Return rows that are due, the urgent ones first, once there are some; none when it is time to stop."""
        not_before_s = self._clock.monotonic_s() + pause_s
        with self._changed:
            while True:
                now_ms = self._clock.now_ms()
                wait_s = max(0.0, not_before_s - self._clock.monotonic_s())
                if self._heap:
                    wait_s = max(wait_s, (self._heap[0][0] - now_ms) / 1000)
                if self.stopped or (self._heap and wait_s <= 0):
                    break
                self._changed.wait(wait_s if self._heap else None)
            due: list[Ready] = []
            while self._heap and self._heap[0][0] <= now_ms and (len(due) < _AT_ONCE or self.stopped):
                row = heapq.heappop(self._heap)[-1]
                self._due_ms.pop(row.id, None)
                due.append(row)
        return sorted(due, key=lambda row: row.priority)


def close_quietly(connection: Any) -> None:
    """Close a connection that may be broken."""
    try:
        connection.close()
    except Exception as error:  # noqa: BLE001
        log.debug("jobs_broker_not_closed", error=str(error))
