"""Many processes queue deliveries to one destination: none waits for another in a circle."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from sqlalchemy import Connection, event, func, select, update
from tests.scale.kit import Base, without_deadlocks

from carboy.db import GroupCommit, insert_rows, locks_in_order
from carboy.db.engines import WRITE
from carboy.jobs import Job, make_owner
from carboy.jobs.tables import JOBS
from carboy.services.archive.destinations.rows import Begin, Finish, Wake, begin, finish, schedule, wake
from carboy.services.archive.destinations.store import SetPaused, set_paused
from carboy.services.archive.destinations.tables import DESTINATIONS

PROCESSES, ROUNDS, NOW_MS = 6, 10, 1_800_000_000_000
DELIVER: Job[[str]] = Job("archive.deliver", print)
UNSCHEDULED = update(DESTINATIONS).values(scheduled_at=None)


def jobs(base: Base) -> int:
    with base.engine().connect() as connection:
        return connection.execute(select(func.count()).select_from(JOBS)).scalar_one()


def add_destinations(base: Base, scheduled_at: int | None) -> None:
    with base.engine().begin() as connection:
        rows = [{"name": name, "scheduled_at": scheduled_at} for name in ("pager", "siem")]
        insert_rows(connection, DESTINATIONS, rows)


def test_processes_that_all_find_a_destination_unscheduled_do_not_deadlock(base: Base) -> None:
    """A request for one of two destinations beside requests for both; each time one of them queues the jobs."""
    add_destinations(base, None)
    engines = [base.engine() for _ in range(PROCESSES)]
    barrier = Barrier(PROCESSES)

    def work(number: int) -> None:
        names = ["siem"] if number % 2 else ["pager", "siem"]
        for _ in range(ROUNDS):
            if barrier.wait(60) == 0:
                with engines[0].begin() as connection:
                    connection.execute(UNSCHEDULED)
            barrier.wait(60)
            with engines[number].connect().execution_options(**WRITE) as connection, connection.begin():
                schedule(connection, DELIVER, names, NOW_MS)

    with without_deadlocks(base.server), ThreadPoolExecutor(PROCESSES) as pool:
        list(pool.map(work, range(PROCESSES)))

    assert jobs(base) == 2 * ROUNDS


def test_processes_that_do_all_kinds_of_things_to_two_destinations_do_not_deadlock(base: Base) -> None:
    """Each process has threads that accept events for both, have turns at one, pause and resume."""
    add_destinations(base, 1)

    def accept(connection: Connection, items: Sequence[Sequence[str]]) -> list[None]:
        names = sorted({name for item in items for name in item})
        schedule(connection, DELIVER, names, NOW_MS)
        return [None] * len(items)

    locks_in_order(accept)

    def work(writer: GroupCommit, seed: int) -> None:
        chance = random.Random(seed)
        owner = make_owner()
        for _ in range(10 * ROUNDS):
            name = chance.choice(["pager", "siem"])
            match chance.randrange(6):
                case 0 | 1:
                    writer.run(accept, chance.choice([("pager", "siem"), (name,)]))
                case 2:
                    writer.run(begin, Begin(name, owner, NOW_MS, NOW_MS + 1000))
                case 3:
                    writer.run(finish, Finish(name, owner, NOW_MS, DELIVER))
                case 4:
                    writer.run(wake, Wake(name, DELIVER, NOW_MS, is_forced=chance.random() < 0.5))
                case _:
                    writer.run(set_paused, SetPaused(name, chance.choice(["", "by hand"]), DELIVER, NOW_MS))

    writers = [base.writer() for _ in range(3)]
    with without_deadlocks(base.server), ThreadPoolExecutor(12) as pool:
        list(pool.map(work, writers * 4, range(12)))


def test_a_destination_that_becomes_unscheduled_meanwhile_gets_a_job_and_is_not_written(base: Base) -> None:
    """It is locked for reading by then: to write it would wait for all others that have read it."""
    add_destinations(base, 1)
    mine, other = base.engine(), base.engine()
    said: list[str] = []

    def change(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "archive_destinations" not in statement:
            return
        if not said:
            with other.begin() as connection:
                connection.execute(UNSCHEDULED)
        said.append(statement)

    event.listen(mine, "after_cursor_execute", change)
    with mine.connect().execution_options(**WRITE) as connection, connection.begin():
        schedule(connection, DELIVER, ["siem"], NOW_MS)

    assert jobs(base) == 1
    assert [one.split()[0] for one in said] == ["SELECT", "SELECT"]
