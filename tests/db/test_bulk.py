"""Rows are written by few statements, none of them larger than the server takes."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, Connection, Engine, LargeBinary, MetaData, Table, create_engine, func, select

from carboy.db import GroupCommit, insert_rows
from carboy.problems import Problem
from carboy.testing.processes import mariadb, require

PAGES = Table(
    "pages",
    MetaData(),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("body", LargeBinary(1 << 24), nullable=False),
)


@pytest.fixture(scope="module")
def narrow() -> Iterator[Engine]:
    """A server that takes one mebibyte at once."""
    with require(mariadb, settings={"max-allowed-packet": "1M"}) as server:
        made = create_engine(server.url(), pool_size=10, max_overflow=30)
        PAGES.create(made)
        yield made
        made.dispose()


@pytest.fixture(autouse=True)
def _empty(narrow: Engine) -> None:
    with narrow.begin() as connection:
        connection.execute(PAGES.delete())


def _add(connection: Connection, pages: Sequence[tuple[int, bytes]]) -> list[int]:
    insert_rows(connection, PAGES, [{"id": number, "body": body} for number, body in pages])
    return [number for number, _ in pages]


def _write(writer: GroupCommit, pages: Sequence[tuple[int, bytes]]) -> list[Any]:
    def one(page: tuple[int, bytes]) -> Any:
        try:
            return writer.run(_add, page)
        except Exception as error:  # noqa: BLE001
            return error

    with ThreadPoolExecutor(len(pages)) as pool:
        return list(pool.map(one, pages))


def _stored(made: Engine) -> list[tuple[int, int]]:
    with made.connect() as connection:
        query = select(PAGES.c.id, func.length(PAGES.c.body)).order_by(PAGES.c.id)
        return [(int(row[0]), int(row[1])) for row in connection.execute(query)]


def test_many_large_items_at_once_are_all_kept(narrow: Engine) -> None:
    """Each fits, all together do not."""
    pages = [(number, b"a" * 400_000) for number in range(16)]
    assert _write(GroupCommit(narrow, wait_s=30), pages) == list(range(16))
    assert _stored(narrow) == [(number, 400_000) for number in range(16)]


def test_bytes_that_the_driver_escapes_count_as_they_are_sent(narrow: Engine) -> None:
    """Random ones, and those of which each becomes two."""
    pages = [(number, os.urandom(500_000)) for number in range(4)] + [(9, b"'" * 500_000)]
    assert _write(GroupCommit(narrow, wait_s=30), pages) == [0, 1, 2, 3, 9]


def test_one_item_that_is_too_large_fails_alone(narrow: Engine) -> None:
    """It is 413, as a retry would fail too; other writes succeed."""
    pages = [(number, b"a" * 100_000) for number in range(8)] + [(99, b"a" * 1_100_000), (98, b"\\" * 600_000)]
    answers = _write(GroupCommit(narrow, wait_s=30), pages)
    assert answers[:8] == list(range(8))
    assert [(type(one), one.status) for one in answers[8:]] == [(Problem, 413)] * 2
    assert [number for number, _ in _stored(narrow)] == list(range(8))


def test_small_rows_are_one_statement(narrow: Engine) -> None:
    """A bound in bytes costs no further statement where it is not met."""
    seen = []
    with narrow.begin() as connection:
        _add(connection, [(0, b"x")])
        from sqlalchemy import event

        event.listen(narrow, "before_cursor_execute", lambda *arguments: seen.append(arguments[2]))
        _add(connection, [(number, b"x") for number in range(1, 500)])
    assert len(seen) == 1
