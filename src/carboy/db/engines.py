"""Build the engine, and set up its connections: durable writes, bounded lock waits, fail-over."""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carboy.db.connector import Connector
from carboy.db.credentials import Credentials
from carboy.db.disconnects import is_demoted
from carboy.db.keepalive import server_keepalive
from carboy.db.own_tables import find_missing_table
from carboy.db.settings import DbSettings
from carboy.db.url import url_of
from carboy.db.watchdog import must_fail_fast, seconds_left
from carboy.errors import ConfigurationError
from carboy.extras import extra
from carboy.private_folders import make_private_folder

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

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
        credentials: the vault of logins; None where the URL has user and password.
        connector: opens the connections; by default one of these settings and credentials.

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
    own = settings.sqlalchemy_engine_options
    options: dict[str, Any] = {"hide_parameters": True}  # else the log of a failed statement holds what was written
    if not _is_memory(url) and own.get("pool") is None and _is_queue(own.get("poolclass")):
        options |= {"pool_size": settings.db_pool_size, "max_overflow": settings.db_pool_overflow}
        options |= {"pool_timeout": settings.db_request_budget_s}
    if not url.startswith("sqlite"):
        options |= {"pool_pre_ping": True}
    return options | own


def _is_queue(pool_class: Any) -> bool:
    """Return whether a pool takes a size, as SQLAlchemy's usual one does and `NullPool` does not."""
    if pool_class is None:
        return True
    from sqlalchemy.pool import QueuePool

    return isinstance(pool_class, type) and issubclass(pool_class, QueuePool)


def prepare(made: "Engine", settings: DbSettings, connector: Connector | None = None) -> "Engine":
    """Set up an engine for its database, once, and return it.

    Args:
        made: the engine.
        settings: of the database.
        connector: opens the connections to a server; by default one of these settings.
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
    """Limit how long transactions wait for locks and are idle, and reconnect after a fail-over.

    At MariaDB's usual level, REPEATABLE READ, a worker that looks for rows locks the gaps that others insert into, and
    they end in deadlocks. A process that was frozen in the middle of a write would keep its rows locked for ever, and
    so would a host that lost its power between two statements of a pipeline, which PostgreSQL does not take for idle.

    A server whose binary log holds statements writes nothing at READ COMMITTED (1665), and keeps its own level.

    Sources: MariaDB, "InnoDB Lock Modes", "Binary Log Formats", `idle_write_transaction_timeout`,
    `idle_readonly_transaction_timeout` and `lock_wait_timeout`; PostgreSQL, `idle_in_transaction_session_timeout`,
    `lock_timeout`, `tcp_keepalives_idle`, and "Pipelining" in the chapter of the protocol.
    """
    from sqlalchemy import event

    def on_error(failure: Any) -> None:
        if failure.original_exception is not None and is_demoted(failure.original_exception):
            failure.is_disconnect = True  # of the whole pool: the next connection leads to the new writer

    event.listen(made, "handle_error", on_error)
    event.listen(made, "handle_error", _explain_missing_table)
    (_prepare_postgres if made.dialect.name == "postgresql" else _prepare_mysql)(made, settings)


def _explain_missing_table(failure: Any) -> Exception | None:
    """Return an error that says what makes Carboy's tables, where a statement needs one that is not there."""
    from carboy.db.connection_errors import TablesMissing

    error = failure.original_exception
    table = find_missing_table(error) if error is not None else None
    if table is None:
        return None
    hint = "run `carboy db upgrade`: it makes them, then runs the project's migrations"
    return TablesMissing("the database lacks Carboy's tables", f"there is no `{table}`", hint, error)


def _prepare_postgres(made: "Engine", settings: DbSettings) -> None:
    from sqlalchemy import event

    wanted = {"idle_in_transaction_session_timeout": round(settings.db_idle_write_s * 1000)}
    wanted |= server_keepalive(settings.db_silence_s)
    write = "; ".join(f"SET LOCAL {name} = {value}" for name, value in wanted.items())
    wait_ms = max(1, round(settings.db_request_budget_s * 1000))
    fast = f"SET LOCAL lock_timeout = {wait_ms}"  # the watchdog ends the client's wait; this ends the server's

    def on_begin(connection: "Connection") -> None:
        is_write = connection.get_execution_options().get("carboy_write")
        first = [*([write] if is_write else []), *([fast] if must_fail_fast() else [])]
        if first:
            connection.exec_driver_sql("; ".join(first), execution_options={"no_parameters": True})

    event.listen(made, "begin", on_begin)


def _prepare_mysql(made: "Engine", settings: DbSettings) -> None:
    from sqlalchemy import event

    idle_s, wait_s = math.ceil(settings.db_idle_write_s), max(1, math.ceil(settings.db_request_budget_s))
    first = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
    fast = f"SET SESSION lock_wait_timeout = {wait_s}, innodb_lock_wait_timeout = {wait_s}"
    usual = "SET SESSION lock_wait_timeout = DEFAULT, innodb_lock_wait_timeout = DEFAULT"

    def on_begin(connection: "Connection") -> None:
        is_fast, info = must_fail_fast(), connection.info
        if connection.get_execution_options().get("carboy_write") and not info.get("carboy_logs_statements"):
            connection.exec_driver_sql(first)
        if is_fast is not info.get("carboy_fail_fast", False):  # seldom: most transactions of a process are alike
            connection.exec_driver_sql(fast if is_fast else usual)
            info["carboy_fail_fast"] = is_fast

    def on_connect(connection: Any, record: Any) -> None:
        with closing(connection.cursor()) as cursor:
            with suppress(made.dialect.loaded_dbapi.Error):
                cursor.execute("SELECT @@log_bin, @@binlog_format")
                record.info["carboy_logs_statements"] = tuple(cursor.fetchone()) == (1, "STATEMENT")
            with suppress(made.dialect.loaded_dbapi.Error):  # MySQL has it not
                cursor.execute(
                    f"SET SESSION idle_write_transaction_timeout = {idle_s}, "
                    f"idle_readonly_transaction_timeout = {idle_s}"  # for rows that are locked and not written yet
                )

    event.listen(made, "begin", on_begin)
    event.listen(made, "connect", on_connect)


_SYNC = {False: "PRAGMA synchronous=FULL", True: "PRAGMA synchronous=NORMAL"}


def _prepare_sqlite(made: "Engine", settings: DbSettings) -> None:
    from sqlalchemy import event
    from sqlalchemy.exc import DisconnectionError

    if event.contains(made, "begin", _begin_sqlite):
        return
    busy_ms = int(settings.db_busy_s * 1000)

    def on_connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours, below: the driver's own comes too late for a write lock
        with closing(connection.cursor()) as cursor:
            cursor.execute(f"PRAGMA busy_timeout={busy_ms}")
            if not _is_memory(str(made.url)):
                cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute(_SYNC[False])  # a committed row survives a power cut
            cursor.execute("PRAGMA foreign_keys=ON")
        record.info["carboy_busy_ms"] = busy_ms, round(settings.db_request_budget_s * 1000)
        record.info["carboy_file"] = _identity(made)

    def on_checkout(_connection: Any, record: Any, _proxy: Any) -> None:
        if record.info.get("carboy_file") != _identity(made):  # what is written to it would be gone with this process
            raise DisconnectionError("the file of the database was removed or replaced")

    event.listen(made, "handle_error", _explain_missing_table)
    event.listen(made, "do_connect", lambda *_: _make_file(made))
    event.listen(made, "connect", on_connect)
    event.listen(made, "checkout", on_checkout)
    event.listen(made, "begin", _begin_sqlite)


def _begin_sqlite(connection: "Connection") -> None:
    options, info = connection.get_execution_options(), connection.info
    pragma = connection.connection.driver_connection.execute  # type: ignore[union-attr]  # SQLAlchemy's costs ten times as much
    soon = options.get("carboy_write_soon", False)
    if soon is not info.get("carboy_soon", False):
        pragma(_SYNC[soon])
        info["carboy_soon"] = soon
    checks = not is_migrating()  # a batch migration copies and drops a table: its children must not go with it
    if checks is not info.get("carboy_foreign_keys", True):
        pragma(f"PRAGMA foreign_keys={'ON' if checks else 'OFF'}")
        info["carboy_foreign_keys"] = checks
    usual_ms, budget_ms = info.get("carboy_busy_ms", (0, 0))
    busy_ms = usual_ms
    if must_fail_fast():
        left_ms = round(seconds_left(budget_ms / 1000) * 1000)
        busy_ms = max(1, min(usual_ms, left_ms - left_ms % 100 if left_ms > 1000 else left_ms))  # mostly as before
    if busy_ms != info.get("carboy_busy_now_ms", usual_ms):
        pragma(f"PRAGMA busy_timeout={busy_ms}")
        info["carboy_busy_now_ms"] = busy_ms
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("carboy_write") else "BEGIN")


def is_migrating() -> bool:
    """Return whether Alembic runs migrations in this process just now."""
    return hasattr(sys.modules.get("alembic.context"), "config")  # there within an `EnvironmentContext` only


def make_folder(made: "Engine") -> None:
    """Create the folder of SQLite's file, for this user alone; nothing for other databases."""
    path = made.url.database
    if made.dialect.name == "sqlite" and path and path != ":memory:" and not path.startswith("file:"):
        with explain_folder(path, "cannot be made"):
            make_private_folder(Path(path).parent)


@contextmanager
def explain_folder(database: str, what: str) -> Iterator[None]:
    """Raise an error of the system as one that names the folder of SQLite's file, and the cure.

    Raises:
        ConfigurationError: in place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"the folder `{Path(database).parent}` of the SQLite database {what}",
            error.strerror or type(error).__name__,
            "let this user write there, or name another folder by INSTANCE_PATH or DATABASE_URL",
        ) from error


def _make_file(made: "Engine") -> None:
    """Create SQLite's file with mode 0600; SQLite gives `-wal` and `-shm` the mode of the file."""
    make_folder(made)
    path = made.url.database
    if path and path != ":memory:" and not path.startswith("file:") and not Path(path).exists():
        with explain_folder(path, "cannot be written"), suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _identity(made: "Engine") -> tuple[int, int] | None:
    """Return device and number of SQLite's file; None without a file."""
    try:
        found = os.stat(made.url.database or "")
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_memory(url: str) -> bool:
    return url.startswith("sqlite") and (":memory:" in url or url.rstrip("/") in {"sqlite:", "sqlite+pysqlite:"})
