"""Load the job engine that `JOBS_ENGINE` names.

The rows are the truth. An engine only decides which process runs one next: a thread of this process, or a worker that
receives its message from a broker.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from carboy.clock import Clock
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


class JobEngine(Protocol):
    """An engine that gets notified of rows that are ready, and runs them or passes them on."""

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped."""
        ...

    def start(self) -> None:
        """Begin; called in the process that serves, after any fork."""
        ...

    def stop(self, drain_s: float | None = None) -> bool:
        """End within `drain_s` (`JOBS_DRAIN_S`); return whether all that was under way ended in that time."""
        ...

    def notify(self, rows: Sequence[Ready]) -> None:
        """Notify of committed rows; an empty sequence where only that is known.

        Called after the commit, in the thread that committed: it never raises, and never waits for a broker.
        """
        ...

    def check(self) -> None:
        """Check whether it can work.

        Raises:
            Degraded: rows are kept, and will run late.
            CarboyError: it cannot work.
        """
        ...


class MakeEngine(Protocol):
    """Builds an engine and starts nothing; one that needs settings of its own has also `check_settings`."""

    def __call__(
        self,
        writer: GroupCommit,
        registry: Registry,
        settings: JobsSettings,
        *,
        context: Callable[[], AbstractContextManager[Any]],
        clock: Clock,
        on_end: Callable[[str, str, float], None] | None,
    ) -> JobEngine:
        """Return the engine; see `Embedded` for the arguments."""
        ...


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
    check = getattr(engine_class(settings.jobs_engine), "check_settings", None)
    if check is not None:
        check(settings)


def engine_class(name: str) -> MakeEngine:
    """Return the class of the engine of that name.

    Raises:
        ConfigurationError: the name is unknown.
    """
    if name not in _HOMES:
        known = ", ".join(f"`{one}`" for one in _HOMES)
        raise ConfigurationError(f"JOBS_ENGINE cannot be `{name}`", f"the engines are {known}", "correct JOBS_ENGINE")
    module, attribute = _HOMES[name]
    return cast("MakeEngine", getattr(import_module(module), attribute))
