"""Periodic jobs run without requests: a process enqueues the first, and each enqueues the next."""

from collections.abc import Sequence

import pytest
from sqlalchemy import create_engine, select
from tests.services.sms.kit import MakeService, Service

from carboy.errors import Unreachable
from carboy.jobs import Job, PeriodicJob
from carboy.jobs.tables import JOBS
from carboy.services.sms.retention import UPKEEP_EVERY_MS

HOUR_S = UPKEEP_EVERY_MS / 1000


def begin(service: Service) -> None:
    """Do what a process does once its job engine has started."""
    for one in service.held.at_start:
        one()


def waiting(service: Service) -> Sequence[tuple[str, int]]:
    """Return the periods of the clean-ups that wait, and when they are due, in hours from now."""
    wanted = select(JOBS.c.key, JOBS.c.run_at).where(JOBS.c.kind == "sms.upkeep", JOBS.c.state == "queued")
    with service.held.engine.connect() as connection:
        rows = connection.execute(wanted.order_by(JOBS.c.run_at)).all()
    return [(key, round((run_at - service.clock.now_ms()) / UPKEEP_EVERY_MS)) for key, run_at in rows]


def upkeep_key(service: Service, hours: int = 0) -> str:
    return f"sms.upkeep:{service.clock.now_ms() // UPKEEP_EVERY_MS + hours}"


def test_the_clean_up_runs_each_hour_without_any_request(service: Service) -> None:
    begin(service)
    assert waiting(service) == [(upkeep_key(service), 0)]
    for _ in range(5):
        service.run_jobs()
        assert waiting(service) == [(upkeep_key(service, 1), 1)]
        service.clock.advance(HOUR_S)


@pytest.mark.slow
def test_many_processes_and_requests_enqueue_one_job_of_a_period(make_service: MakeService) -> None:
    one, other = make_service(), make_service()
    for service in (one, other, one, other):
        begin(service)
    one.sent_now()
    other.sent_now()
    assert waiting(one) == [(upkeep_key(one, 1), 1)]


@pytest.mark.parametrize("hours", [3, 0.5, 400 * 24])
def test_after_a_stop_of_hours_the_clean_up_runs_once_and_goes_on(service: Service, hours: float) -> None:
    """It does not make up for the periods that are gone."""
    begin(service)
    service.run_jobs()
    service.clock.advance(hours * HOUR_S)
    service.clock.advance(HOUR_S / 2)
    service.run_jobs()
    assert [key for key, _ in waiting(service)] == [upkeep_key(service, 1)]


def test_a_clock_that_was_ahead_does_not_end_the_clean_ups(service: Service) -> None:
    """The job that waits for the wrong time stays; the next request or start enqueues the right one."""
    service.clock.jump(365 * 86_400)
    begin(service)
    service.run_jobs()
    service.clock.jump(-365 * 86_400)
    service.sent_now()
    assert [key for key, _ in waiting(service)][:1] == [upkeep_key(service, 1)]


def test_a_process_starts_though_the_job_cannot_be_enqueued(make_service: MakeService) -> None:
    """The next request enqueues it."""
    service = make_service()
    url = service.held.engine.url
    broken = create_engine(url)
    with broken.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE carboy_jobs RENAME TO jobs_away")
    begin(service)
    with broken.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs_away RENAME TO carboy_jobs")
    broken.dispose()
    service.sent_now()
    assert [key for key, _ in waiting(service)] == [upkeep_key(service, 1)]


@pytest.mark.slow
def test_a_job_that_fails_is_tried_until_the_next_one_is_enqueued(service: Service) -> None:
    """A database that is away for an hour does not end the clean-ups."""
    failures = 50

    def work(period: int) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise Unreachable("the database", "it is away", "")

    periodic = PeriodicJob(Job("test.periodic", work), UPKEEP_EVERY_MS, service.held.writer, service.clock)
    service.held.jobs.registry.add(periodic.job)
    periodic.ask()
    for _ in range(52):
        service.run_jobs()
        service.clock.advance(61)
    wanted = select(JOBS.c.key).where(JOBS.c.kind == "test.periodic", JOBS.c.state == "queued")
    with service.held.engine.connect() as connection:
        keys = connection.execute(wanted).scalars().all()
    assert failures < 0
    assert keys == [f"test.periodic:{service.clock.now_ms() // UPKEEP_EVERY_MS + 1}"]
