"""Helpers shared by the tests of `scale`."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, event

from carboy.db import DbSettings, GroupCommit, engine
from carboy.testing.processes import DatabaseServer


@contextmanager
def without_deadlocks(server: DatabaseServer) -> Iterator[None]:
    """Fail where transactions waited for each other in a circle, in any database of a server, within the block."""
    before = _deadlocks(server)
    yield
    assert _deadlocks(server) == before, _last_deadlock(server)


def _deadlocks(server: DatabaseServer) -> int:
    if server.dialect == "mysql":
        return int(server.execute("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")[0][1])
    return int(server.execute("SELECT sum(deadlocks) FROM pg_stat_database")[0][0])


def _last_deadlock(server: DatabaseServer) -> str:
    if server.dialect == "mysql":
        status: str = server.execute("SHOW ENGINE INNODB STATUS")[0][2]
        return status.partition("LATEST DETECTED DEADLOCK")[2].partition("\nTRANSACTIONS\n")[0]
    return server.process.log.rpartition("deadlock detected")[2][:3000]


@dataclass
class Base:
    """A database of a test's own on a server, with Carboy's tables, and connections to it as processes have them."""

    server: DatabaseServer
    name: str
    _engines: list[Engine] = field(default_factory=list)
    _opened: list[Any] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.server.url(database=self.name).partition("?")[0]

    def engine(self, **settings: float) -> Engine:
        """Return an engine of its own, with a pool of its own."""
        made = engine(DbSettings(database_url=self.url, **settings))  # type: ignore[arg-type]
        event.listen(made, "connect", lambda connection, _: self._opened.append(connection))
        self._engines.append(made)
        return made

    def writer(self, **settings: float) -> GroupCommit:
        """Return the group commit that one process would have."""
        return GroupCommit(self.engine(**settings))

    def close(self) -> None:
        for thread in threading.enumerate():
            if thread.name.startswith(("carboy-shared", "carboy-jobs")):  # else it uses what is closed
                thread.join(30)
        for one in self._engines:
            one.dispose()
        for connection in self._opened:  # also those that a thread had in its hands, and gave to a pool of before
            with suppress(Exception):
                connection.close()
