"""End the reads of requests that a frozen server will never answer.

A query may take its time, so that its age alone proves nothing. Where one takes longer than a request may wait, and the
server does not answer a new connection either, the connections that requests wait on are closed.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from carboy.db.watchdog import must_fail_fast, socket_of
from carboy.logs import BoundLogger, get_logger

if TYPE_CHECKING:
    from sqlalchemy import Engine

log: BoundLogger = get_logger(__name__)

_LOOKS = 8  # in the time of a budget
_IDLE_LOOKS = 40  # without any connection in use, then the thread ends


class FrozenServer:
    """Watches the connections that requests have taken from a pool.

    Args:
        budget_s: how long a request may wait for the database.
        probe: tries a new connection for so many seconds; returns the error of a server that did not answer in that
            time, None for one that answers or refuses.
        on_frozen: called with that error.
    """

    def __init__(
        self,
        budget_s: float,
        probe: Callable[[float], Exception | None],
        on_frozen: Callable[[Exception], object],
    ) -> None:
        self._budget_s, self._probe, self._on_frozen = budget_s, probe, on_frozen
        self._lock = threading.Lock()
        self._in_use: dict[int, tuple[Any, float]] = {}
        self._thread: threading.Thread | None = None

    def install(self, engine: "Engine") -> None:
        """Watch the pool of an engine."""
        from sqlalchemy import event

        event.listen(engine, "checkout", self._on_checkout)
        event.listen(engine, "checkin", self._on_checkin)
        event.listen(engine, "detach", self._on_checkin)

    def _on_checkout(self, connection: Any, record: Any, _: Any) -> None:
        if not must_fail_fast():
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # also after a fork
                self._in_use.clear()
                self._thread = threading.Thread(target=self._run, name="carboy-db-frozen", daemon=True)
                self._thread.start()
            self._in_use[id(record)] = connection, time.monotonic()

    def _on_checkin(self, _: Any, record: Any) -> None:
        if self._in_use:
            with self._lock:
                self._in_use.pop(id(record), None)

    def _run(self) -> None:
        idle = 0
        while True:
            time.sleep(self._budget_s / _LOOKS)
            with self._lock:
                idle = 0 if self._in_use else idle + 1
                if idle >= _IDLE_LOOKS:
                    self._thread = None
                    return
                oldest_s = min((began_s for _, began_s in self._in_use.values()), default=time.monotonic())
            if time.monotonic() - oldest_s >= self._budget_s / 2:
                error = self._probe(self._budget_s / 2)
                if error is not None:
                    self._end(error)

    def _end(self, error: Exception) -> None:
        """Close what has been waited for longer than the budget; the threads that read from it get an error."""
        self._on_frozen(error)
        before_s, count = time.monotonic() - self._budget_s, 0
        with self._lock:  # none of them goes back into the pool meanwhile
            for key, (connection, began_s) in list(self._in_use.items()):
                sock = socket_of(connection) if began_s <= before_s else None
                if sock is not None:
                    with suppress(OSError), sock:
                        sock.shutdown(socket.SHUT_RDWR)
                    del self._in_use[key]
                    count += 1
        if count:
            log.warning("database_frozen", connections=count, why=str(error))
