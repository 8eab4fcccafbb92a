"""Record that a migration stopped half-way, and at which statement, for `carboy doctor`.

MySQL and SQLite commit each change of a table as they go: what came before the statement that failed is there, and the
version says nothing of it. The record is a table that exists only until the next migration succeeds.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

TABLE = "carboy_halted"
_MAX_STATEMENT = 1000


@dataclass(frozen=True, slots=True)
class FailedMigration:
    """Where a migration stopped.

    Attributes:
        migration: the file of the migration.
        statement: in SQL, without its values; empty where it was none.
        why: the error of the database or the migration.
    """

    migration: str
    statement: str
    why: str


@contextmanager
def record_failures(engine: "Engine") -> Iterator[None]:
    """Record a failure of the migrations in this context; where they succeed, an older record is deleted."""
    try:
        yield
    except Exception as error:
        if engine.dialect.name != "postgresql":  # it takes the whole migration back
            with suppress(Exception):  # the caller must see the error of the migration itself
                if find_failed_migration(engine) is None:  # a second try stops at what the first left
                    _write(engine, _failure_of(error))
        raise
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {TABLE}")


def find_failed_migration(engine: "Engine") -> FailedMigration | None:
    """Return where a migration stopped half-way; None where the last one succeeded."""
    from sqlalchemy import inspect

    with engine.connect() as connection:
        if not inspect(connection).has_table(TABLE):
            return None
        text = connection.exec_driver_sql(f"SELECT note FROM {TABLE}").scalar()  # noqa: S608 (our own)
    return FailedMigration(**json.loads(str(text))) if text else None


def _write(engine: "Engine", failure: FailedMigration) -> None:
    from sqlalchemy import Column, MetaData, Table, Text

    table = Table(TABLE, MetaData(), Column("note", Text, nullable=False))
    with engine.begin() as connection:
        table.drop(connection, checkfirst=True)
        table.create(connection)
        connection.execute(table.insert().values(note=json.dumps(asdict(failure))))


def _failure_of(error: Exception) -> FailedMigration:
    statement = " ".join(str(getattr(error, "statement", None) or "").split())
    why = str(getattr(error, "orig", None) or error) or type(error).__name__
    return FailedMigration(_migration_of(error.__traceback__), statement[:_MAX_STATEMENT], why)


def _migration_of(traceback: TracebackType | None) -> str:
    """Return the file below `versions` that the error came through."""
    name = "a migration"
    while traceback is not None:
        path = Path(traceback.tb_frame.f_code.co_filename)
        if path.parent.name == "versions":
            name = path.name
        traceback = traceback.tb_next
    return name
