"""Work that is not lost: rows, leases, engines."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from carboy.jobs.settings import JobsSettings
from carboy.lazy import lazy_names

if TYPE_CHECKING:
    from carboy.jobs.after_commit import notify_after_commit
    from carboy.jobs.completion import Waiters
    from carboy.jobs.definitions import Abandon, Commit, Job, Later, Registry, job
    from carboy.jobs.embedded import Embedded
    from carboy.jobs.engine_registry import JobEngine, Ready, check_engine, engine_class
    from carboy.jobs.enqueuing import enqueue
    from carboy.jobs.job_rows import accepted_ms, first_id, new_id, put, put_each, row_of, withdraw
    from carboy.jobs.job_store import JobStore, JobView
    from carboy.jobs.owner import is_dead, make_owner
    from carboy.jobs.periodic_job import PeriodicJob

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
    "PeriodicJob",
    "Ready",
    "Registry",
    "Waiters",
    "accepted_ms",
    "check_engine",
    "engine_class",
    "enqueue",
    "first_id",
    "is_dead",
    "job",
    "make_owner",
    "new_id",
    "notify_after_commit",
    "put",
    "put_each",
    "row_of",
    "withdraw",
]

__getattr__: Callable[[str], Any] = lazy_names(
    __name__,
    {
        ".after_commit": ("notify_after_commit",),
        ".definitions": ("Abandon", "Commit", "Job", "Later", "Registry", "job"),
        ".embedded": ("Embedded",),
        ".engine_registry": ("JobEngine", "Ready", "check_engine", "engine_class"),
        ".enqueuing": ("enqueue",),
        ".owner": ("is_dead", "make_owner"),
        ".periodic_job": ("PeriodicJob",),
        ".job_rows": ("accepted_ms", "first_id", "new_id", "put", "put_each", "row_of", "withdraw"),
        ".job_store": ("JobStore", "JobView"),
        ".completion": ("Waiters",),
    },
    part="jobs",
)
