"""Migrate the tables of Carboy's own parts, once, however many processes start.

They have a version table of their own, `carboy_version`, apart from that of a project's migrations.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from carboy.db.engines import make_folder
from carboy.db.failed_migration import TABLE as NOTE_TABLE
from carboy.db.failed_migration import record_failures
from carboy.errors import CarboyError, Unreachable
from carboy.extras import extra

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection, Engine

__all__ = ["VERSION_TABLE", "current", "head", "is_current", "is_ours", "lock", "upgrade"]

VERSION_TABLE = "carboy_version"
ALEMBIC = threading.RLock()
"""Held while Alembic runs: it keeps what it works on in the module, one at a time."""

_LOCK_NAME = "carboy_migrations"
_FOLDER = Path(__file__).parent / "migrations"
_LOOK_AGAIN_S = 0.1
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
    """Return the version that a database has; None without Carboy's tables."""
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


def is_ours(table: str) -> bool:
    """Return whether a table is one of Carboy's own parts, so that a project's migrations leave it alone."""
    return table in _TABLES


_TABLES = frozenset(
    {
        VERSION_TABLE, NOTE_TABLE,
        "archive_attempts", "archive_deliveries", "archive_destinations", "archive_exchanged_secrets",
        "archive_items", "archive_refused", "carboy_audit", "carboy_jobs",
        "carboy_keys", "carboy_sessions", "carboy_shared", "carboy_turns",
        "sms_budgets", "sms_codes", "sms_daily", "sms_inbound",
        "sms_messages", "sms_opt_outs", "sms_receipts", "sms_requests",
    }
)  # fmt: skip


def upgrade(engine: "Engine", *, lock_wait_s: float = 300.0) -> bool:
    """Bring a database to the head and return whether there was anything to do; at the head no lock is taken.

    Args:
        engine: the database; a folder that its SQLite file needs is made.
        lock_wait_s: how long to wait for another process that is migrating.

    Raises:
        Unreachable: another process kept the lock for longer than that.
    """
    with extra("db"):
        from alembic import command
    make_folder(engine)
    if is_current(engine):
        return False
    with lock(engine, lock_wait_s):
        if is_current(engine):
            return False
        with record_failures(engine), engine.connect() as connection, ALEMBIC:
            command.upgrade(_config(connection), "head")
        return True


def _config(connection: "Connection | None") -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def lock(engine: "Engine", wait_s: float = 300.0) -> Iterator[None]:
    """Hold the one lock of migrations, a project's own too.

    Raises:
        Unreachable: another process kept it for longer than `wait_s`.
    """
    match engine.dialect.name:
        case "sqlite":
            with _file_lock(engine.url.database, wait_s):
                yield
        case "postgresql":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                query = f"SELECT pg_try_advisory_lock({_LOCK_NUMBER})"
                _wait_for(lambda: connection.exec_driver_sql(query).scalar() is True, wait_s)
                try:
                    yield
                finally:
                    connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LOCK_NUMBER})")
        case _:
            with engine.connect() as connection:
                query = f"SELECT GET_LOCK('{_LOCK_NAME}', 0)"
                _wait_for(lambda: connection.exec_driver_sql(query).scalar() == 1, wait_s)
                try:
                    yield
                finally:
                    connection.exec_driver_sql(f"SELECT RELEASE_LOCK('{_LOCK_NAME}')")


def _wait_for(has_lock: Callable[[], bool], wait_s: float) -> None:
    give_up_at_s = time.monotonic() + wait_s
    while not has_lock():
        if time.monotonic() >= give_up_at_s:
            raise Unreachable(
                "the database was not migrated",
                f"another process kept the lock of migrations for {wait_s:g} s",
                "see what migrates it",
            )
        time.sleep(_LOOK_AGAIN_S)


@contextmanager
def _file_lock(database: str | None, wait_s: float) -> Iterator[None]:
    if not database or database == ":memory:":
        yield
        return

    def has_lock() -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released by the kernel when the process ends
        except BlockingIOError:
            return False
        return True

    descriptor = os.open(f"{database}.migrating", os.O_CREAT | os.O_RDWR, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        _wait_for(has_lock, wait_s)
        yield
