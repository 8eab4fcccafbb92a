"""Rows that a clock wrote that was ahead wait for their own delay, not until the old time comes again."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.jobs.kit import Shop

from carboy.jobs import Job
from carboy.jobs.definitions import Done, Queued
from carboy.jobs.job_rows import (
    LeaseRequest,
    Settled,
    TakenRows,
    put,
    release_expired,
    row_of,
    settle,
    take,
)
from carboy.jobs.periodic import PeriodicLock, Sweep, requeue_orphaned, sweep

NOW_MS, HOUR_MS = 1_767_225_600_000, 3_600_000
JOB: Job[[]] = Job("work", lambda: None)
Maintain = Callable[[Shop, int], Any]


def add(shop: Shop, now_ms: int, after_s: float = 0.0) -> None:
    def write(connection: Any, items: Any) -> list[None]:
        put(connection, [row_of(JOB, (), now_ms=now_ms, after_s=after_s)])
        return [None] * len(items)

    shop.writer.run(write, None)


def lease(shop: Shop, now_ms: int) -> TakenRows:
    found: TakenRows = shop.writer.run(take, LeaseRequest("me", ("work",), (5,), 10, now_ms, now_ms + 60_000))
    return found


def fail(shop: Shop, at_ms: int, after_ms: int) -> None:
    """Run the row, which fails and is to run again after a while."""
    [row] = lease(shop, at_ms).rows
    shop.writer.run(settle, Settled(row.id, "me", row.attempt, Queued(at_ms + after_ms, "no luck"), at_ms))


def by_embedded(shop: Shop, now_ms: int) -> Any:
    return shop.writer.run(release_expired, (now_ms, ()))


def by_sqs(shop: Shop, now_ms: int) -> Any:
    return shop.writer.run(requeue_orphaned, now_ms)


def by_celery(shop: Shop, now_ms: int) -> Any:
    for at_ms in (now_ms, now_ms + 1):
        shop.writer.run(sweep, Sweep(PeriodicLock("sweep", at_ms, 1), ("work",), 1000))


@pytest.mark.slow
@pytest.mark.parametrize("maintain", [by_embedded, by_sqs, by_celery])
@pytest.mark.parametrize("ahead_ms", [5 * 60_000, HOUR_MS, 48 * HOUR_MS, 400 * 24 * HOUR_MS])
@pytest.mark.parametrize("is_retry", [True, False])
def test_a_row_that_a_clock_ahead_wrote_runs_after_its_own_delay(
    shop: Shop, maintain: Maintain, ahead_ms: int, is_retry: bool
) -> None:
    """A retry, and a row that has never run."""
    if is_retry:
        add(shop, NOW_MS + ahead_ms)
        fail(shop, NOW_MS + ahead_ms, 30_000)
    else:
        add(shop, NOW_MS + ahead_ms, 30.0)
    assert not lease(shop, NOW_MS).rows
    for at_ms in (NOW_MS, NOW_MS + 10_000, NOW_MS + 20_000):  # it is moved once
        maintain(shop, at_ms)
        assert not lease(shop, at_ms).rows
    assert len(lease(shop, NOW_MS + 31_000).rows) == 1


@pytest.mark.slow
@pytest.mark.parametrize("delay_ms", [0, 5_000, HOUR_MS, 30 * 24 * HOUR_MS])
def test_a_row_of_a_right_clock_keeps_its_time(shop: Shop, delay_ms: int) -> None:
    """However far away, also beside a row of a wrong one; clocks of hosts differ by some seconds."""
    add(shop, NOW_MS + 5_000, delay_ms / 1000)
    add(shop, NOW_MS + 48 * HOUR_MS, 7 * 24 * 3600.0)
    by_embedded(shop, NOW_MS)
    due_ms = NOW_MS + 5_000 + delay_ms
    assert not lease(shop, due_ms - 1).rows or delay_ms > 7 * 24 * HOUR_MS
    assert lease(shop, due_ms).rows


@pytest.mark.slow
def test_a_row_that_was_moved_is_run_and_done(shop: Shop) -> None:
    add(shop, NOW_MS + 48 * HOUR_MS)
    by_embedded(shop, NOW_MS)
    [row] = lease(shop, NOW_MS).rows
    shop.writer.run(settle, Settled(row.id, "me", row.attempt, Done(), NOW_MS))
    assert shop.states() == ["done"]
