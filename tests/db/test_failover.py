"""A server that has become read-only is left: connections are closed, and writes go to the new writer by themselves."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from carboy.db import Address, Connector, DbSettings, GroupCommit, engine, is_unavailable, upgrade
from carboy.errors import Unreachable
from carboy.testing.processes import DatabaseServer


def _add(connection: object, items: object) -> list[None]:
    connection.exec_driver_sql("INSERT INTO words VALUES (1)")  # type: ignore[attr-defined]
    return [None] * len(items)  # type: ignore[arg-type]


def _demote(server: DatabaseServer, database: str, user: str) -> Callable[[], None]:
    """Have a server take no writes of a user, in this database; return what undoes it."""
    if server.dialect == "mysql":
        server.execute("SET GLOBAL read_only = 1")
        return lambda: (server.execute("SET GLOBAL read_only = 0"), None)[1]
    server.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    return lambda: None


@pytest.fixture(params=["mariadb_server", "postgres_server"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[DatabaseServer, str, str]]:
    """A database, and a user who is no administrator."""
    server: DatabaseServer = request.getfixturevalue(request.param)
    database = server.create_database()
    user = f"app_{database}"
    if server.dialect == "mysql":
        server.execute(f"CREATE USER {user}@'%' IDENTIFIED BY 'secret'", f"CREATE DATABASE {database}_b")
        for name in (database, f"{database}_b"):
            server.execute(f"GRANT ALL ON {name}.* TO {user}@'%'")
    else:
        server.create_user(user, "secret")
        server.execute(f"CREATE DATABASE {database}_b")
    yield server, database, user
    if server.dialect == "mysql":
        server.execute("SET GLOBAL read_only = 0")


def test_after_a_fail_over_writes_return_by_themselves(place: tuple[DatabaseServer, str, str]) -> None:
    """The name leads to the new writer; each connection to the old one is closed at its first refusal."""
    server, database, user = place
    at = [Address(server.host, server.port, database)]
    settings = DbSettings(database_url=server.url(user, "secret", database), db_tls_ca=server.ca_path)
    made = engine(settings, connector=Connector(settings, where=lambda: at[0]))
    for name in (database, f"{database}_b"):
        at[0] = Address(server.host, server.port, name)
        made.dispose()
        with made.begin() as connection:
            connection.execute(text("CREATE TABLE words (word INT)"))
    at[0] = Address(server.host, server.port, database)
    made.dispose()
    writer = GroupCommit(made)
    writer.run(_add, None)

    undo = _demote(server, database, user)
    if server.dialect == "postgresql":
        with made.connect() as connection:  # as a server does that is demoted while connections are open
            connection.exec_driver_sql("SET SESSION default_transaction_read_only = on")
            connection.commit()
    with pytest.raises(Unreachable):
        writer.run(_add, None)

    undo()
    at[0] = Address(server.host, server.port, f"{database}_b")
    writer.run(_add, None)
    with made.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM words")).scalar() == 1
    made.dispose()


def test_a_fault_of_the_code_is_not_a_database_that_is_away(
    sqlite: Engine, mariadb_server: DatabaseServer, postgres_server: DatabaseServer
) -> None:
    """A missing table, a syntax error, a NULL: alike on every database."""
    engines = [sqlite, *(engine(DbSettings(database_url=one.url())) for one in (mariadb_server, postgres_server))]
    for made in engines:
        for statement in ("SELECT * FROM nothing_of_it", "SELEC 1", "INSERT INTO nothing_of_it VALUES (1)"):
            with made.connect() as connection, pytest.raises(DBAPIError) as caught:
                connection.exec_driver_sql(statement)
            assert not is_unavailable(caught.value), (made.dialect.name, statement)
    for made in engines[1:]:
        made.dispose()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_sqlite_writes_is_its_owners_alone(tmp_path: Path, umask: int) -> None:
    """The file, its log and shared memory, the lock of migrations, and each folder that is made."""
    before = os.umask(umask)
    try:
        made = engine(DbSettings(database_url=f"sqlite:///{tmp_path}/deep/down/carboy.db"))
        upgrade(made)
        GroupCommit(made).check()
        with made.connect():
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "deep").rglob("*")}
    finally:
        os.umask(before)
    assert modes.pop("down") == 0o700
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700
    assert {"carboy.db", "carboy.db-wal", "carboy.db-shm"} <= set(modes)
    assert set(modes.values()) == {0o600}
    made.dispose()
