"""Serve with gunicorn: a master that starts, replaces and stops the workers."""

import logging
import os
import signal
import socket
import sys
from typing import Any

from carboy.extras import extra
from carboy.serve import gunicorn_conf
from carboy.serve.gunicorn_worker import CODE, CUT, exit_report
from carboy.serve.listener import address_of, quiet
from carboy.serve.plan import OnReady, Plan
from carboy.serve.service import MakeApp
from carboy.serve.settings import ServeSettings
from carboy.web.reload import has_terminal

with extra("serve"):
    from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
    from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
    from gunicorn.errors import HaltServer  # type: ignore[import-untyped]


class _Application(BaseApplication):  # type: ignore[misc]
    def __init__(self, make_app: MakeApp, options: dict[str, Any]) -> None:
        self._make_app, self._options = make_app, options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._make_app()


class _Arbiter(Arbiter):  # type: ignore[misc]
    """Gunicorn's master, for which Ctrl-C is an orderly stop too; a second signal ends it at once."""

    _is_stopping = False
    _had_terminal = has_terminal()

    def signal(self, sig: int, frame: Any) -> None:
        if sig in {signal.SIGTERM, signal.SIGINT}:
            if self._is_stopping:
                self.kill_workers(signal.SIGKILL)
                os._exit(128 + sig)
            self._is_stopping = True
        super().signal(sig, frame)

    def handle_int(self) -> None:
        self.handle_term()

    def handle_hup(self) -> None:
        """Have the workers reload their settings without a restart; stop when the terminal was closed."""
        if self._had_terminal and not has_terminal():
            self.handle_term()
        self.kill_workers(signal.SIGHUP)

    def stop(self, graceful: bool = True) -> None:
        for listener in self.LISTENERS:  # here and not in a worker: one that is only replaced leaves others behind
            quiet(listener.sock)
        super().stop(graceful)


def serve_gunicorn(
    plan: Plan, listener: socket.socket, make_app: MakeApp, settings: ServeSettings, on_ready: OnReady
) -> bool:
    """Serve until a signal asks for a stop; come back when all is done.

    Returns:
        whether every open request was finished.

    Raises:
        SystemExit: where it could not serve: with the code of the error that a worker met, or 1.
    """
    url = address_of(listener)

    def post_worker_init(worker: Any) -> None:
        gunicorn_conf.post_worker_init(worker)
        if worker.age == 1:
            on_ready(worker.service, url)

    options = {
        **{name: getattr(gunicorn_conf, name) for name in gunicorn_conf.SHARED},
        "bind": f"fd://{listener.fileno()}",
        "workers": plan.workers,
        "threads": plan.threads,
        "worker_connections": settings.max_connections,
        "post_worker_init": post_worker_init,
        "loglevel": "warning",
    }
    master = os.getpid()
    logging.getLogger("gunicorn.error").addFilter(lambda _: not exit_report[CODE])  # the worker reported its error
    try:
        _Arbiter(_Application(make_app, options)).run()
    except HaltServer:  # a second worker failed while the first one's failure was seen to
        sys.exit(exit_report[CODE] or 1)
    except SystemExit as end:
        if os.getpid() != master:  # a worker, whose code gunicorn reads
            raise
        if end.code:  # gunicorn's own codes mean something else than ours
            sys.exit(exit_report[CODE] or 1)
    return not exit_report[CUT]
