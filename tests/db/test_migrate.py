"""Carboy's own tables are brought to the head once, and are what the code declares."""

import multiprocessing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.dialects.mysql.base import MySQLDialect
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateTable

import carboy.db.shared_state
import carboy.jobs.tables
import carboy.services.archive.destinations.tables
import carboy.services.archive.tables
import carboy.services.sms.tables
import carboy.web.tables  # noqa: F401
from carboy.db import metadata, upgrade
from carboy.db.migrate import _config, current, head, is_current, is_newer
from carboy.db.own_tables import VERSION_TABLE
from carboy.errors import CarboyError


def test_the_migrations_make_what_the_code_declares(sqlite: Engine) -> None:
    """A changed table needs a migration."""
    with sqlite.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def test_the_numbers_of_the_files_are_what_alembic_calls_the_head() -> None:
    """The file of a new migration has the next number."""
    assert head() == ScriptDirectory.from_config(_config(None)).get_current_head()


def test_at_the_head_there_is_nothing_to_do(sqlite: Engine) -> None:
    """And no lock is taken, so a start costs little."""
    assert current(sqlite) == head()
    assert is_current(sqlite)
    assert upgrade(sqlite) is False


@pytest.mark.parametrize("dialect", [MySQLDialect(), PGDialect()])
def test_every_table_compiles_for_every_server(dialect: Dialect) -> None:
    """A VARCHAR without a length is found before production."""
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))


def _upgrade(url: str, barrier: object, answers: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    answers.put(upgrade(create_engine(url)))  # type: ignore[attr-defined]


def test_of_many_that_start_at_once_one_migrates(tmp_path: Path) -> None:
    """Five containers start together; the tables are made once."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(5), context.Queue()
    url = f"sqlite:///{tmp_path}/deep/carboy.db"
    workers = [context.Process(target=_upgrade, args=(url, barrier, answers)) for _ in range(5)]
    for worker in workers:
        worker.start()
    found = [answers.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()

    assert sorted(found) == [False, False, False, False, True]
    made = create_engine(url)
    assert "carboy_jobs" in inspect(made).get_table_names()
    with made.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM carboy_version")).scalar_one() == 1
    made.dispose()


def test_a_database_of_a_later_version_is_left_as_it_is(sqlite: Engine) -> None:
    """While a deployment rolls, and after a roll-back, a process of the version before starts again."""
    with sqlite.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9000'"))  # noqa: S608

    assert is_newer("9000")
    assert not is_newer(head())
    assert not is_newer(None)
    assert is_current(sqlite)
    assert upgrade(sqlite) is False
    assert current(sqlite) == "9000"

    with sqlite.begin() as connection:
        connection.execute(text("DROP TABLE sms_codes"))
    with pytest.raises(CarboyError, match="the database has version 9000"):
        upgrade(sqlite)
