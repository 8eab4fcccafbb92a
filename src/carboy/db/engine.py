"""Build the engine, and teach SQLite to be durable and to take its write lock in time."""

from typing import TYPE_CHECKING, Any

from carboy.db.settings import DbSettings
from carboy.extras import extra

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["WRITE", "engine", "engine_options", "prepare"]

WRITE: dict[str, Any] = {"carboy_write": True}
"""Execution options of a connection that writes: SQLite takes its lock at BEGIN, not at the first write."""


def engine(settings: DbSettings) -> "Engine":
    """Return an engine for these settings, without Flask.

    Raises:
        MissingExtra: SQLAlchemy is not installed.
    """
    with extra("db"):
        from sqlalchemy import create_engine
    return prepare(create_engine(settings.database_url, **engine_options(settings)), settings)


def engine_options(settings: DbSettings) -> dict[str, Any]:
    """Return the arguments of `create_engine`: a bounded pool, checked before use; the project's own win."""
    options: dict[str, Any] = {}
    if not _is_memory(settings.database_url):
        options = {"pool_size": settings.db_pool_size, "max_overflow": settings.db_pool_overflow}
    if not settings.database_url.startswith("sqlite"):
        options |= {"pool_pre_ping": True}
    return options | settings.sqlalchemy_engine_options


def prepare(made: "Engine", settings: DbSettings) -> "Engine":
    """Attach to an engine what its database needs, and return it."""
    if made.dialect.name == "sqlite":
        _prepare_sqlite(made, settings)
    return made


def _prepare_sqlite(made: "Engine", settings: DbSettings) -> None:
    from sqlalchemy import event

    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours, below: the driver's own comes too late for a write lock
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={int(settings.db_busy_s * 1000)}")
        if not _is_memory(settings.database_url):
            cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # a committed row survives a power cut
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    def on_begin(connection: "Connection") -> None:
        write = connection.get_execution_options().get("carboy_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    event.listen(made, "connect", on_connect)
    event.listen(made, "begin", on_begin)


def _is_memory(url: str) -> bool:
    return url.startswith("sqlite") and (":memory:" in url or url.rstrip("/") in {"sqlite:", "sqlite+pysqlite:"})
