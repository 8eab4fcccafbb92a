"""Build the engine, and teach SQLite to be durable and to take its write lock in time."""

import math
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carboy.db.connector import Connector
from carboy.db.credentials import Credentials
from carboy.db.keepalive import server_silence
from carboy.db.settings import DbSettings
from carboy.db.url import url_of
from carboy.extras import extra

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["WRITE", "WRITE_SOON", "engine", "engine_options", "make_folder", "prepare"]

WRITE: dict[str, Any] = {"carboy_write": True}
"""Execution options of a connection that writes: SQLite takes its lock at BEGIN, not at the first write; a server
locks rows alone, no gaps between them, and ends a transaction that stands still with rows locked."""

WRITE_SOON: dict[str, Any] = WRITE | {"carboy_write_soon": True}
"""The same for what a power cut may undo: SQLite does not wait for the disk."""


def engine(
    settings: DbSettings,
    credentials: Credentials | None = None,
    connector: Connector | None = None,
) -> "Engine":
    """Return an engine for these settings, without Flask.

    Args:
        settings: of the database.
        credentials: logs in with what it gives, at every connect; None where the URL holds user and password.
        connector: opens the connections; by default one that goes by the settings and credentials.

    Raises:
        MissingExtra: SQLAlchemy is not installed.
        ConfigurationError: the settings name a secret and there are no credentials.
    """
    with extra("db"):
        from sqlalchemy import create_engine
    url = url_of(settings, credentials)
    made = create_engine(url, **engine_options(settings, str(url)))
    return prepare(made, settings, connector or Connector(settings, credentials))


def engine_options(settings: DbSettings, url: str) -> dict[str, Any]:
    """Return the arguments of `create_engine`: a bounded pool, checked before use; the project's own win."""
    options: dict[str, Any] = {}
    if not _is_memory(url):
        options = {"pool_size": settings.db_pool_size, "max_overflow": settings.db_pool_overflow}
    if not url.startswith("sqlite"):
        options |= {"pool_pre_ping": True}
    return options | settings.sqlalchemy_engine_options


def prepare(made: "Engine", settings: DbSettings, connector: Connector | None = None) -> "Engine":
    """Attach to an engine what its database needs, once, and return it.

    Args:
        made: the engine.
        settings: of the database.
        connector: opens the connections to a server; by default one that goes by the settings alone.
    """
    if made.dialect.name == "sqlite":
        _prepare_sqlite(made, settings)
    elif not hasattr(made, "carboy_connector"):
        connector = connector or Connector(settings)
        connector.install(made)
        vars(made)["carboy_connector"] = connector
        _prepare_server(made, settings)
    return made


def _prepare_server(made: "Engine", settings: DbSettings) -> None:
    """Have our own writes wait for nobody longer than they must.

    At MariaDB's usual level, REPEATABLE READ, whoever looks for work locks the gaps that others put work into, and
    they end in dead-locks. A process that was frozen in the middle of a write would hold its rows for ever, and so
    would a host that lost its power between two statements of a pipeline, which PostgreSQL does not take for idle.

    Sources: MariaDB, "InnoDB Lock Modes" and `idle_write_transaction_timeout`; PostgreSQL,
    `idle_in_transaction_session_timeout`, `tcp_keepalives_idle`, and "Pipelining" in the chapter of the protocol.
    """
    from sqlalchemy import event

    is_mysql = made.dialect.name != "postgresql"
    idle_ms = round(settings.db_idle_write_s * 1000)
    first = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
    if not is_mysql:
        wanted = {"idle_in_transaction_session_timeout": idle_ms} | server_silence(settings.db_silence_s)
        first = "; ".join(f"SET LOCAL {name} = {value}" for name, value in wanted.items())

    def on_begin(connection: "Connection") -> None:
        if connection.get_execution_options().get("carboy_write"):
            connection.exec_driver_sql(first, execution_options={"no_parameters": True})  # so it may be several

    def on_connect(connection: Any, _record: Any) -> None:
        with closing(connection.cursor()) as cursor, suppress(made.dialect.loaded_dbapi.Error):  # MySQL has it not
            cursor.execute(f"SET SESSION idle_write_transaction_timeout = {math.ceil(settings.db_idle_write_s)}")

    event.listen(made, "begin", on_begin)
    if is_mysql and idle_ms:
        event.listen(made, "connect", on_connect)


_SYNC = {False: "PRAGMA synchronous=FULL", True: "PRAGMA synchronous=NORMAL"}


def _prepare_sqlite(made: "Engine", settings: DbSettings) -> None:
    from sqlalchemy import event

    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours, below: the driver's own comes too late for a write lock
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={int(settings.db_busy_s * 1000)}")
        if not _is_memory(str(made.url)):
            cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(_SYNC[False])  # a committed row survives a power cut
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    def on_begin(connection: "Connection") -> None:
        options = connection.get_execution_options()
        soon = options.get("carboy_write_soon", False)
        if soon is not connection.info.get("carboy_soon", False):
            connection.exec_driver_sql(_SYNC[soon])
            connection.info["carboy_soon"] = soon
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("carboy_write") else "BEGIN")

    event.listen(made, "do_connect", lambda *_: make_folder(made))
    event.listen(made, "connect", on_connect)
    event.listen(made, "begin", on_begin)


def make_folder(made: "Engine") -> None:
    """Make the folder that SQLite's file is to be in; nothing for other databases."""
    path = made.url.database
    if made.dialect.name == "sqlite" and path and path != ":memory:" and not path.startswith("file:"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)


def _is_memory(url: str) -> bool:
    return url.startswith("sqlite") and (":memory:" in url or url.rstrip("/") in {"sqlite:", "sqlite+pysqlite:"})
