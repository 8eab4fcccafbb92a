"""The application that a process serves, with what runs beside it: database at its newest, job engine, a clean end."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["MakeApp", "Service"]

MakeApp = Callable[[], Any]
"""Makes the WSGI application in the process that serves it."""


class Service:
    """An application in the process that serves it.

    Any WSGI application will do; what `create_app` made brings a database and jobs.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self._is_started = False

    @property
    def flask(self) -> "Flask | None":
        """The Flask application; None where it is another kind."""
        flask = sys.modules.get("flask")
        return self.app if flask is not None and isinstance(self.app, flask.Flask) else None

    @property
    def runtime(self) -> Any:
        """What `create_app` built around the application; None for an application without it."""
        return self.flask.extensions.get("carboy") if self.flask is not None else None

    def prepare(self) -> None:
        """Make the instance folder, and bring an embedded database to its newest form."""
        runtime = self.runtime
        if runtime is None:
            return
        runtime.settings["INSTANCE_PATH"].mkdir(parents=True, exist_ok=True)
        if runtime.engine is not None and runtime.engine.dialect.name == "sqlite":
            from carboy.db.migrate import upgrade

            upgrade(runtime.engine)

    def start(self) -> None:
        """Start the job engine; the server is up by now."""
        if self._jobs is not None and not self._is_started:
            self._jobs.start()
            self._is_started = True

    def stop(self, drain_s: float) -> None:
        """Stop the job engine; jobs that still run after `drain_s` go back to the others."""
        if self._jobs is not None and self._is_started:
            self._jobs.stop(drain_s)
            self._is_started = False

    def after_fork(self) -> None:
        """Leave the parent's database connections to the parent."""
        if self.runtime is not None and self.runtime.engine is not None:
            self.runtime.engine.dispose(close=False)

    @property
    def _jobs(self) -> Any:
        jobs = getattr(self.runtime, "jobs", None)
        return getattr(jobs, "engine", None)
