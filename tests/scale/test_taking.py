"""Many processes lease rows of one table: each row is leased by one, and none waits for another."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, select, text, update
from tests.forks import exit_code, start_child
from tests.journeys.zygote import eventually
from tests.scale.kit import Base, without_deadlocks

from carboy.db import GroupCommit, ServerClock
from carboy.db.engines import WRITE
from carboy.jobs import Commit, Embedded, Job, JobsSettings, JobStore, Registry, put, row_of
from carboy.jobs.job_rows import LeaseRequest, release_expired, take
from carboy.jobs.tables import JOBS

SETTINGS = JobsSettings(jobs_concurrency=4, jobs_poll_s=0.05, jobs_lease_s=2.0, jobs_drain_s=10.0)


def _add(writer: GroupCommit, job: Job[...], numbers: Sequence[int], now_ms: int) -> None:
    def write(connection: Connection, wishes: Sequence[Any]) -> list[None]:
        put(connection, [row_of(job, (number,), now_ms=now_ms) for number in numbers])
        return [None] * len(wishes)

    writer.run(write, None)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_rows_that_another_holds_are_passed_over(base: Base) -> None:
    """While one transaction has rows locked, the next leases others and does not wait."""
    writer = base.writer()
    _add(writer, Job("one", print), range(10), _now_ms() - 1000)
    engine = base.engine()
    said: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _u, statement, *_: said.append(statement))
    wish = LeaseRequest("a", ("one",), (5,), 4, _now_ms(), _now_ms() + 60_000)

    with (
        engine.connect().execution_options(**WRITE) as first,
        engine.connect().execution_options(**WRITE) as second,
    ):
        [mine] = take(first, [wish])
        [others] = take(second, [replace(wish, owner="b", count=10)])
        assert release_expired(second, [(_now_ms() + 120_000, ())]) == [6]  # only those that `second` itself has taken
        first.commit()
        second.rollback()

    assert len(mine.rows) == 4
    assert len(others.rows) == 6
    assert not {row.id for row in mine.rows} & {row.id for row in others.rows}
    taking = [one for one in said if "FROM carboy_jobs" in one and "LIMIT" in one and "FOR UPDATE" in one]
    assert len(taking) >= 3
    assert all(one.rstrip().endswith("SKIP LOCKED") for one in taking)


def test_processes_that_share_a_table_do_each_row_once(base: Base) -> None:
    """Three processes with four threads each, while rows go on being added; no dead-lock, no row done twice."""
    with base.engine().begin() as connection:
        connection.execute(text("CREATE TABLE effects (number INTEGER, pid INTEGER)"))

    def write(connection: Connection, numbers: Sequence[int]) -> list[None]:
        connection.execute(
            text("INSERT INTO effects VALUES (:number, :pid)"),
            [{"number": number, "pid": threading.get_native_id()} for number in numbers],
        )
        return [None] * len(numbers)

    job: Job[[int]] = Job("effect", lambda number: Commit(write, number))
    writer = base.writer()
    with without_deadlocks(base.server):
        children = [start_child(lambda: _work_until_done(base, job)) for _ in range(3)]
        with ThreadPoolExecutor(2) as pool:
            for at in range(0, 600, 20):
                pool.submit(_add, writer, job, range(at, at + 20), _now_ms()).add_done_callback(
                    lambda done: done.result()
                )
        assert [exit_code(child) for child in children] == [0, 0, 0]

    with base.engine().connect() as connection:
        done = Counter(connection.execute(text("SELECT number FROM effects")).scalars())
    assert done == Counter(range(600))


def _work_until_done(base: Base, job: Job[...]) -> bool:
    writer = base.writer(db_leaders=2)
    engine = Embedded(writer, Registry([job]), SETTINGS)
    engine.start()
    store = JobStore(base.engine(), writer)
    give_up_at_s = time.monotonic() + 50
    while len(store.list(state="done", limit=1000)) < 600 and time.monotonic() < give_up_at_s:
        time.sleep(0.05)
    return engine.stop(10.0)


def test_a_lease_ends_and_another_takes_the_row(base: Base) -> None:
    """And what its first holder then says of it counts for nothing."""
    first, second = base.writer(), base.writer()
    begun, frozen = threading.Event(), threading.Event()
    done: list[str] = []

    def work(name: str) -> None:
        if not begun.is_set():
            begun.set()
            frozen.wait(30)
        done.append(name)

    job: Job[[str]] = Job("slow", work, timeout_s=0.0)  # its lease is never renewed
    _add(first, job, [1], _now_ms())
    settings = replace(SETTINGS, jobs_lease_s=0.5)
    one, other = Embedded(first, Registry([job]), settings), Embedded(second, Registry([job]), SETTINGS)
    one.start()
    assert begun.wait(30)
    other.start()
    store = JobStore(base.engine(), second)
    eventually(lambda: [row.state for row in store.list()] == ["done"], "the other has done it")
    frozen.set()
    eventually(lambda: len(done) == 2, "the first ends too")
    one.stop(10.0)  # whether in time is open: a thread that was overdue may end just now
    assert other.stop(10.0)
    [row] = store.list()
    assert (row.state, row.attempts, len(done)) == ("done", 2, 2)


def test_a_dead_lock_is_survived(base: Base) -> None:
    """Two transactions that take the same rows the other way round: one is rolled back and written again."""
    setup = base.writer()
    _add(setup, Job("one", print), [1, 2], _now_ms())
    with base.engine().connect() as connection:
        ids = list(connection.execute(select(JOBS.c.id).order_by(JOBS.c.id)).scalars())
    barrier = threading.Barrier(2)
    tries: list[int] = []

    def cross(order: Sequence[int]) -> Callable[[Connection, Sequence[Any]], list[None]]:
        def write(connection: Connection, wishes: Sequence[Any]) -> list[None]:
            tries.append(1)
            for place, row in enumerate(order):
                connection.execute(update(JOBS).where(JOBS.c.id == row).values(attempts=JOBS.c.attempts + 1))
                if place == 0 and len(tries) <= 2:
                    barrier.wait(30)
            return [None] * len(wishes)

        return write

    with ThreadPoolExecutor(2) as pool:
        for one in [pool.submit(base.writer().run, cross(order), None) for order in (ids, ids[::-1])]:
            one.result(60)
    assert len(tries) == 3
    with base.engine().connect() as connection:
        assert list(connection.execute(select(JOBS.c.attempts)).scalars()) == [2, 2]


@pytest.mark.parametrize(
    "statement",
    [update(JOBS).values(attempts=7), select(JOBS.c.id).with_for_update(skip_locked=True)],
    ids=["written", "locked"],
)
def test_a_write_that_stands_still_does_not_hold_its_rows_for_ever(base: Base, statement: Any) -> None:
    """The server ends the transaction of a process that was frozen in the middle of it, or before its first write."""
    _add(base.writer(), Job("one", print), [1], _now_ms())
    with base.engine(db_idle_write_s=1.0).connect().execution_options(**WRITE) as frozen:
        frozen.execute(statement)
        with base.engine().connect().execution_options(**WRITE) as other:
            other.execute(update(JOBS).values(attempts=8))  # waits for the row
            other.commit()
        frozen.invalidate()
    with base.engine().connect() as connection:
        assert connection.execute(select(JOBS.c.attempts)).scalar() == 8


def test_time_is_the_servers(base: Base) -> None:
    """A machine whose clock is an hour wrong, and then jumps, has the same time as the others."""

    class Wrong:
        def __init__(self) -> None:
            self.off_ms = 3_600_000

        def now_ms(self) -> int:
            return _now_ms() + self.off_ms

        def monotonic_s(self) -> float:
            return time.monotonic()

        def sleep(self, seconds: float) -> None:
            time.sleep(seconds)

    machine = Wrong()
    clock = ServerClock(machine)
    assert abs(clock.now_ms() - machine.now_ms()) < 60_000
    clock.follow(base.engine())
    assert abs(clock.now_ms() - _now_ms()) < 60_000
    machine.off_ms = -3_600_000
    assert abs(clock.now_ms() - _now_ms()) < 60_000


def test_finished_rows_go_in_parts_and_nothing_waits_for_it(base: Base) -> None:
    """Several processes clean up at once, and none deletes what another is at."""
    rows = [
        row_of(Job("one", print), (number,), now_ms=1000) | {"state": "done", "finished_at": 1000 + number}
        for number in range(1200)
    ]
    writer = base.writer()
    with base.engine().begin() as connection:
        connection.execute(insert(JOBS), rows)
    settings = replace(SETTINGS, jobs_poll_s=1.0)
    engines = [Embedded(base.writer(), Registry([Job("one", print)]), settings) for _ in range(2)]
    for one in engines:
        one.start()
    eventually(lambda: not JobStore(base.engine(), writer).list(limit=1), "all are gone")
    assert [one.stop(10.0) for one in engines] == [True, True]
