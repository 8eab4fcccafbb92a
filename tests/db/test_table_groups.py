"""A service's tables are made where it is in use, and kept up to date wherever they are."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, create_engine, inspect, text

from carboy import create_app
from carboy.db import upgrade
from carboy.db.failed_migration import find_failed_migration
from carboy.db.migrate import _config, current, head, is_current
from carboy.errors import CarboyError
from carboy.testing.processes import DatabaseServer


@pytest.fixture(params=["sqlite", "mariadb_server", "postgres_server"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database without tables."""
    url: str | URL = f"sqlite:///{tmp_path}/test.db"
    if request.param != "sqlite":
        server: DatabaseServer = request.getfixturevalue(request.param)
        url = server.url(database=server.create_database())
    made = create_engine(url)
    yield made
    made.dispose()


def _groups(engine: Engine) -> set[str]:
    """Return the beginnings of the tables' names."""
    return {name.partition("_")[0] for name in inspect(engine).get_table_names()}


def _shape(engine: Engine) -> dict[str, object]:
    """Return every table's columns, keys and indexes."""
    looks = inspect(engine)
    return {
        name: (
            sorted((column["name"], str(column["type"]), column["nullable"]) for column in looks.get_columns(name)),
            looks.get_pk_constraint(name)["constrained_columns"],
            sorted((str(index["name"]), index["column_names"], index["unique"]) for index in looks.get_indexes(name)),
            sorted(str(constraint["name"]) for constraint in looks.get_unique_constraints(name)),
        )
        for name in looks.get_table_names()
    }


@pytest.fixture
def whole(empty: Engine, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, object]]:
    """The shape of a database of the same kind that all migrations made at once."""
    url: str | URL = f"sqlite:///{tmp_path}/whole.db"
    if empty.dialect.name != "sqlite":
        name = "mariadb_server" if empty.dialect.name in {"mysql", "mariadb"} else "postgres_server"
        server: DatabaseServer = request.getfixturevalue(name)
        url = server.url(database=server.create_database())
    made = create_engine(url)
    upgrade(made)
    yield _shape(made)
    made.dispose()


def test_without_a_service_its_tables_are_not_made(empty: Engine) -> None:
    assert upgrade(empty, ()) is True

    assert _groups(empty) == {"carboy"}
    assert is_current(empty, ())
    assert not is_current(empty, {"sms"})
    assert upgrade(empty, ()) is False


def test_a_service_that_is_added_later_brings_its_tables(empty: Engine, whole: dict[str, object]) -> None:
    """They are what all the migrations would have made of them."""
    upgrade(empty, ())
    assert upgrade(empty, {"sms"}) is True
    assert _groups(empty) == {"carboy", "sms"}

    assert upgrade(empty, {"archive"}) is True

    assert (_groups(empty), current(empty)) == ({"carboy", "sms", "archive"}, head())
    assert _shape(empty) == whole
    assert upgrade(empty) is False


def test_all_are_made_for_a_program_that_names_none(empty: Engine) -> None:
    upgrade(empty)

    assert _groups(empty) == {"carboy", "sms", "archive"}


def test_tables_of_a_service_that_is_not_in_use_any_more_are_kept_up_to_date(
    empty: Engine, whole: dict[str, object]
) -> None:
    """A database that an earlier release made has all of them, with rows."""
    with empty.connect() as connection:
        command.upgrade(_config(connection), "0002")
    with empty.begin() as connection:
        connection.execute(text("INSERT INTO sms_budgets (name, used, expires_at) VALUES ('a', 1, 2)"))

    assert upgrade(empty, ()) is True

    assert _shape(empty) == whole
    with empty.connect() as connection:
        assert connection.execute(text("SELECT used FROM sms_budgets")).scalar_one() == 1


def test_every_migration_runs_where_no_service_has_tables(tmp_path: Path) -> None:
    """A new migration asks `makes(group)` before it works on a service's table."""
    engine = create_engine(f"sqlite:///{tmp_path}/test.db")
    revisions = [each.revision for each in ScriptDirectory.from_config(_config(None)).walk_revisions()]
    for revision in reversed(revisions):
        with engine.connect() as connection:
            command.upgrade(_config(connection, {"carboy"}), revision)
        assert _groups(engine) == {"carboy"}
    engine.dispose()


def test_tables_that_are_there_in_part_are_named(tmp_path: Path) -> None:
    """Nothing is dropped and nothing is made over what is there."""
    engine = create_engine(f"sqlite:///{tmp_path}/test.db")
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE sms_codes"))

    with pytest.raises(CarboyError, match="sms_messages") as caught:
        upgrade(engine, {"sms"})

    assert "sms_codes" not in str(caught.value)
    assert find_failed_migration(engine) is not None
    assert upgrade(engine, {"archive"}) is False
    engine.dispose()


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        ([], {"carboy"}),
        (["carboy.services.sms"], {"carboy", "sms"}),
        (["carboy.services.archive"], {"carboy", "archive"}),
        (["carboy.services.archive", "carboy.services.sms"], {"carboy", "archive", "sms"}),
    ],
)
def test_an_application_makes_the_tables_of_its_modules(tmp_path: Path, modules: list[str], expected: set[str]) -> None:
    from carboy.web import runtime

    app = create_app(folder=tmp_path, INSTANCE_PATH=str(tmp_path), MODULES=modules)
    try:
        assert _groups(runtime(app).engine) == expected
    finally:
        runtime(app).close()


def test_a_module_that_registers_after_the_database_was_opened_has_its_tables(tmp_path: Path) -> None:
    from carboy.web import runtime

    app = create_app(folder=tmp_path, INSTANCE_PATH=str(tmp_path), MODULES=["carboy.services.archive"])
    try:
        engine = runtime(app).engine
        runtime(app).use_tables("sms")
        assert _groups(engine) == {"carboy", "archive", "sms"}
    finally:
        runtime(app).close()
