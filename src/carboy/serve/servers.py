"""Which server runs, in how many processes and threads, and what it takes to start and stop one."""

import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, assert_never

from carboy.errors import CarboyError, UsageError
from carboy.serve.listener import address_of, open_listener, quiet
from carboy.serve.service import MakeApp, Service
from carboy.serve.settings import ServeSettings
from carboy.serve.signals import StopSignals
from carboy.serve.worker_count import run_workers
from carboy.web.metrics.shared_files import share_metrics

__all__ = ["OnReady", "Plan", "ServerName", "check_plan", "serve"]

ServerName = Literal["gunicorn", "granian", "dev"]

OnReady = Callable[[Service, str], None]
"""Called once, with what is served and its URL, when the first process answers."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        workers: processes.
        threads: requests handled at once by each process.
        reload: whether it starts anew when a file of the project changes.
    """

    server: ServerName = "gunicorn"
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    threads: int = 32
    reload: bool = False


def check_plan(plan: Plan) -> None:
    """Refuse a plan that cannot work, as far as that can be told without the application.

    Raises:
        UsageError: the options do not go together.
    """
    if plan.workers < 1 or plan.threads < 1:
        raise UsageError("nothing would be served", "--workers and --threads are at least 1", "leave them out")
    if plan.workers > 1 and (plan.reload or plan.server == "dev"):
        raise UsageError(
            f"{plan.workers} workers cannot serve",
            "--reload and the dev server run one process",
            "leave out --workers, or use --server gunicorn without --reload",
        )


def serve(plan: Plan, make_app: MakeApp, settings: ServeSettings, on_ready: OnReady) -> None:
    """Serve until a signal asks for a stop; then finish what was accepted, stop the jobs, and come back.

    Args:
        plan: what to run.
        make_app: makes the application; called in each process that serves.
        settings: time-outs and limits.
        on_ready: told when it serves.

    Raises:
        CarboyError: the port is taken, the server cannot be started, or requests had to be cut at its end.
    """
    if plan.server == "dev" or plan.reload:
        from carboy.serve.dev import serve_dev

        serve_dev(plan, make_app, on_ready)
        return
    share_metrics()
    listener = open_listener(plan.host, plan.port)
    match plan.server:
        case "gunicorn":
            from carboy.serve.gunicorn_ import serve_gunicorn

            is_whole = serve_gunicorn(plan, listener, make_app, settings, on_ready)
            _check_whole(is_whole, settings)
        case "granian":
            if plan.workers == 1:
                stop_on = (signal.SIGTERM, signal.SIGINT)
                _serve_granian(plan, listener, make_app, settings, on_ready, stop_on)
            else:
                _serve_granian_processes(plan, listener, make_app, settings, on_ready)
        case _:
            assert_never(plan.server)


def _serve_granian_processes(
    plan: Plan, listener: socket.socket, make_app: MakeApp, settings: ServeSettings, on_ready: OnReady
) -> None:
    def work(number: int) -> None:
        _serve_granian(plan, listener, make_app, settings, on_ready if number == 0 else _say_nothing, (signal.SIGTERM,))

    run_workers(plan.workers, work, before_stop=lambda: quiet(listener))
    listener.close()


def _serve_granian(
    plan: Plan,
    listener: socket.socket,
    make_app: MakeApp,
    settings: ServeSettings,
    on_ready: OnReady,
    stop_on: tuple[signal.Signals, ...],
) -> None:
    from carboy.serve.granian_ import GranianServer

    with StopSignals(stop_on) as signals:
        url = address_of(listener)
        service = Service(make_app())
        service.check_processes(plan.workers)
        service.prepare()
        server = GranianServer(service.app, listener, plan.threads, settings)
        server.start()
        service.start()
        on_ready(service, url)
        signals.wait_for_stop()
        is_whole = server.drain(is_alone=plan.workers == 1)
        service.stop()
    _check_whole(is_whole, settings)


def _check_whole(is_whole: bool, settings: ServeSettings) -> None:
    if not is_whole:
        raise CarboyError(
            "open requests were cut", f"they took longer than {settings.drain_s:g} s", "give them more by DRAIN_S"
        )


def _say_nothing(_service: Service, _url: str) -> None:
    pass
