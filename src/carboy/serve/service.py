"""The application that a process serves, with what runs beside it: database migrations, job engine, metrics."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from carboy.db import DbSettings
from carboy.errors import ConfigurationError
from carboy.extension import find_extension
from carboy.logs import get_logger
from carboy.private_folders import make_private_folder

if TYPE_CHECKING:
    from flask import Flask

MakeApp = Callable[[], Any]
"""Makes the WSGI application in the process that serves it."""


class Service:
    """An application in the process that serves it.

    Any WSGI application will do; what `create_app` made brings a database and jobs.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self._engine: Any = None
        self._beside: list[Any] = []

    @property
    def flask(self) -> "Flask | None":
        """The Flask application; None where it is another kind."""
        flask = sys.modules.get("flask")
        return self.app if flask is not None and isinstance(self.app, flask.Flask) else None

    @property
    def runtime(self) -> Any:
        """What `create_app` built around the application; None for an application without it."""
        found = find_extension(self.flask)
        return found if getattr(found, "jobs", None) is not None else None

    def prepare(self) -> None:
        """Make the instance folder and migrate an embedded database, the project's tables too."""
        if self._has_embedded_database:
            make_private_folder(self.runtime.settings["INSTANCE_PATH"])
            self.runtime.engine.connect().close()  # which migrates Carboy's own tables
            if self.flask is not None and "migrate" in self.flask.extensions:
                from carboy.db import upgrade_project

                if upgrade_project(self.flask):
                    get_logger(__name__).info("project_migrated")

    def check_processes(self, workers: int) -> None:
        """Refuse several processes on SQLite.

        Raises:
            ConfigurationError: there would be several.
        """
        if workers > 1 and self._has_embedded_database:
            raise ConfigurationError(
                f"{workers} workers cannot serve",
                "the database is SQLite, where two processes wait for each other's write lock",
                "use one worker with more threads, or a MySQL or PostgreSQL server (DATABASE_URL)",
            )

    def start(self) -> None:
        """Start what runs beside the application, the job engine last; the server is up by now."""
        runtime = self.runtime
        if runtime is None:
            return
        runtime.metrics.backend  # noqa: B018 (loads it before the first request)
        if bind := runtime.settings["METRICS_BIND"]:
            from carboy.web.metrics_listener import MetricsServer

            self._start_beside(MetricsServer(runtime.metrics, bind))
        if runtime.settings["CONSOLE_BIND"]:
            from carboy.web.console.listener import ConsoleListener

            self._start_beside(ConsoleListener(runtime))
        if runtime.centre.live is not None:
            from carboy.web.reload import RefreshOnRequest

            self._start_beside(RefreshOnRequest(runtime.centre.live, runtime.settings["INSTANCE_PATH"]))
        if runtime.jobs.engine is not None:
            self._engine = runtime.jobs.engine
            self._engine.start()
            for begin in runtime.at_start:
                begin()

    def stop(self, drain_s: float | None = None) -> None:
        """Stop what `start` has started; jobs that still run after `drain_s` (`JOBS_DRAIN_S`) go back to the others."""
        if self._engine is not None:
            self._engine.stop(drain_s)
        for one in self._beside:
            one.stop()

    def after_fork(self) -> None:
        """Leave the parent's database connections to the parent."""
        if self._has_database:
            self.runtime.engine.dispose(close=False)

    def _start_beside(self, one: Any) -> None:
        self._beside.append(one)
        one.start()

    @property
    def _has_database(self) -> bool:
        return self.runtime is not None and "database" in self.runtime.checks

    @property
    def _has_embedded_database(self) -> bool:
        return self._has_database and self.runtime.settings.part(DbSettings).is_embedded
