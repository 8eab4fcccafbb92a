"""The check of the database: whether it can be written."""

from typing import TYPE_CHECKING

from carboy.errors import CarboyError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_IS_READ_ONLY = {
    "postgresql": "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean",
    "mysql": "SELECT @@global.read_only, @@global.innodb_read_only",
    "mariadb": "SELECT @@global.read_only, @@global.innodb_read_only",
}
_OFF = {None, 0, "0", "OFF"}


def check_database(engine: "Engine") -> None:
    """Raise unless the database answers and takes writes; a server that is known to be unavailable fails at once.

    Of a server the check reads whether it is a replica or read-only. SQLite is written, so that a lock that another
    process holds, a full disk and a file that may only be read are found.

    Raises:
        CarboyError: it takes no writes.
        Exception: as the driver says it.
    """
    from carboy.db import fail_fast

    with fail_fast(), engine.connect().execution_options(carboy_write=True) as connection:
        if engine.dialect.name == "sqlite":
            _write_sqlite(connection)
        elif statement := _IS_READ_ONLY.get(engine.dialect.name):
            row = connection.exec_driver_sql(statement).one()
            if any(value not in _OFF for value in row):
                raise CarboyError("the database", "it is read-only", "connect to the primary instead of a replica")
        else:
            connection.exec_driver_sql("SELECT 1")


def _write_sqlite(connection: "Connection") -> None:
    """Write the number in the file's header that SQLite leaves to applications, as it is."""
    number = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    connection.exec_driver_sql(f"PRAGMA user_version = {int(number)}")
    connection.commit()
