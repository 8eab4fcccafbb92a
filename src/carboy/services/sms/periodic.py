"""Periodic jobs of the gateway: each enqueues the next, and the start of a process or a request the first."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from carboy.clock import Clock
from carboy.db import GroupCommit
from carboy.errors import CarboyError
from carboy.jobs import Commit, Job, put, row_of
from carboy.logs import BoundLogger, get_logger

if TYPE_CHECKING:
    from sqlalchemy import Connection

log: BoundLogger = get_logger("carboy.sms")


@dataclass(slots=True)
class Periodic:
    """A job that runs once in each period, in one process.

    Attributes:
        work: takes the number of the period.
        every_ms: the length of a period.
        writer: enqueues it.
        clock: the time.
    """

    work: Job[[int]]
    every_ms: int
    writer: GroupCommit
    clock: Clock
    _asked: int = field(default=-1, init=False)

    def job(self) -> Job[[int]]:
        """Return the job; its last write is the job of the next period, so it is tried until it succeeds."""
        return replace(self.work, function=self._run, attempts=None, backoff_s=(1.0, 60.0))

    def ask(self) -> None:
        """Enqueue the job of this period, unless this process has done so."""
        period = self.clock.now_ms() // self.every_ms
        if period != self._asked:
            self._asked = period
            self.writer.run(_put, self._row(period))

    def begin(self) -> None:
        """Enqueue the first job when a process starts, as there may be no request for a long time."""
        try:
            self.ask()
        except CarboyError as error:
            self._asked = -1
            log.warning("sms_periodic_not_enqueued", job=self.work.kind, error=str(error))

    def _run(self, period: int = 0) -> Commit:
        self.work.function(period)
        return Commit(_put, self._row(max(period, self.clock.now_ms() // self.every_ms) + 1))

    def _row(self, period: int) -> dict[str, Any]:
        now_ms = self.clock.now_ms()
        after_s = max(0.0, (period * self.every_ms - now_ms) / 1000)
        return row_of(self.work, (period,), now_ms=now_ms, after_s=after_s, key=f"{self.work.kind}:{period}")


def _put(connection: "Connection", rows: Sequence[dict[str, object]]) -> list[None]:
    put(connection, rows)
    return [None] * len(rows)
