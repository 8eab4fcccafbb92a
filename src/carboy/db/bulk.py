"""Write and look up many rows by one statement each.

An `executemany` is a step of the driver for each row, and between any two of them another thread takes the
interpreter; a group commit of many rows then waits for all threads many times over. One statement with the values of
all rows is one step. The SQL of the statements is cached, so that nothing is compiled on the way.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table

from carboy.problems import Problem

if TYPE_CHECKING:
    from sqlalchemy import Connection, Dialect

_MAX_PARAMETERS = 8_000  # of one statement: SQLite takes 32,766, PostgreSQL and MySQL 65,535
_OVERHEAD = 4096  # of a statement's bytes: its columns and placeholders


def insert_rows(
    connection: "Connection", table: Table, rows: Sequence[Mapping[str, Any]], *, skip_known: str = ""
) -> None:
    """Add rows that all have the same columns.

    Args:
        connection: in a transaction; one to be rolled back where this raises, as some rows may have been added.
        table: its columns take these values as the driver does: text, numbers, bytes, booleans, None.
        rows: at least one; the first one's keys are the columns.
        skip_known: a unique column; rows whose value of it, if any, is there already are left out. They are added in
            its order: other transactions may add the same ones.

    Raises:
        Problem: 413, where one row alone is larger than the server takes (`max_allowed_packet`).
    """
    columns = tuple(rows[0])
    if skip_known and len(rows) > 1 and rows[0][skip_known] is not None:
        rows = sorted(rows, key=itemgetter(skip_known))
    for some in _parts(connection, rows, max(1, _MAX_PARAMETERS // len(columns))):
        statement = _insert(connection.dialect.name, _mark(connection.dialect), table, columns, len(some), skip_known)
        connection.exec_driver_sql(statement, tuple(row[column] for row in some for column in columns))


def _parts(
    connection: "Connection", rows: Sequence[Mapping[str, Any]], most: int
) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Yield the rows in parts that are one statement each, bounded by their count and on MySQL by their bytes."""
    if connection.dialect.name not in {"mysql", "mariadb"}:
        yield from chunks(rows, most)
        return
    limit = _packet_bytes(connection) - _OVERHEAD
    part: list[Mapping[str, Any]] = []
    used = 0
    for row in rows:
        size = sum(map(_size, row.values()))
        if size > limit:
            raise Problem(413, f"the database takes {limit} bytes at once, and this needs {size}")
        if part and (used + size > limit or len(part) == most):
            yield part
            part, used = [], 0
        part.append(row)
        used += size
    yield part


def _size(value: Any) -> int:
    """Return how many bytes a value may need in a statement: PyMySQL writes bytes in hexadecimal and escapes text."""
    if isinstance(value, str):
        return 2 * len(value.encode("utf-8", "replace")) + 16
    return 2 * len(value) + 16 if isinstance(value, bytes) else 24


def _packet_bytes(connection: "Connection") -> int:
    """Return the largest statement that a MySQL or MariaDB server takes; asked once per connection."""
    found = connection.info.get("carboy_packet_bytes")
    if found is None:
        found = int(connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar() or 1 << 20)
        connection.info["carboy_packet_bytes"] = found
    return int(found)


def placeholders(connection: "Connection", count: int) -> str:
    """Return `?, ?, …` as the connection's driver writes it, for `exec_driver_sql` with a tuple."""
    return ", ".join([_mark(connection.dialect)] * count)


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield the items in parts of at most `size`."""
    if len(items) <= size:
        yield items
        return
    for at in range(0, len(items), size):
        yield items[at : at + size]


def _mark(dialect: "Dialect") -> str:
    return "?" if dialect.paramstyle == "qmark" else "%s"


@lru_cache(maxsize=4096)
def _insert(dialect: str, mark: str, table: Table, columns: tuple[str, ...], count: int, skip_known: str) -> str:
    quote = "`" if dialect in {"mysql", "mariadb"} else '"'
    names = ", ".join(f"{quote}{column}{quote}" for column in columns)
    row = f"({', '.join([mark] * len(columns))})"
    verb = (
        "INSERT OR FAIL" if dialect == "sqlite" else "INSERT"
    )  # else SQLite journals all changes of the statement, to undo it
    text = f"{verb} INTO {table.name} ({names}) VALUES {', '.join([row] * count)}"
    if not skip_known:
        return text
    if dialect in {"mysql", "mariadb"}:
        return f"{text} ON DUPLICATE KEY UPDATE {quote}{skip_known}{quote} = {quote}{skip_known}{quote}"
    known = f"{quote}{skip_known}{quote}"
    return f"{text} ON CONFLICT ({known}) WHERE {known} IS NOT NULL DO NOTHING"
