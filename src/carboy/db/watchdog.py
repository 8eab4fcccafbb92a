"""Deadlines of database work: how long a request may wait, and a watchdog that ends what waits longer.

Drivers have no timeout that covers a server which accepts and then says nothing. The watchdog shuts the socket of such
a connection down, so that the thread that reads from it gets an error at once.
"""

import heapq
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from itertools import count
from typing import Any

_until_s: ContextVar[float | None] = ContextVar("carboy_db_until_s", default=None)


@contextmanager
def fail_fast(within_s: float = float("inf")) -> Iterator[None]:
    """Limit how long database work in this context waits for the server, as in a request.

    Args:
        within_s: the seconds for all of it; each wait is also limited by `DB_REQUEST_BUDGET_S`.
    """
    until_s = time.monotonic() + within_s
    outer_s = _until_s.get()
    token = _until_s.set(until_s if outer_s is None else min(until_s, outer_s))
    try:
        yield
    finally:
        _until_s.reset(token)


def must_fail_fast() -> bool:
    """Return whether a caller waits for this work: within `fail_fast`, and within every request of Flask."""
    if _until_s.get() is not None:
        return True
    flask = sys.modules.get("flask")  # a process that has not loaded it serves no request
    return flask is not None and bool(flask.has_request_context())


def seconds_left(budget_s: float) -> float:
    """Return how many seconds a `fail_fast` block may still wait: the budget, or what is left of it."""
    until_s = _until_s.get()
    return budget_s if until_s is None else max(0.0, min(budget_s, until_s - time.monotonic()))


class Watch:
    """One watched connection; `has_fired` is True once the watchdog has ended it."""

    __slots__ = ("has_fired", "sock", "until_s")

    def __init__(self, sock: socket.socket, until_s: float) -> None:
        self.sock: socket.socket | None = sock
        self.until_s: float = until_s
        self.has_fired: bool = False


class _Watchdog:
    """One daemon thread per process, started by the first watch."""

    def __init__(self) -> None:
        self.reset()
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, Watch]] = []
        self._count = count()
        self._thread: threading.Thread | None = None
        self._wakes_at_s = 0.0

    def add(self, one: Watch) -> None:
        with self._changed:
            heapq.heappush(self._heap, (one.until_s, next(self._count), one))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="carboy-db-watchdog", daemon=True)
                self._thread.start()
            elif one.until_s < self._wakes_at_s:
                self._changed.notify()

    def remove(self, one: Watch) -> None:
        with self._changed:
            if one.sock is not None:
                one.sock.close()
                one.sock = None

    def _run(self) -> None:
        with self._changed:
            while True:
                now_s = time.monotonic()
                while self._heap and (self._heap[0][2].sock is None or self._heap[0][0] <= now_s):
                    one = heapq.heappop(self._heap)[2]
                    if one.sock is not None:
                        one.has_fired = True
                        with suppress(OSError):
                            one.sock.shutdown(socket.SHUT_RDWR)
                self._wakes_at_s = self._heap[0][0] if self._heap else now_s + 60.0
                self._changed.wait(self._wakes_at_s - now_s)


_WATCHDOG = _Watchdog()


@contextmanager
def watch(connection: Any, seconds: float) -> Iterator[Watch | None]:
    """End a driver's connection where the block takes longer than that; None for a driver whose socket is unknown.

    Args:
        connection: as the driver opened it.
        seconds: from now.
    """
    sock = socket_of(connection)
    if sock is None:
        yield None
        return
    one = Watch(sock, time.monotonic() + seconds)
    _WATCHDOG.add(one)
    try:
        yield one
    finally:
        _WATCHDOG.remove(one)


def socket_of(connection: Any) -> socket.socket | None:
    """Return a second handle of a connection's socket, which stays valid when the driver closes its own."""
    found = getattr(connection, "_sock", connection)  # PyMySQL's; psycopg's connection has the method itself
    try:
        return socket.socket(fileno=os.dup(found.fileno()))
    except Exception:  # noqa: BLE001 (SQLite, another driver, or a connection that is closed already)
        return None
