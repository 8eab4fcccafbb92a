"""People list, retry and purge rows, and see what waits."""

import pytest
from sqlalchemy import text
from tests.jobs.kit import Shop

from carboy.errors import ConfigurationError, Missing
from carboy.jobs import Job, Registry, job, new_id
from carboy.jobs.owner import is_dead, make_owner

NOTHING: Job[[]] = Job("nothing", lambda: None)


def _fill(shop: Shop) -> None:
    shop.add(NOTHING, times=4)
    ids = [row.id for row in shop.store.list()]
    with shop.engine.begin() as connection:
        for row_id, state in zip(ids, ["dead", "dead", "done", "queued"], strict=True):
            connection.execute(
                text("UPDATE carboy_jobs SET state=:s, finished_at=5 WHERE id=:i"), {"s": state, "i": int(row_id)}
            )


def test_rows_are_listed_the_newest_first_by_page(shop: Shop) -> None:
    """By state and kind."""
    _fill(shop)

    rows = shop.store.list()
    assert [row.state for row in rows] == ["dead", "dead", "done", "queued"]
    assert [row.id for row in shop.store.list(limit=2, before=int(rows[1].id))] == [rows[2].id, rows[3].id]
    assert len(shop.store.list(state="dead")) == 2
    assert shop.store.list(kind="other") == []


def test_dead_rows_are_retried_alone_or_together(shop: Shop) -> None:
    """What is done stays done."""
    _fill(shop)
    dead, *_ = shop.store.list(state="dead")
    done, *_ = shop.store.list(state="done")

    assert shop.store.retry(int(dead.id)).state == "queued"
    assert shop.store.retry(int(done.id)).state == "done"
    assert shop.store.retry_all(kind="nothing") == 1
    assert shop.store.list(state="dead") == []
    with pytest.raises(Missing):
        shop.store.retry(1)


def test_purging_takes_finished_rows_only(shop: Shop) -> None:
    """What waits or runs cannot be thrown away."""
    _fill(shop)

    assert shop.store.purge(state="queued") == 0
    assert shop.store.purge(state="dead", before_ms=5) == 0
    assert shop.store.purge(state="dead", before_ms=6) == 2
    assert shop.store.purge() == 1
    assert shop.states() == ["queued"]


def test_what_waits_is_counted_with_its_age(shop: Shop) -> None:
    """By kind and state."""
    _fill(shop)

    stats = {row["state"]: row["count"] for row in shop.store.stats()}
    assert stats == {"dead": 2, "queued": 1}
    assert all(row["age_s"] >= 0 for row in shop.store.stats())


def test_a_kind_belongs_to_one_job() -> None:
    """Two functions for one kind would be run at random."""
    registry = Registry([NOTHING])
    registry.add(NOTHING)

    @job("nothing", attempts=2)
    def other() -> int:
        return 5

    assert other() == 5
    with pytest.raises(ConfigurationError, match="twice"):
        registry.add(other)


def test_a_living_owner_is_not_dead_and_a_stranger_is_unknown() -> None:
    """Only a process of this machine and namespace whose start does not match is known to have ended."""
    owner = make_owner()
    place, pid, started, end = owner.rsplit(":", 3)
    assert not is_dead(owner)
    assert is_dead(f"{place}:{pid}:{int(started) - 1}:{end}")
    assert not is_dead(f"elsewhere:1:{pid}:{started}:{end}")
    assert not is_dead("nonsense")


def test_ids_of_one_millisecond_differ_and_stay_in_it() -> None:
    """A request may bring tens of thousands of alerts: all of them arrive in one millisecond."""
    ids = {new_id(1_700_000_000_000) for _ in range(100_000)}

    assert len(ids) == 100_000
    assert {one >> 22 for one in ids} == {1_700_000_000_000}
    assert max(ids) < new_id(1_700_000_000_001)
