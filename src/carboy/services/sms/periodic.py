"""Periodic jobs of the gateway: the first request of a period enqueues its job, in one process."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from carboy.clock import Clock
from carboy.db import GroupCommit
from carboy.jobs import Job, put, row_of

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(slots=True)
class Periodic:
    """A job that runs once in each period in which messages are accepted.

    Attributes:
        job: takes the number of the period.
        every_ms: the length of a period.
        writer: enqueues it.
        clock: the time.
    """

    job: Job[[int]]
    every_ms: int
    writer: GroupCommit
    clock: Clock
    _asked: int = field(default=-1, init=False)

    def ask(self) -> None:
        """Enqueue the job of this period, unless this process has done so."""
        now_ms = self.clock.now_ms()
        period = now_ms // self.every_ms
        if period != self._asked:
            self._asked = period
            self.writer.run(_put, row_of(self.job, (period,), now_ms=now_ms, key=f"{self.job.kind}:{period}"))


def _put(connection: "Connection", rows: Sequence[dict[str, object]]) -> list[None]:
    put(connection, rows)
    return [None] * len(rows)
