"""Gunicorn's configuration: `gunicorn -c python:carboy.serve.gunicorn_conf 'carboy:create_app()'`.

What is not said on gunicorn's command line or in `GUNICORN_CMD_ARGS` is taken from here. Time-outs come from the
settings `KEEPALIVE_S`, `HEADER_TIMEOUT_S`, `BODY_TIMEOUT_S`, `DRAIN_S`, `MAX_CONNECTIONS`.
"""

import os
from typing import Any

from carboy.config import read_sources
from carboy.jobs import JobsSettings
from carboy.serve.affinity import available_cpus, choose_cpu
from carboy.serve.gunicorn_ import DrainingWorker
from carboy.serve.settings import ServeSettings
from carboy.web import load_settings
from carboy.web.metrics.shared_files import share_metrics

share_metrics()  # before `--preload` imports the application
_settings = load_settings(lambda *_: [ServeSettings, JobsSettings], read_sources)[0]
_serve, _jobs = _settings.part(ServeSettings), _settings.part(JobsSettings)

bind = "127.0.0.1:8000"
workers = 1
threads = 32
worker_class = "carboy.serve.gunicorn_.DrainingWorker"
worker_connections: int = _serve.max_connections
keepalive: int = int(_serve.keepalive_s)
timeout = 60
logger_class = "carboy.logs.GunicornLogger"
control_socket_disable = True  # it would lie in the user's home
graceful_timeout: int = int(_serve.drain_s + _jobs.jobs_drain_s) + 5

DrainingWorker.timeouts = _serve


def pre_fork(server: Any, worker: Any) -> None:
    """Choose the CPU that a worker stays on, where it is to stay on one."""
    if _serve.worker_cpu_affinity == "auto":
        worker.cpu = choose_cpu(available_cpus(), [other.cpu for other in server.WORKERS.values()])


def post_fork(_server: Any, worker: Any) -> None:
    """Give a worker its CPU, its own time to drain, and with `--preload` its own database connections."""
    if worker.cpu is not None:
        os.sched_setaffinity(0, {worker.cpu})
    worker.cfg.set("graceful_timeout", int(_serve.drain_s))
    if worker.app.callable is not None:
        from carboy.serve.service import Service

        Service(worker.app.callable).after_fork()


def post_worker_init(worker: Any) -> None:
    """Bring an embedded database to its newest form, and start the jobs."""
    worker.service.check_processes(worker.cfg.workers)
    worker.service.prepare()
    worker.service.start()


def worker_exit(_server: Any, worker: Any) -> None:
    """Stop the jobs after the last request; do not wait for those that were cut."""
    service = getattr(worker, "service", None)
    if service is not None:
        service.stop()
    if not worker.is_whole:
        os._exit(1)
