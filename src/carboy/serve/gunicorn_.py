"""Serve with gunicorn: its threaded worker, with slow clients ended and nobody cut at a stop."""

import mmap
import os
import select
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from carboy.clock import SYSTEM_CLOCK
from carboy.errors import CarboyError
from carboy.extras import extra
from carboy.serve.deadlines import Deadlines
from carboy.serve.listener import address_of, quiet
from carboy.serve.request_bodies import Body, length_of
from carboy.serve.service import MakeApp, Service
from carboy.serve.settings import ServeSettings
from carboy.web.reload import has_terminal

with extra("serve"):
    from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
    from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
    from gunicorn.errors import HaltServer  # type: ignore[import-untyped]
    from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from carboy.serve.servers import OnReady, Plan

__all__ = ["DrainingWorker", "serve_gunicorn"]

_told = mmap.mmap(-1, 2)  # by the workers: whether one had to cut a request; the exit code of one that did not start
_CUT, _CODE = 0, 1


class DrainingWorker(ThreadWorker):  # type: ignore[misc]
    """Gunicorn's threaded worker, for clients of every kind.

    - A connection gets a thread when it has sent something; its headers and its body each have a time.
    - A stop accepts what the kernel had accepted already, before the socket closes.
    """

    timeouts: ServeSettings = ServeSettings()
    is_whole: bool = True
    cpu: int | None = None
    wsgi: Any
    nr_conns: int

    def init_process(self) -> None:
        """Start what ends slow clients, then serve."""
        self._deadlines = Deadlines(max_waiting=max(1, self.cfg.threads * 3 // 4))
        self._deadlines.run()
        try:
            super().init_process()
        except CarboyError as error:
            if self.age == 1:  # they all meet the same
                sys.stderr.write(f"error: {error}\nhint: {error.hint}\n")
            _told[_CODE] = error.exit_code
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def init_signals(self) -> None:
        """Take SIGINT as SIGTERM: a terminal sends it to every process, and the master decides."""
        super().init_signals()
        signal.signal(signal.SIGINT, self.handle_exit)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the service listens to it

    def run(self) -> None:
        """Serve until a stop; what outlasts its time is cut, and that is told."""
        super().run()
        self.is_whole = self.nr_conns <= 0
        if not self.is_whole:
            _told[_CUT] = 1

    def load_wsgi(self) -> None:
        """Load the application, and give it bodies that arrive in time."""
        super().load_wsgi()
        self.service: Service = Service(self.wsgi)
        self.wsgi = self._with_body(self.wsgi)

    def accept(self, listener: Any) -> None:
        """Accept a connection, and wait for its first bytes without a thread."""
        try:
            client, address = listener.accept()
        except OSError:
            return
        self.nr_conns += 1
        connection = TConn(self.cfg, client, address, listener.getsockname())
        connection.timeout = SYSTEM_CLOCK.monotonic_s() + self.timeouts.header_timeout_s
        self.pending_conns.append(connection)
        self.poller.register(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, connection))

    def set_accept_enabled(self, enabled: Any) -> None:
        """Stop accepting only when nothing is left to accept, where the worker is to end."""
        listeners: Any = self.sockets
        if not enabled and not self.alive and getattr(self, "_accepting", False):
            for listener in listeners:
                while _has_waiting(listener.sock) and self.nr_conns < self.worker_connections:
                    self.accept(listener)
        super().set_accept_enabled(enabled)

    def handle(self, conn: Any) -> Any:
        """Read a request within the time for headers, and answer it."""
        conn.carboy_wait = self._deadlines.begin(self.timeouts.header_timeout_s, partial(_hang_up, conn.sock))
        try:
            return super().handle(conn)
        finally:
            self._deadlines.finish(conn.carboy_wait)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer a request whose headers are there."""
        self._deadlines.finish(conn.carboy_wait)
        return super().handle_request(req, conn)

    def _with_body(self, app: Callable[..., Any]) -> Callable[..., Any]:
        def call(environ: dict[str, Any], start_response: Any) -> Any:
            environ["wsgi.input"] = Body(
                environ["wsgi.input"],
                length_of(environ),
                self.timeouts.body_timeout_s,
                self._deadlines,
                partial(_stop_reading, environ["gunicorn.socket"]),
            )
            return app(environ, start_response)

        return call


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
        """Have the workers read their settings again, and restart nobody; end when it was the terminal that closed."""
        if self._had_terminal and not has_terminal():
            self.handle_term()
        self.kill_workers(signal.SIGHUP)

    def stop(self, graceful: bool = True) -> None:
        for listener in self.LISTENERS:  # here and not in a worker: one that is only replaced leaves others behind
            quiet(listener.sock)
        super().stop(graceful)


def serve_gunicorn(
    plan: "Plan", listener: socket.socket, make_app: MakeApp, settings: ServeSettings, on_ready: "OnReady"
) -> bool:
    """Serve until a signal asks for a stop; come back when all is done.

    Returns:
        whether every open request was finished.

    Raises:
        SystemExit: where it could not serve: with the code of the error that a worker met, or 1.
    """
    from carboy.serve import gunicorn_conf

    url = address_of(listener)

    def post_worker_init(worker: Any) -> None:
        gunicorn_conf.post_worker_init(worker)
        if worker.age == 1:
            on_ready(worker.service, url)

    options = {
        name: getattr(gunicorn_conf, name)
        for name in ("worker_class", "worker_connections", "keepalive", "timeout", "graceful_timeout")
    }
    hooks = {name: getattr(gunicorn_conf, name) for name in ("pre_fork", "post_fork", "worker_exit")}
    application = _Application(
        make_app,
        options
        | hooks
        | {
            "bind": f"fd://{listener.fileno()}",
            "workers": plan.workers,
            "threads": plan.threads,
            "worker_connections": settings.max_connections,
            "post_worker_init": post_worker_init,
            "control_socket_disable": True,
            "logger_class": "carboy.logs.GunicornLogger",
            "loglevel": "warning",
        },
    )
    master = os.getpid()
    try:
        _Arbiter(application).run()
    except HaltServer:  # a second worker failed while the first one's failure was seen to
        sys.exit(_told[_CODE] or 1)
    except SystemExit as end:
        if os.getpid() != master:  # a worker, whose code gunicorn reads
            raise
        if end.code:  # gunicorn's own codes mean something else than ours
            sys.exit(_told[_CODE] or 1)
    return not _told[_CUT]


def _has_waiting(listener: socket.socket) -> bool:
    return bool(select.select([listener], [], [], 0)[0])


def _hang_up(client: socket.socket) -> None:
    with suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


def _stop_reading(client: socket.socket) -> None:
    with suppress(OSError):
        client.shutdown(socket.SHUT_RD)
