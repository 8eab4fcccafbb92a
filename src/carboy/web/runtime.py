"""What an application runs with: one object, found by `runtime()`."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.config import Settings
from carboy.db import DbSettings, GroupCommit, engine
from carboy.errors import UsageError
from carboy.jobs import JobsSettings, Registry
from carboy.web.metrics import Metrics
from carboy.web.rate_limits import RateLimiter
from carboy.web.readiness import Check
from carboy.web.settings import WebSettings

if TYPE_CHECKING:
    from flask import Flask
    from sqlalchemy import Engine

    from carboy.jobs import Embedded, JobStore
    from carboy.web.key_ring import KeyRing

__all__ = ["EXTENSION", "Jobs", "Runtime", "runtime"]

EXTENSION = "carboy"


class Runtime:
    """The objects that the parts of an application share.

    What stands on the database is made when it is first asked for, and SQLAlchemy imported only then.

    Attributes:
        settings: every setting, typed, with its origin.
        web: the settings of the assembly.
        clock: what time it is.
        metrics: what `/metrics` tells; modules add theirs.
        checks: what `/readyz` asks, by the name that it shows; modules add theirs. A check raises when its part
            cannot work; it runs in a thread of its own, inside the application's context.
        limiter: counts requests by key and address; None where `RATE_LIMIT` is off.
        documents: the OpenAPI documents that were registered; served merged.
        jobs: the jobs that are known, and who runs them.
    """

    def __init__(self, app: "Flask", settings: Settings, clock: Clock = SYSTEM_CLOCK) -> None:
        self.settings, self.clock = settings, clock
        self.web = web = settings.part(WebSettings)
        self.metrics = Metrics()
        self.checks: dict[str, Check] = {}
        self.documents: list[dict[str, Any]] = []
        self.limiter = (
            RateLimiter(web.rate_limit, max_callers=web.rate_limit_clients, clock=clock) if web.rate_limit else None
        )
        self.jobs = Jobs(self, app)
        self._lock = threading.RLock()
        self._made: dict[str, Any] = {}

    @property
    def engine(self) -> "Engine":
        """The database's engine."""
        return cast("Engine", self._once("engine", self._make_engine))

    @property
    def writer(self) -> GroupCommit:
        """The one door for writes of this process."""
        return cast("GroupCommit", self._once("writer", lambda: GroupCommit(self.engine)))

    @property
    def keys(self) -> "KeyRing":
        """The API keys."""
        return cast("KeyRing", self._once("keys", self._make_keys))

    def close(self) -> None:
        """Stop the jobs that run here and close the database's connections."""
        self.jobs.stop()
        made = self._made.get("engine")
        if made is not None:
            made.dispose()

    def _make_engine(self) -> "Engine":
        db = self.settings.part(DbSettings)
        if db.database_url.startswith("sqlite"):
            Path(self.settings["INSTANCE_PATH"]).mkdir(parents=True, exist_ok=True)
        return engine(db)

    def _make_keys(self) -> "KeyRing":
        from carboy.web.key_ring import KeyRing
        from carboy.web.key_store import KeyStore

        return KeyRing(KeyStore(self.engine, self.writer, self.clock), self.web.keys_cache_s, self.clock)

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        made = self._made.get(name)
        if made is None:
            with self._lock:
                made = self._made.get(name)
                if made is None:
                    made = self._made[name] = make()
        return made


class Jobs:
    """The jobs that an application knows, their rows, and the engine that runs them in this process."""

    def __init__(self, runtime: Runtime, app: "Flask") -> None:
        self._runtime, self._app = runtime, app
        self.registry = Registry()

    @property
    def store(self) -> "JobStore":
        """The rows of the jobs, for people and their tools."""
        return cast("JobStore", self._runtime._once("jobs.store", self._make_store))

    @property
    def engine(self) -> "Embedded":
        """The engine that runs jobs in threads of this process; whoever serves starts and stops it."""
        return cast("Embedded", self._runtime._once("jobs.engine", self._make_engine))

    def wake(self) -> None:
        """Say that rows were added; nothing where no engine runs in this process."""
        made = self._runtime._made.get("jobs.engine")
        if made is not None:
            made.wake()

    def stop(self) -> None:
        """Stop the engine where it runs."""
        made = self._runtime._made.get("jobs.engine")
        if made is not None:
            made.stop()

    def _make_store(self) -> "JobStore":
        from carboy.jobs import JobStore

        return JobStore(self._runtime.engine, self._runtime.writer, self._runtime.clock)

    def _make_engine(self) -> "Embedded":
        from carboy.jobs import Embedded

        runtime = self._runtime
        return Embedded(
            runtime.writer,
            self.registry,
            runtime.settings.part(JobsSettings),
            context=self._app.app_context,
            clock=runtime.clock,
        )


def runtime(app: "Flask | None" = None) -> Runtime:
    """Return what an application runs with; the current one by default.

    Raises:
        UsageError: the application was made without Carboy.
    """
    if app is None:
        from flask import current_app as app  # noqa: PLW0127
    found = app.extensions.get(EXTENSION)
    if found is None:
        raise UsageError("there is no runtime", "the application was made without Carboy", "call `carboy.init_app(app)`")
    return cast("Runtime", found)
