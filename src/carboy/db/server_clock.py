"""Clock of the database server, so that processes on machines with different clocks agree."""

import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from carboy.clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from sqlalchemy import Engine

_ASK_AGAIN_S = 30.0
_ASK_LATER_S = 1.0
_QUESTIONS = {
    "postgresql": "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
    "mysql": "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000",
}
_QUESTIONS["mariadb"] = _QUESTIONS["mysql"]


class ServerClock:
    """The clock of the database server; the local clock until the server has answered, and with SQLite.

    The server is asked whenever a connection is opened, and now and then when one is used again; between two answers
    the machine's monotonic clock counts on. So neither a wrong wall clock nor one that jumps moves a lease.

    Args:
        machine: this machine's clock.
    """

    def __init__(self, machine: Clock = SYSTEM_CLOCK) -> None:
        self._machine = machine
        self._engine: Engine | None = None
        self._anchor: tuple[int, float] | None = None  # the server's milliseconds, our monotonic seconds
        self._ask_at_s = float("inf")
        self._asks = threading.local()

    def follow(self, engine: "Engine") -> None:
        """Take the time from an engine's server from now on."""
        from sqlalchemy import event

        if engine.dialect.name in _QUESTIONS:
            self._engine, self._ask_at_s = engine, 0.0
            event.listen(engine, "connect", self._on_connect)
            event.listen(engine, "checkout", self._on_checkout)

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch, UTC."""
        if self._anchor is None and self._engine is not None and self._machine.monotonic_s() >= self._ask_at_s:
            self._open()
        if self._anchor is None:
            return self._machine.now_ms()
        server_ms, at_s = self._anchor
        return server_ms + round((self._machine.monotonic_s() - at_s) * 1000)

    def monotonic_s(self) -> float:
        """Return seconds from an arbitrary start that never go back."""
        return self._machine.monotonic_s()

    def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""
        self._machine.sleep(seconds)

    def _open(self) -> None:
        """Open a connection, which reads the time; where that fails, use the local clock for a while."""
        if self._engine is None or getattr(self._asks, "is_asking", False):  # a vault is asked within a connect
            return
        self._asks.is_asking = True
        try:
            with suppress(Exception):  # the next statement raises the error
                self._engine.connect().close()
        finally:
            self._asks.is_asking = False
            if self._anchor is None:
                self._ask_at_s = self._machine.monotonic_s() + _ASK_LATER_S

    def _on_connect(self, connection: Any, _record: Any) -> None:
        assert self._engine is not None
        began_s = self._machine.monotonic_s()
        with closing(connection.cursor()) as cursor:
            cursor.execute(_QUESTIONS[self._engine.dialect.name])
            server_ms = int(cursor.fetchone()[0])
        connection.rollback()  # the question began a transaction
        ended_s = self._machine.monotonic_s()
        self._anchor = server_ms, (began_s + ended_s) / 2
        self._ask_at_s = ended_s + _ASK_AGAIN_S

    def _on_checkout(self, connection: Any, record: Any, _proxy: Any) -> None:
        if self._machine.monotonic_s() >= self._ask_at_s:
            self._ask_at_s = self._machine.monotonic_s() + _ASK_LATER_S
            with suppress(Exception):  # the next statement raises the error of the connection
                self._on_connect(connection, record)
