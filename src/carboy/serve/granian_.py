"""Serve with granian: its worker runs in this very process, and the way from its calls to WSGI is ours.

Granian's own command forks a worker that outlives a killed parent, binds so that a taken port is not noticed, puts the
whole environment into every request's `environ`, and waits for a slow body for ever. Used of it is its `WSGIWorker`
(HTTP in Rust, a pool of Python threads) on a socket that we opened.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from carboy.clock import SYSTEM_CLOCK
from carboy.errors import ConfigurationError
from carboy.extras import extra
from carboy.serve.deadlines import Deadlines
from carboy.serve.front import Door
from carboy.serve.listener import BACKLOG, quiet, wait_until_accepted
from carboy.serve.settings import ServeSettings

__all__ = ["GranianServer"]

_IDLE_THREAD_S = 600  # granian ends idle threads; starting one again costs more than keeping it


class GranianServer:
    """One process's server.

    Args:
        app: the WSGI application.
        listener: the socket; it is closed when the server stops.
        threads: requests handled at once.
        settings: time-outs and limits.
    """

    def __init__(
        self, app: Callable[..., Iterable[bytes]], listener: socket.socket, threads: int, settings: ServeSettings
    ) -> None:
        self._listener, self._threads, self._settings = listener, threads, settings
        self._deadlines = Deadlines(max_waiting=max(1, threads * 3 // 4))
        self._door = Door(app, settings.body_timeout_s, self._deadlines)
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin to serve, in threads of granian's.

        Raises:
            MissingExtra: granian is not installed.
            ConfigurationError: its version is one that we do not know.
        """
        with extra("serve"):
            futures: Any = import_module("granian._futures")
            native: Any = import_module("granian._granian")
            from granian.http import HTTP1Settings
        logging.getLogger("_granian").setLevel(logging.WARNING)  # what it says beside faults, we say better
        self._signal = native.WorkerSignal()
        self._signal.add_cb(self._ended.set)
        self._deadlines.run()
        self._quieter = self._listener.dup()
        self._loop = asyncio.new_event_loop()  # nothing runs in it: granian's scheduler wants one
        try:
            worker = native.WSGIWorker(
                worker_id=1,
                sock=(None, native.SocketHolder(self._listener.detach(), False, BACKLOG)),
                ipc=None,
                threads=1,
                blocking_threads=1,
                py_threads=self._threads,
                py_threads_idle_timeout=_IDLE_THREAD_S,
                backpressure=self._settings.max_connections,
                http_mode="1",
                # the same time for headers and for silence on a kept connection; neither holds a thread
                http1_opts=HTTP1Settings(header_read_timeout=int(self._settings.keepalive_s * 1000)),
            )
        except TypeError as error:
            raise ConfigurationError(
                "granian cannot be used",
                f"this version of it is not known here ({error})",
                "pip install 'carboy[serve]', or serve with --server gunicorn",
            ) from error
        worker.serve_mtr(futures._new_cbscheduler(self._loop, self._door, True), self._loop, self._signal)

    def drain(self, *, is_alone: bool) -> bool:
        """Finish every accepted request, then stop; return whether all were finished within `drain_s`.

        Args:
            is_alone: whether no other process accepts on this socket, so that the kernel may be told to make no
                further connections.
        """
        until_s = SYSTEM_CLOCK.monotonic_s() + self._settings.drain_s
        self._door.begin_to_drain()
        if is_alone:
            quiet(self._quieter)
        wait_until_accepted(self._quieter, timeout_s=1.0)
        SYSTEM_CLOCK.sleep(min(self._settings.drain_linger_s, self._settings.drain_s))
        self._quieter.close()
        self._signal.set()
        self._wait_for_connections(until_s)
        is_whole = self._door.wait_until_empty(max(0.0, until_s - SYSTEM_CLOCK.monotonic_s()))
        self._deadlines.stop()
        self._loop.close()
        return is_whole

    def _wait_for_connections(self, until_s: float) -> None:
        """Wait until all are closed; one that only ever sends half a request is not waited for to the end."""
        quiet_since_s = SYSTEM_CLOCK.monotonic_s()
        while not self._ended.wait(0.1):
            now_s = SYSTEM_CLOCK.monotonic_s()
            if not self._door.is_empty:
                quiet_since_s = now_s
            if now_s >= until_s or now_s - quiet_since_s >= self._settings.header_timeout_s:
                return
