"""Run an application's jobs under Celery's worker: the steps of the parent and its children at start and end.

Everything hangs on Celery's signals, so that `celery -A carboy.celery_app worker` and `carboy worker` are alike.
"""

import contextlib
import logging
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import orjson

from carboy.errors import ConfigurationError, UsageError
from carboy.jobs import JobsSettings
from carboy.logs import BoundLogger, get_logger
from carboy.serve.service import Service

if TYPE_CHECKING:
    from celery import Celery

log: BoundLogger = get_logger(__name__)

_LAST_RESORT_S = 5.0


def attach(service: Service) -> "Celery":
    """Return the Celery application of a service's jobs, prepared to run workers in this process.

    Raises:
        UsageError: the service has no jobs, or another engine runs them.
    """
    from carboy.jobs.celery.engine import CeleryEngine

    engine = service.runtime.jobs.engine if service.runtime is not None else None
    if not isinstance(engine, CeleryEngine):
        raise UsageError(
            "Celery has nothing to run",
            "the application has no jobs, or JOBS_ENGINE is not `celery`",
            "set JOBS_ENGINE=celery and JOBS_BROKER_URL, and start it in the project's folder",
        )
    _Life(service, engine).connect()
    return engine.celery


def run_worker(service: Service) -> int:
    """Run a Celery worker of processes until a signal ends it; return its exit code.

    Raises:
        ConfigurationError: a queue at the broker cannot be used as it is.
    """
    app = attach(service)
    try:
        service.runtime.jobs.engine.check_queues()
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001 (the broker is unreachable: the worker goes on trying)
        log.warning("jobs_broker_unavailable", error=f"{type(error).__name__}: {error}")
    worker: Any = app.Worker(
        hostname=f"carboy{os.getpid()}@{socket.gethostname()}",
        pool_cls="prefork",
        quiet=True,
        without_gossip=True,  # the workers meet in the database; and it stumbles over a broker that is restarted
        without_mingle=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


class _Life:
    """Handles the start and the end of a Celery worker."""

    def __init__(self, service: Service, engine: Any) -> None:
        from carboy.jobs.celery.row_worker import RowWorker

        self._service, self._engine = service, engine
        self._worker = RowWorker(engine)
        engine.perform = self._worker.perform
        self._drain_s = service.runtime.settings.part(JobsSettings).jobs_drain_s
        self._forks = True
        self._on_end = engine.on_end
        self._from_children, self._to_parent = os.pipe()
        os.set_blocking(self._to_parent, False)

    def connect(self) -> None:
        """Connect to Celery's signals."""
        from celery import signals

        if logging.getLogger().handlers:  # else the application has none, and Celery's own way is better than silence
            signals.setup_logging.connect(self._keep_logs, weak=False)
        for name, receiver in (
            ("worker_init", self._before_fork),
            ("worker_process_init", self._in_child),
            ("worker_process_shutdown", self._end_left),
            ("worker_ready", self._ready),
            ("worker_shutting_down", self._bound_the_end),
            ("worker_shutdown", self._end),
        ):
            getattr(signals, name).connect(receiver, weak=False)

    def _keep_logs(self, **_: Any) -> None:
        """Do nothing: with a receiver connected, Celery does not configure the logs."""

    def _before_fork(self, sender: Any, **_: Any) -> None:
        self._service.prepare()
        self._service.runtime.engine.dispose()
        self._forks = "prefork" in str(getattr(sender.pool_cls, "__module__", sender.pool_cls))

    def _in_child(self, **_: Any) -> None:
        if not self._forks:
            return
        from billiard.process import current_process

        self._service.after_fork()
        self._engine.on_end = self._notify_parent
        self._worker.begin(sweeps=getattr(current_process(), "index", 0) == 0)

    def _end_left(self, **_: Any) -> None:
        """End what jobs have left running, in the process that ran them."""
        self._engine.registry.stop(self._drain_s)

    def _ready(self, **_: Any) -> None:
        self._service.start()
        if self._forks:
            threading.Thread(target=self._hear_children, name="carboy-jobs-counts", daemon=True).start()
        else:
            self._worker.begin(sweeps=True)
        log.info("jobs_worker_ready", kinds=len(self._engine.celery.tasks))

    def _notify_parent(self, kind: str, outcome: str, took_s: float) -> None:
        """Have the parent count a try: it is the one whose metrics are seen."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._to_parent, orjson.dumps([kind, outcome, took_s]) + b"\n")  # whole: it is less than a page

    def _hear_children(self) -> None:
        with os.fdopen(self._from_children, "rb") as lines:
            for line in lines:
                self._on_end(*orjson.loads(line))

    def _bound_the_end(self, how: str, **_: Any) -> None:
        """End a stop that waits for jobs too long: first the jobs, then the process."""
        if how == "Warm":
            _later(self._drain_s, lambda: os.kill(os.getpid(), signal.SIGQUIT))
        _later(self._drain_s + _LAST_RESORT_S, self._give_up)

    def _give_up(self) -> None:
        log.error("jobs_worker_cut")
        self._worker.give_back()
        os._exit(1)

    def _end(self, **_: Any) -> None:
        if not self._forks:
            self._end_left()
        try:
            self._worker.give_back()
            self._worker.requeue_orphaned()
        except Exception as error:  # noqa: BLE001 (the sweeper of another worker does it)
            log.warning("jobs_not_released", error=str(error))
        self._service.stop()


def _later(seconds: float, act: Any) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()
