"""An engine of jobs on a database of its own."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import QueuePool
from tests.jobs.kit import Shop

from carboy.config import load, read_sources
from carboy.db import DbSettings, engine, upgrade
from carboy.jobs import JobsSettings


@pytest.fixture
def shop(tmp_path: Path, eventually: Callable[[Callable[[], bool]], None]) -> Iterator[Shop]:
    """A migrated database, few threads, quick looks."""
    loaded = load([DbSettings, JobsSettings], read_sources(folder=tmp_path, environ={}))
    made = engine(loaded.part(DbSettings))
    upgrade(made)
    settings = replace(loaded.part(JobsSettings), jobs_concurrency=4, jobs_poll_s=0.05, jobs_drain_s=5.0)
    found = Shop(made, settings)
    yield found
    for one in found.engines:
        one.stop(0.0)
    pool = made.pool
    assert isinstance(pool, QueuePool)
    eventually(lambda: pool.checkedout() == 0)  # a thread may be in its last transaction
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
