"""A server whose binary log holds statements is written to as any other."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from carboy.db import DbSettings, GroupCommit, engine, upgrade
from carboy.testing.processes import mariadb


@pytest.fixture(params=["STATEMENT", "MIXED", "ROW"])
def logged(request: pytest.FixtureRequest) -> Iterator[tuple[str, Engine]]:
    """A database whose server keeps a binary log of this format."""
    with mariadb(settings={"log-bin": "binlog", "binlog-format": request.param}) as server:
        made = engine(DbSettings(database_url=server.url()))
        yield request.param, made
        made.dispose()


def test_rows_are_written_whatever_the_binary_log_holds(logged: tuple[str, Engine]) -> None:
    """It refuses what is written at READ COMMITTED, where it holds statements; that level is left to the others."""
    form, made = logged
    upgrade(made)

    def add(connection: Any, items: Any) -> list[Any]:
        connection.exec_driver_sql("INSERT INTO carboy_shared VALUES ('a', '{}', 0)")
        return [connection.exec_driver_sql("SELECT count(*) FROM carboy_shared").scalar()] * len(items)

    assert GroupCommit(made).run(add, None) == 1
    with made.connect() as connection:
        assert connection.execute(text("SELECT @@binlog_format")).scalar() == form
