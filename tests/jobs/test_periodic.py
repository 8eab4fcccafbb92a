"""With any number of sweeping processes, each row to notify of is found once, on every database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from carboy.config import load, read_sources
from carboy.db import DbSettings, GroupCommit, engine, upgrade
from carboy.jobs import Job, put, row_of
from carboy.jobs.job_rows import ClaimRequest, claim
from carboy.jobs.owner import make_owner
from carboy.jobs.periodic import Lost, PeriodicLock, Sweep, find_lost, requeue_orphaned, sweep, take_turn
from carboy.testing.processes import DatabaseServer

NOW_MS = 1_700_000_000_000
NOTHING: Job[[]] = Job("nothing", lambda: None)
STRANGE: Job[[]] = Job("strange", lambda: None)
URGENT: Job[[]] = Job("urgent", lambda: None, priority=1)
TURN = PeriodicLock("sweep", NOW_MS, 1000)
SWEEP = Sweep(TURN, ("nothing", "urgent"), 5000)
LOST = Lost(("nothing", "urgent"), NOW_MS - 15_000)


@pytest.fixture(params=["sqlite", "postgres_server", "mariadb_server"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A migrated database of each kind."""
    environ = {}
    if request.param != "sqlite":
        server: DatabaseServer = request.getfixturevalue(request.param)
        environ = {"DATABASE_URL": server.url(database=server.create_database()), "DB_TLS_CA": str(server.ca_path)}
    made = engine(load([DbSettings], read_sources(folder=tmp_path, environ=environ)).part(DbSettings))
    upgrade(made)
    yield made
    made.dispose()


def _add(writer: GroupCommit, job: Job[...], *, created_ms: int = NOW_MS, after_s: float = 0.0) -> int:
    row = row_of(job, (), now_ms=created_ms, after_s=after_s)

    def write(connection: Any, rows: Any) -> list[None]:
        put(connection, rows)
        return [None] * len(rows)

    writer.run(write, row)
    return int(row["id"])


def test_of_three_workers_one_has_the_turn_in_each_period(database: Engine) -> None:
    """Whichever asks first; a clock that was five minutes ahead when it took one is not waited for."""
    writers = [GroupCommit(database) for _ in range(3)]

    def ask(wish: tuple[GroupCommit, PeriodicLock]) -> bool:
        return wish[0].run(take_turn, wish[1])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(ask, [(one, TURN) for one in writers]))  # the first time somebody makes the row
        for period in range(1, 6):
            for moment in (0, 500):
                turn = replace(TURN, now_ms=NOW_MS + period * 1000 + moment)
                wins = sum(pool.map(ask, [(one, turn) for one in writers]))
                assert wins == (1 if moment == 0 else 0)
    ahead, right = replace(TURN, now_ms=NOW_MS + 300_000), replace(TURN, now_ms=NOW_MS + 7_000)
    assert ask((writers[0], ahead))
    assert ask((writers[1], right))


def test_a_sweep_finds_what_falls_due_and_what_has_no_lease(database: Engine) -> None:
    """Rows that were due when written were notified; rows due much later are found by a later sweep."""
    writer = GroupCommit(database)
    writer.run(take_turn, TURN)
    told, gone, soon, later = (
        _add(writer, NOTHING),
        _add(writer, NOTHING, created_ms=NOW_MS - 60_000),
        _add(writer, URGENT, created_ms=NOW_MS - 60_000, after_s=62.0),
        _add(writer, NOTHING, created_ms=NOW_MS - 60_000, after_s=67.0),
    )
    held = _add(writer, NOTHING)
    writer.run(claim, ClaimRequest(gone, "elsewhere:1:2:3:4", NOW_MS - 10_000, NOW_MS - 1))
    writer.run(claim, ClaimRequest(held, make_owner(), NOW_MS, NOW_MS + 60_000))

    assert {row.id for row in writer.run(sweep, SWEEP)} == {gone, soon}
    assert writer.run(sweep, SWEEP) == ()
    next_turn = replace(TURN, now_ms=NOW_MS + 4000)
    assert [row.id for row in writer.run(sweep, replace(SWEEP, turn=next_turn))] == [later]
    with database.connect() as connection:
        states = {row.id: row.state for row in connection.execute(text("SELECT id, state FROM carboy_jobs"))}
    assert states == {told: "queued", gone: "queued", soon: "queued", later: "queued", held: "running"}


def test_only_what_the_broker_cannot_hold_any_more_is_lost(database: Engine) -> None:
    """So that a long queue is never published again and again; what is urgent comes first."""
    writer = GroupCommit(database)
    old = [_add(writer, NOTHING, created_ms=NOW_MS - 20_000) for _ in range(3)]
    urgent = _add(writer, URGENT, created_ms=NOW_MS - 16_000)
    _add(writer, NOTHING, created_ms=NOW_MS - 14_000)
    _add(writer, STRANGE, created_ms=NOW_MS - 60_000)

    assert writer.run(find_lost, (LOST, 4)) == ()
    assert [row.id for row in writer.run(find_lost, (LOST, 3))] == [urgent]
    found = [row.id for row in writer.run(find_lost, (LOST, 0))]
    assert (found[0], sorted(found[1:])) == (urgent, sorted(old))


def test_rows_of_processes_that_ended_are_freed(database: Engine) -> None:
    """Their leases are not waited for, where it can be known from here."""
    writer = GroupCommit(database)
    row = _add(writer, NOTHING)
    place, pid, started, end = make_owner().rsplit(":", 3)
    writer.run(claim, ClaimRequest(row, f"{place}:{pid}:{int(started) - 1}:{end}", NOW_MS, NOW_MS + 60_000))

    assert [one.id for one in writer.run(requeue_orphaned, NOW_MS)] == [row]
    assert writer.run(requeue_orphaned, NOW_MS) == []
