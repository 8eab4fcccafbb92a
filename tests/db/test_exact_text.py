"""Identity is equality of bytes on every database, for any character set and collation of the server."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import count

import pytest
from alembic import command
from sqlalchemy import Connection, Engine, create_engine, select, text

import carboy.services.archive.destinations.tables
import carboy.services.archive.tables
import carboy.services.sms.tables
import carboy.web.tables  # noqa: F401
from carboy.db import GroupCommit, metadata, upgrade
from carboy.db.migrate import _config
from carboy.db.schema import ExactString, ExactText
from carboy.errors import InvalidInput
from carboy.jobs.definitions import Job
from carboy.jobs.job_rows import put, row_of
from carboy.jobs.tables import JOBS
from carboy.testing.processes import DatabaseServer, mariadb, require

ALIKE = [
    "key-a", "KEY-A", "key-a ", "key-a  ", "straße", "strasse", "é", "e\N{COMBINING ACUTE ACCENT}", "短信签名不合法",
    "短信签名不合法\N{IDEOGRAPHIC SPACE}", "😀", "😁", "001300000000AbC", "001300000000aBc", "ß", "ss", "ı", "i", "İ",
]  # fmt: skip
LATIN = ["key-a", "KEY-B", "straße"]

SERVERS = {
    "latin1": {"character-set-server": "latin1", "collation-server": "latin1_swedish_ci"},
    "utf8mb4": {"character-set-server": "utf8mb4", "collation-server": "utf8mb4_general_ci"},
}


@pytest.fixture(scope="module", params=list(SERVERS))
def server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """MariaDB with each of the usual collations."""
    with require(mariadb, settings=SERVERS[request.param]) as found:
        yield found


@pytest.fixture(params=["new", "old"])
def migrated(request: pytest.FixtureRequest, server: DatabaseServer) -> Iterator[Engine]:
    """A database of today; or one that was made and filled before text was exact, and is upgraded."""
    made = create_engine(server.url(database=server.create_database()))
    if request.param == "old":
        with made.connect() as connection:
            command.upgrade(_config(connection), "0005")
        with made.begin() as connection:
            _put(connection, LATIN)
    upgrade(made)
    yield made
    made.dispose()


_numbers = count(1)


def _put(connection: Connection, keys: Sequence[str]) -> list[None]:
    job: Job[...] = Job("test.kind", print)
    for key in keys:
        put(connection, [row_of(job, (), now_ms=next(_numbers), key=key)])
    return [None] * len(keys)


def _keys(made: Engine) -> list[str]:
    with made.connect() as connection:
        return list(connection.execute(select(JOBS.c.key)).scalars())


def test_every_text_column_compares_bytes(migrated: Engine) -> None:
    """Of each of Carboy's tables, in the database as in the code."""
    query = (
        "SELECT table_name, column_name, collation_name FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND collation_name IS NOT NULL AND table_name <> 'carboy_version'"
    )
    with migrated.connect() as connection:
        found = {(row[0], row[1]): row[2] for row in connection.execute(text(query))}
    assert set(found.values()) == {"utf8mb4_nopad_bin"}
    declared = {
        (table.name, column.name)
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, ExactString | ExactText)
    }
    assert declared == set(found)


def test_what_looks_alike_is_not_the_same(migrated: Engine) -> None:
    """Each key is a row, found by itself alone, and comes back as it was written."""
    before = _keys(migrated)
    with migrated.begin() as connection:
        _put(connection, ALIKE)
        _put(connection, ALIKE)
    assert sorted(_keys(migrated)) == sorted({*before, *ALIKE})
    with migrated.connect() as connection:
        for key in ALIKE:
            assert list(connection.execute(select(JOBS.c.key).where(JOBS.c.key == key)).scalars()) == [key]


def test_an_upgrade_keeps_what_was_there(migrated: Engine) -> None:
    """With its letters beyond ASCII."""
    assert sorted(_keys(migrated)) in ([], sorted(LATIN))


def test_a_column_that_is_not_exact_is_not_declared() -> None:
    """A new column of plain text would use the server's collation again."""
    from sqlalchemy import String

    plain = [
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, String) and not isinstance(column.type, ExactString | ExactText)
    ]
    assert plain == []


@pytest.mark.parametrize("key", ["nul\0", "\ud800", "x" * 300])
@pytest.mark.parametrize("name", ["mariadb_server", "postgres_server"])
def test_a_value_that_cannot_be_stored_is_a_fault_of_the_input(
    name: str, key: str, request: pytest.FixtureRequest
) -> None:
    """Of that item alone; a database that can hold it does."""
    found: DatabaseServer = request.getfixturevalue(name)
    made = create_engine(found.url(database=found.create_database()))
    upgrade(made)
    can_hold = found.dialect == "mysql" and key == "nul\0"
    with nullcontext() if can_hold else pytest.raises(InvalidInput):
        GroupCommit(made).run(_put, key)
    assert _keys(made) == ([key] if can_hold else [])
    made.dispose()
