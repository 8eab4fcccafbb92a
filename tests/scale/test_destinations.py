"""Many processes queue deliveries to one destination: none waits for another in a circle."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from sqlalchemy import event, func, select, update
from tests.scale.kit import Base

from carboy.db import insert_rows
from carboy.db.engines import WRITE
from carboy.jobs import Job
from carboy.jobs.tables import JOBS
from carboy.services.archive.destinations.rows import schedule
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
    before = base.deadlocks()
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

    with ThreadPoolExecutor(PROCESSES) as pool:
        list(pool.map(work, range(PROCESSES)))

    assert base.deadlocks() == before
    assert jobs(base) == 2 * ROUNDS


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
