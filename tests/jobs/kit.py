"""Helpers shared by the tests of `jobs`."""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Engine

from carboy.db import GroupCommit
from carboy.jobs import Embedded, Job, JobsSettings, JobStore, Registry
from carboy.jobs.job_rows import put, row_of


@dataclass
class Shop:
    """A database with jobs, and engines that work on it."""

    engine: Engine
    settings: JobsSettings

    def __post_init__(self) -> None:
        self.writer = GroupCommit(self.engine)
        self.store = JobStore(self.engine, self.writer)
        self.engines: list[Embedded] = []

    def add(self, job: Job[...], *args: Any, key: str | None = None, after_s: float = 0.0, times: int = 1) -> None:
        """Put rows in."""
        now_ms = __import__("time").time_ns() // 1_000_000

        def write(connection: Any, wishes: Any) -> list[None]:
            rows = [row_of(job, args, now_ms=now_ms, key=key, after_s=after_s) for _ in range(times)]
            put(connection, rows)
            return [None] * len(wishes)

        self.writer.run(write, None)
        for one in self.engines:
            one.notify()

    def work(self, *jobs: Job[...], **changes: Any) -> Embedded:
        """Start an engine that knows these jobs."""
        made = Embedded(GroupCommit(self.engine), Registry(jobs), replace(self.settings, **changes))
        self.engines.append(made)
        made.start()
        return made

    def states(self) -> list[str]:
        """Return the state of every row, the oldest first."""
        return [row.state for row in reversed(self.store.list(limit=10_000))]
