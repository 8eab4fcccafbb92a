"""An engine of jobs on a database of its own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from carboy.config import load, read_sources
from carboy.db import DbSettings, GroupCommit, engine, upgrade
from carboy.jobs import Embedded, Job, JobsSettings, JobStore, Registry
from carboy.jobs.rows import put, row_of


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


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A migrated database, few threads, quick looks."""
    loaded = load([DbSettings, JobsSettings], read_sources(folder=tmp_path, environ={}))
    made = engine(loaded.part(DbSettings))
    upgrade(made)
    settings = replace(loaded.part(JobsSettings), jobs_concurrency=4, jobs_poll_s=0.05, jobs_drain_s=5.0)
    found = Shop(made, settings)
    yield found
    for one in found.engines:
        one.stop(0.0)
    made.dispose()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait until something holds, for ten seconds at most."""
    import time

    def wait(holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < deadline, "it never came to hold"
            time.sleep(0.01)

    return wait
