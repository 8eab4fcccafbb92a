"""Load the job engine that `JOBS_ENGINE` names.

The rows are the truth. An engine only decides which process runs one next: a thread of this process, or a worker that
receives its message from a broker.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, dataclass
from importlib import import_module
from typing import Any, cast

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.db.group_commit import GroupCommit
from carboy.errors import ConfigurationError
from carboy.jobs.definitions import Registry
from carboy.jobs.settings import JobsSettings


@dataclass(frozen=True, slots=True)
class Ready:
    """A row that was committed, and waits.

    Attributes:
        id: of the row.
        kind: of its job.
        priority: the lower first.
        run_at_ms: not before this time, in milliseconds since the epoch.
    """

    id: int
    kind: str
    priority: int
    run_at_ms: int


@dataclass(eq=False, repr=False)
class JobEngine(ABC):
    """An engine that gets notified of rows that are ready, and runs them or passes them on; made, it does nothing yet.

    Attributes:
        writer: the process's writer.
        registry: the jobs of this process; rows of other kinds are left to others.
        settings: concurrency, lease, retention.
        context: entered around each job, such as `app.app_context`.
        clock: the time.
        on_end: called with kind, outcome and seconds of each try that ends in this process, for the metrics.
    """

    writer: GroupCommit
    registry: Registry
    settings: JobsSettings
    _: KW_ONLY
    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    clock: Clock = SYSTEM_CLOCK
    on_end: Callable[[str, str, float], None] | None = None

    @staticmethod
    def check_settings(settings: JobsSettings) -> object:
        """Check at the start whether the engine can be made.

        Raises:
            CarboyError: it cannot be made with these settings.
        """
        return None

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """Whether it was started and not stopped."""

    @abstractmethod
    def start(self) -> None:
        """Begin; called in the process that serves, after any fork."""

    @abstractmethod
    def stop(self, drain_s: float | None = None) -> bool:
        """End within `drain_s` (`JOBS_DRAIN_S`); return whether all that was under way ended in that time."""

    @abstractmethod
    def notify(self, rows: Sequence[Ready]) -> None:
        """Notify of committed rows; an empty sequence where only that is known.

        Called after the commit, in the thread that committed: it never raises, and never waits for a broker.
        """

    @abstractmethod
    def check(self) -> None:
        """Check whether it can work.

        Raises:
            Degraded: rows are kept, and will run late.
            CarboyError: it cannot work.
        """


_HOMES = {
    "embedded": ("carboy.jobs.embedded", "Embedded"),
    "celery": ("carboy.jobs.celery.engine", "CeleryEngine"),
    "sqs": ("carboy.jobs.sqs.engine", "SqsEngine"),
}


def check_engine(settings: JobsSettings) -> None:
    """Check at the start whether the engine of the settings can be made.

    Raises:
        CarboyError: it cannot be made.
    """
    engine_class(settings.jobs_engine).check_settings(settings)


def engine_class(name: str) -> type[JobEngine]:
    """Return the class of the engine of that name.

    Raises:
        ConfigurationError: the name is unknown.
    """
    if name not in _HOMES:
        known = ", ".join(f"`{one}`" for one in _HOMES)
        raise ConfigurationError(f"JOBS_ENGINE cannot be `{name}`", f"the engines are {known}", "correct JOBS_ENGINE")
    module, attribute = _HOMES[name]
    return cast("type[JobEngine]", getattr(import_module(module), attribute))
