"""Bring the tables of Carboy's own parts to the version that this code needs: once, however many processes ask.

They have a version table of their own, `carboy_version`, so that a project's migrations and ours never meet.
"""

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carboy.db.engines import make_folder
from carboy.db.failed_migration import noting_halts
from carboy.errors import CarboyError, Unreachable
from carboy.extras import extra

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection, Engine

__all__ = ["VERSION_TABLE", "current", "head", "is_current", "lock", "table_names", "upgrade"]

VERSION_TABLE = "carboy_version"
ALEMBIC = threading.RLock()
"""Held while Alembic runs: it keeps what it works on in the module, one at a time."""

_LOCK_NAME = "carboy_migrations"
_FOLDER = Path(__file__).parent / "migrations"
_LOCK_NUMBER = 0x6361_7262_6F79  # "carboy"


def head() -> str:
    """Return the version that this code needs: the files are numbered in their order, `0001_first.py`.

    Alembic is not asked, here and in `current`: it takes a quarter of a second to import, and most starts find a
    database that is at the head.
    """
    numbers = sorted(path.name.partition("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*_*.py"))
    if not numbers:
        raise CarboyError("the migrations cannot be read", "the package has none", "install carboy again")
    return numbers[-1]


def current(engine: "Engine") -> str | None:
    """Return the version that a database has; None where it has no table of ours."""
    with extra("db"):
        from sqlalchemy import inspect
    with engine.connect() as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        found = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()  # noqa: S608 (our own)
        return None if found is None else str(found)


def is_current(engine: "Engine") -> bool:
    """Return whether a database has the version that this code needs."""
    return current(engine) == head()


@cache
def table_names() -> frozenset[str]:
    """Return the names of the tables that are ours, so that a project's migrations leave them alone."""
    with extra("db"):
        from alembic import command
        from sqlalchemy import create_engine, inspect
    made = create_engine("sqlite://")
    with made.connect() as connection, ALEMBIC:
        command.upgrade(_config(connection), "head")
        names = frozenset(inspect(connection).get_table_names())
    made.dispose()
    return names


def upgrade(engine: "Engine", *, lock_wait_s: float = 300.0) -> bool:
    """Bring a database to the head and return whether there was anything to do; at the head no lock is taken.

    Args:
        engine: the database; a folder that its SQLite file needs is made.
        lock_wait_s: how long to wait for another process that is migrating.

    Raises:
        Unreachable: another process held the lock for longer than that.
    """
    with extra("db"):
        from alembic import command
    make_folder(engine)
    if is_current(engine):
        return False
    with lock(engine, lock_wait_s):
        if is_current(engine):
            return False
        with noting_halts(engine), engine.connect() as connection, ALEMBIC:
            command.upgrade(_config(connection), "head")
        return True


def _config(connection: "Connection | None") -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    return config


@contextmanager
def lock(engine: "Engine", wait_s: float = 300.0) -> Iterator[None]:
    """Hold the one lock of migrations, a project's own too.

    Raises:
        Unreachable: another process held it for longer than `wait_s`.
    """
    match engine.dialect.name:
        case "sqlite":
            with _file_lock(engine.url.database):
                yield
        case "postgresql":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql(f"SET lock_timeout = {int(wait_s * 1000)}")
                connection.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK_NUMBER})")
                try:
                    yield
                finally:
                    connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LOCK_NUMBER})")
        case _:
            with engine.connect() as connection:
                got: Any = connection.exec_driver_sql(f"SELECT GET_LOCK('{_LOCK_NAME}', {int(wait_s)})").scalar()
                if got != 1:
                    raise Unreachable(
                        "the database was not migrated", "another process held the lock", "see what migrates it"
                    )
                try:
                    yield
                finally:
                    connection.exec_driver_sql(f"SELECT RELEASE_LOCK('{_LOCK_NAME}')")


@contextmanager
def _file_lock(database: str | None) -> Iterator[None]:
    if not database or database == ":memory:":
        yield
        return
    with Path(f"{database}.migrating").open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # given up by the kernel when the process ends, however it ends
        yield
