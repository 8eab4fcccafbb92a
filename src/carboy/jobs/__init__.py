"""Work that is not lost: rows, leases, engines."""

from importlib import import_module
from typing import TYPE_CHECKING

from carboy.extras import extra
from carboy.jobs.settings import JobsSettings

if TYPE_CHECKING:
    from carboy.jobs.after_commit import tell_after_commit
    from carboy.jobs.definitions import Abandon, Commit, Job, Later, Registry, job
    from carboy.jobs.embedded import Embedded
    from carboy.jobs.engines import JobEngine, Ready, check_engine, engine_class
    from carboy.jobs.enqueueing import enqueue
    from carboy.jobs.rows import new_id, put, row_of
    from carboy.jobs.store import JobStore, JobView
    from carboy.jobs.waiting import Waiters

__all__ = [
    "Abandon",
    "Commit",
    "Embedded",
    "Job",
    "JobEngine",
    "JobStore",
    "JobView",
    "JobsSettings",
    "Later",
    "Ready",
    "Registry",
    "Waiters",
    "check_engine",
    "engine_class",
    "enqueue",
    "job",
    "new_id",
    "put",
    "row_of",
    "tell_after_commit",
]

_HOMES = {
    "Embedded": "embedded",
    "JobStore": "store",
    "JobView": "store",
    "JobEngine": "engines",
    "Ready": "engines",
    "check_engine": "engines",
    "engine_class": "engines",
    "enqueue": "enqueueing",
    "tell_after_commit": "after_commit",
    "put": "rows",
    "new_id": "rows",
    "row_of": "rows",
    "Waiters": "waiting",
}


def __getattr__(name: str) -> object:
    if name in __all__:
        with extra("jobs"):
            return getattr(import_module(f"carboy.jobs.{_HOMES.get(name, 'definitions')}"), name)
    raise AttributeError(f"module 'carboy.jobs' has no attribute {name!r}")
