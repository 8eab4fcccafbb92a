"""One row is taken by its id, once."""

from dataclasses import replace

import pytest
from sqlalchemy import text
from tests.jobs.kit import Shop

from carboy.jobs import Job
from carboy.jobs.job_rows import ClaimRequest, LeasedRow, claim
from carboy.jobs.owner import make_owner

NOTHING: Job[[int]] = Job("nothing", lambda _: None)


def _wish(shop: Shop, now_ms: int = 1 << 60) -> ClaimRequest:
    return ClaimRequest(int(shop.store.list()[0].id), make_owner(), now_ms, now_ms + 60_000)


def test_a_row_is_taken_by_the_first_that_was_notified(shop: Shop) -> None:
    """A message that comes twice does nothing, nor one of a row that has ended or is not there."""
    shop.add(NOTHING, 7)
    wish = _wish(shop)

    taken = shop.writer.run(claim, wish)

    assert isinstance(taken, LeasedRow)
    assert (taken.id, taken.kind, taken.args, taken.attempt) == (wish.id, "nothing", (7,), 1)
    assert shop.writer.run(claim, replace(wish, owner=make_owner())) is None
    with shop.engine.begin() as connection:
        connection.execute(text("UPDATE carboy_jobs SET state='done'"))
    assert shop.writer.run(claim, wish) is None
    assert shop.writer.run(claim, replace(wish, id=5)) is None


@pytest.mark.slow
def test_a_row_that_is_not_due_says_when(shop: Shop) -> None:
    """An engine that is notified too early comes back when the row is due."""
    shop.add(NOTHING, 7, after_s=60)
    row = shop.store.list()[0]

    assert shop.writer.run(claim, _wish(shop, row.run_at - 1)) == row.run_at
    assert isinstance(shop.writer.run(claim, _wish(shop, row.run_at)), LeasedRow)


@pytest.mark.slow
def test_a_holder_whose_lease_has_ended_or_who_is_gone_holds_nothing(shop: Shop) -> None:
    """The row is taken from it."""
    shop.add(NOTHING, 7)
    wish = _wish(shop)
    shop.writer.run(claim, wish)
    later = replace(wish, now_ms=wish.lease_until_ms + 1, lease_until_ms=wish.lease_until_ms + 60_000)

    taken = shop.writer.run(claim, later)
    assert isinstance(taken, LeasedRow)
    assert taken.attempt == 2

    place, pid, started, end = make_owner().rsplit(":", 3)
    gone = f"{place}:{pid}:{int(started) - 1}:{end}"
    with shop.engine.begin() as connection:
        connection.execute(text("UPDATE carboy_jobs SET owner=:gone"), {"gone": gone})
    assert isinstance(shop.writer.run(claim, later), LeasedRow)
