"""Periodic jobs: each enqueues the next, and the start of a process or a request the first."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from carboy.clock import Clock
from carboy.errors import CarboyError
from carboy.jobs.definitions import Commit, Job
from carboy.jobs.job_rows import put_each, row_of
from carboy.logs import BoundLogger, get_logger

if TYPE_CHECKING:
    from carboy.db import GroupCommit

log: BoundLogger = get_logger("carboy.jobs")

_SLOT_MS = 10_000


@dataclass(slots=True)
class PeriodicJob:
    """A job that runs once in each period, in one process, for as long as it is needed.

    Attributes:
        work: takes the number of the period; returns False where there is more to do, which begins at once.
        every_ms: the length of a period.
        writer: enqueues it.
        clock: the time.
        is_needed: whether there is anything to do; each process asks once in a period, and the job at its end.
        job: what is registered; its last write is the job of the next period, so it is tried until it succeeds.
    """

    work: Job[[int]]
    every_ms: int
    writer: "GroupCommit"
    clock: Clock
    is_needed: Callable[[], bool] = lambda: True
    job: Job[[int]] = field(init=False)
    _asked: int = field(default=-1, init=False)

    def __post_init__(self) -> None:
        self.job = replace(self.work, function=self._run, attempts=None, backoff_s=(1.0, 60.0))

    def ask(self) -> None:
        """Enqueue the job of this period, unless this process has done so or nothing needs it.

        A process calls it when it starts, as there may be no request for a long time, and with each request that was
        accepted, which a failure here does not turn into an error.
        """
        period = self.clock.now_ms() // self.every_ms
        if period == self._asked:
            return
        self._asked = period
        try:
            if self.is_needed():
                # what a power cut takes, the next period has
                self.writer.run(put_each, self._row(period), durable=False)
        except CarboyError as error:
            self._asked = -1
            hint = "the next request enqueues it"
            log.warning("periodic_job_not_enqueued", kind=self.work.kind, error=str(error), hint=hint)

    def _run(self, period: int = 0) -> Commit | None:
        now_ms = self.clock.now_ms()
        if self.work.function(period) is False:
            slot = self.clock.now_ms() // _SLOT_MS  # several that run at once go on as one
            return Commit(put_each, self._row(0, key=f"{self.work.kind}:more:{slot}"))
        current = now_ms // self.every_ms
        following = max(current, min(period, current + 1)) + 1  # a clock that steps back a little skips no period
        return Commit(put_each, self._row(following)) if self.is_needed() else None

    def _row(self, period: int, key: str = "") -> dict[str, Any]:
        now_ms = self.clock.now_ms()
        after_s = max(0.0, (period * self.every_ms - now_ms) / 1000)
        key = key or f"{self.work.kind}:{period}"
        return row_of(self.job, (period,), now_ms=now_ms, after_s=after_s, key=key)
