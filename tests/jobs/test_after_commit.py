"""An engine is notified of rows when they are committed, and of no others."""

from collections.abc import Sequence

import pytest
from sqlalchemy.orm import Session
from tests.jobs.kit import Shop

from carboy.jobs import Job, Ready, enqueue, notify_after_commit

NOTHING: Job[[]] = Job("nothing", lambda: None, priority=3)


@pytest.fixture
def told(shop: Shop) -> list[Ready]:
    """An engine that records its notifications."""
    found: list[Ready] = []

    def notify(rows: Sequence[Ready]) -> None:
        assert set(shop.states()) <= {"queued"}  # another connection sees them by now
        found.extend(rows)

    notify_after_commit(shop.engine, notify)
    return found


def test_rows_are_notified_after_the_commit(shop: Shop, told: list[Ready]) -> None:
    """Those of a group commit, of a session and of a bare connection."""
    shop.add(NOTHING, times=2)
    with Session(shop.engine) as session:
        enqueue(NOTHING, session=session)
        assert len(told) == 2
        session.commit()
    with shop.engine.begin() as connection:
        enqueue(NOTHING, session=connection, after_s=60)

    rows = shop.store.list()
    assert sorted((str(one.id), one.kind, one.priority, one.run_at_ms) for one in told) == sorted(
        (row.id, "nothing", 3, row.run_at) for row in rows
    )


def test_a_rollback_notifies_of_nothing(shop: Shop, told: list[Ready]) -> None:
    """Nor does the next transaction of the same connection."""
    with Session(shop.engine) as session:
        enqueue(NOTHING, session=session)
        session.rollback()
        session.commit()
    with shop.engine.begin() as connection:
        enqueue(NOTHING, session=connection)
        connection.get_transaction().rollback()  # type: ignore[union-attr]
    with shop.engine.connect() as connection:
        enqueue(NOTHING, session=connection)
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("SELECT 1")

    assert told == []


def test_a_row_that_is_retried_is_notified(shop: Shop, told: list[Ready]) -> None:
    """It is ready again."""
    shop.add(NOTHING, times=2)
    first, second = shop.store.list()
    told.clear()

    shop.store.retry(int(first.id))
    assert [str(one.id) for one in told] == [first.id]

    shop.store.retry_all(state="queued")
    assert [str(one.id) for one in told[1:]] == [second.id, first.id]


def test_a_lost_connection_does_not_hide_the_error_that_lost_it(shop: Shop, told: list[Ready]) -> None:
    """It says whether the database is unavailable, and so whether the work is tried again."""

    def lose() -> None:
        with shop.engine.begin() as connection:
            enqueue(NOTHING, session=connection)
            connection.invalidate()
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        lose()
    assert told == []
