"""A database that accepts and does not answer: writers fail within their budget, then at once, and recover alone."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

from carboy.db import DbSettings, GroupCommit, engine, fail_fast, is_unavailable
from carboy.errors import Unreachable
from carboy.testing.processes import DatabaseServer

BUDGET_S = 1.0
SLACK_S = 1.5  # of a loaded machine


def _add(connection: Connection, words: Sequence[str]) -> list[int]:
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    connection.exec_driver_sql("INSERT INTO words VALUES (%s)".replace("%s", mark), [(word,) for word in words])
    return [len(words)] * len(words)


def _engine(url: str) -> Engine:
    made = engine(DbSettings(database_url=url, db_request_budget_s=BUDGET_S, db_probe_s=0.2))
    with made.begin() as connection:
        for table in ("words (word VARCHAR(40))", "carboy_version (version_num VARCHAR(32))"):
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table.partition(' ')[0]}")
            connection.exec_driver_sql(f"CREATE TABLE {table}")
    return made


@contextmanager
def _sqlite_locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")


@contextmanager
def _table_locked(server: DatabaseServer, database: str) -> Iterator[None]:
    with closing(server.connect(database=database)) as holder, closing(holder.cursor()) as cursor:
        if server.dialect == "mysql":
            cursor.execute("LOCK TABLES words WRITE")
            yield
            cursor.execute("UNLOCK TABLES")
        else:
            cursor.execute("BEGIN")
            cursor.execute("LOCK TABLE words IN ACCESS EXCLUSIVE MODE")
            yield
            cursor.execute("ROLLBACK")


@contextmanager
def _frozen(server: DatabaseServer) -> Iterator[None]:
    server.process.freeze()
    try:
        yield
    finally:
        server.process.thaw()


Stall = Callable[[], AbstractContextManager[None]]


@pytest.fixture(params=["sqlite", "mariadb locked", "mariadb frozen", "postgres locked", "postgres frozen"])
def stalled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Engine, Stall]]:
    """A database, and what makes it stand still for as long as its block lasts."""
    kind, _, how = request.param.partition(" ")
    if kind == "sqlite":
        made = _engine(f"sqlite:///{tmp_path}/words.db")
        yield made, lambda: _sqlite_locked(tmp_path / "words.db")
    else:
        server: DatabaseServer = request.getfixturevalue(f"{kind}_server")
        name = server.create_database()
        made = _engine(server.url(database=name))
        yield made, lambda: _frozen(server) if how == "frozen" else _table_locked(server, name)
    made.dispose()


def test_writers_wait_no_longer_than_their_budget_and_then_not_at_all(stalled: tuple[Engine, Stall]) -> None:
    """So a thread is always left for other requests; when the database is back, writes work again by themselves."""
    made, stall = stalled
    writer = GroupCommit(made, wait_s=BUDGET_S, probe_s=0.2)
    assert writer.run(_add, "before") == 1
    took_s: list[float] = []
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            began_s = time.monotonic()
            with pytest.raises(Unreachable):
                writer.run(_add, "during")
            took_s.append(time.monotonic() - began_s)
            stop.wait(0.02)

    threads = [threading.Thread(target=write) for _ in range(16)]
    with stall():
        for thread in threads:
            thread.start()
        stop.wait(BUDGET_S * 3)
        stop.set()
        for thread in threads:
            thread.join(BUDGET_S + SLACK_S)
        assert not any(thread.is_alive() for thread in threads)
        with pytest.raises(Unreachable):
            writer.check()

    assert max(took_s) < BUDGET_S + SLACK_S
    assert sum(one > 0.5 for one in took_s) < 16 + 8  # of the first wave, and then one probe at a time
    assert len(took_s) > 200  # all the others failed at once
    deadline_s = time.monotonic() + 20
    while True:
        try:
            assert writer.run(_add, "after") == 1
            break
        except Unreachable:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
    writer.check()


def test_a_request_that_reads_waits_no_longer_than_its_budget(stalled: tuple[Engine, Stall]) -> None:
    """For a lock, and for a server that does not respond; SQLite's readers never wait."""
    made, stall = stalled
    with stall(), fail_fast():
        began_s = time.monotonic()
        if made.dialect.name == "sqlite":
            assert _read(made) == 0
        else:
            with pytest.raises(DBAPIError) as caught:  # a lock that was not free in time, or no answer
                _read(made)
            assert is_unavailable(caught.value)
        assert time.monotonic() - began_s < BUDGET_S + SLACK_S


def _read(made: Engine) -> int:
    with made.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM words").scalar_one())


@pytest.fixture(params=["mariadb", "postgres"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    found: DatabaseServer = request.getfixturevalue(f"{request.param}_server")
    return found


def test_reads_that_a_server_took_before_it_froze_end_too(server: DatabaseServer) -> None:
    """More of them than the pool has connections: no thread waits until the server continues."""
    name = server.create_database()
    made = _engine(server.url(database=name))
    errors: list[Exception] = []

    def read() -> None:
        with fail_fast(), pytest.raises((DBAPIError, NoConnection)) as caught:
            _read(made)
        assert is_unavailable(caught.value)
        errors.append(caught.value)

    threads = [threading.Thread(target=read) for _ in range(40)]
    with _table_locked(server, name):
        for thread in threads:
            thread.start()
        time.sleep(BUDGET_S / 4)  # the server has their queries
        with _frozen(server):
            deadline_s = time.monotonic() + 2 * BUDGET_S + 2.0 + SLACK_S  # libpq's shortest limit is 2 s
            for thread in threads:
                thread.join(deadline_s - time.monotonic())
            assert not any(thread.is_alive() for thread in threads)
    assert len(errors) == len(threads)
    with made.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1
    made.dispose()


def test_a_long_read_in_a_request_is_not_ended(server: DatabaseServer) -> None:
    """Only a server that answers no new connection either is frozen."""
    made = _engine(server.url(database=server.create_database()))
    sleep = "SELECT SLEEP(%s)" if server.dialect == "mysql" else "SELECT pg_sleep(%s)"
    with fail_fast(), made.connect() as connection:
        began_s = time.monotonic()
        connection.exec_driver_sql(sleep, (BUDGET_S * 2.5,))
        assert time.monotonic() - began_s >= BUDGET_S * 2.5
    made.dispose()
