"""Work that is not lost: rows, leases, engines."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from carboy.jobs.settings import JobsSettings
from carboy.lazy import lazy_names

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

__getattr__: Callable[[str], Any] = lazy_names(
    __name__,
    {
        ".after_commit": ("tell_after_commit",),
        ".definitions": ("Abandon", "Commit", "Job", "Later", "Registry", "job"),
        ".embedded": ("Embedded",),
        ".engines": ("JobEngine", "Ready", "check_engine", "engine_class"),
        ".enqueueing": ("enqueue",),
        ".rows": ("new_id", "put", "row_of"),
        ".store": ("JobStore", "JobView"),
        ".waiting": ("Waiters",),
    },
    part="jobs",
)
