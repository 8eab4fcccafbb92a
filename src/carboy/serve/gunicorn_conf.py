"""Gunicorn's configuration: `gunicorn -c python:carboy.serve.gunicorn_conf 'carboy:create_app()'`.

Gunicorn's command line and `GUNICORN_CMD_ARGS` win over it. Time-outs come from the settings `KEEPALIVE_S`,
`HEADER_TIMEOUT_S`, `BODY_TIMEOUT_S`, `DRAIN_S`, `MAX_CONNECTIONS`.
"""

import os
from typing import Any

from carboy.config import read_sources
from carboy.jobs import JobsSettings
from carboy.serve.affinity import available_cpus, choose_cpu
from carboy.serve.gunicorn_worker import BufferingWorker
from carboy.serve.settings import ServeSettings
from carboy.web import load_settings
from carboy.web.metrics.shared_files import share_metrics

share_metrics()  # before `--preload` imports the application
_settings = load_settings(lambda *_: [ServeSettings, JobsSettings], read_sources)[0]
_serve, _jobs = _settings.part(ServeSettings), _settings.part(JobsSettings)

bind = "127.0.0.1:8000"
workers = 1
threads = 32
worker_class = "carboy.serve.gunicorn_worker.BufferingWorker"
worker_connections: int = _serve.max_connections
keepalive: int = int(_serve.keepalive_s)
timeout = 60
logger_class = "carboy.logs.GunicornLogger"
control_socket_disable = True  # it would lie in the user's home
graceful_timeout: int = int(_serve.drain_s + _jobs.jobs_drain_s) + 5

forwarded_allow_ips = ""  # what a proxy says is believed by TRUSTED_PROXIES alone
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}

SHARED = (
    *("worker_class", "keepalive", "timeout", "graceful_timeout", "logger_class", "control_socket_disable"),
    *("forwarded_allow_ips", "forwarder_headers", "secure_scheme_headers", "pre_fork", "post_fork", "worker_exit"),
)
"""What `carboy serve` takes from here; a hook that is added here is to be named."""

BufferingWorker.timeouts = _serve


def pre_fork(server: Any, worker: Any) -> None:
    """Choose the worker's CPU, where `WORKER_CPU_AFFINITY` is on."""
    if _serve.worker_cpu_affinity == "auto":
        worker.cpu = choose_cpu(available_cpus(), [other.cpu for other in server.WORKERS.values()])


def post_fork(_server: Any, worker: Any) -> None:
    """Set the worker's CPU and its time to drain; with `--preload`, give it database connections of its own."""
    if worker.cpu is not None:
        os.sched_setaffinity(0, {worker.cpu})
    worker.cfg.set("graceful_timeout", int(_serve.drain_s))
    if worker.app.callable is not None:
        from carboy.serve.service import Service

        Service(worker.app.callable).after_fork()


def post_worker_init(worker: Any) -> None:
    """Migrate an embedded database, and start the jobs."""
    worker.service.check_processes(worker.cfg.workers)
    worker.service.prepare()
    worker.service.start()


def worker_exit(_server: Any, worker: Any) -> None:
    """Stop the jobs after the last request; end at once where requests were cut."""
    service = getattr(worker, "service", None)
    if service is not None:
        service.stop()
    if not worker.is_whole:
        os._exit(1)
