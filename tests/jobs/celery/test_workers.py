"""Celery's workers lease rows: the broker can fail in any way, no row is lost or run by two."""

import os
import signal
from collections.abc import Callable
from contextlib import nullcontext
from urllib.request import urlopen

import pytest
from celery.worker.consumer import Consumer
from kombu.connection import Connection
from tests.jobs.celery.kit import Yard
from tests.jobs.celery.shop_app import bulk, deaf, dies, fails, otp, slow, throttled
from tests.journeys.zygote import eventually

from carboy.jobs import Ready
from carboy.jobs.celery.consumer import _LastingConsumer
from carboy.testing.ports import free_port
from carboy.testing.processes import BrokerServer


def test_jobs_end_as_they_do_elsewhere(yard: Yard) -> None:
    """Done, tried again when they asked for it, dead after the last try, and cut at their time limit."""
    done, late, failed = yard.add(bulk, "one"), yard.add(bulk, "late", after_s=1.0), yard.add(fails, "two")
    again, cut, killed = yard.add(throttled, "three"), yard.add(slow, "four"), yard.add(deaf, "five")
    port = free_port()
    worker = yard.work(METRICS_BIND=f"127.0.0.1:{port}")

    assert yard.wait_for(done, "done", "dead").state == "done"
    assert yard.wait_for(late, "done", "dead").state == "done"
    assert (yard.wait_for(again, "done", "dead").state, yard.ran().count("three")) == ("done", 2)
    dead = yard.wait_for(failed, "dead")
    assert (dead.attempts, dead.error) == (2, "RuntimeError: no luck")
    assert "SoftTimeLimitExceeded" in str(yard.wait_for(cut, "dead").error)
    assert yard.wait_for(killed, "dead").attempts == 1
    assert yard.ran().count("deaf heard") == 1  # the first limit; the second one has no mercy
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        told = answer.read().decode()
    assert 'carboy_job_runs_total{kind="shop.fails",outcome="queued"} 1' in told
    assert 'carboy_job_runs_total{kind="shop.fails",outcome="dead"} 1' in told
    assert worker.stop() == 0


@pytest.mark.parametrize(("pool", "processes"), [("prefork", 2), ("threads", 1)])
def test_what_jobs_left_running_ends_in_the_processes_that_ran_them(yard: Yard, pool: str, processes: int) -> None:
    """With the time that `JOBS_DRAIN_S` gives."""
    row = yard.add(bulk, "one")
    worker = yard.work("celery", "-A", "carboy.celery_app", "worker", "--pool", pool, SHOP_TELLS_ITS_STOP="1")
    yard.wait_for(row, "done")

    assert worker.stop() == 0
    assert yard.ran() == ["one", *["stop 5"] * processes]


def test_a_worker_process_that_is_killed_costs_a_try(yard: Yard) -> None:
    """Its row is taken again at once, by another process on the machine, and the other rows are not touched."""
    dying = yard.add(dies, "dying")
    others = [yard.add(bulk, f"row {number}") for number in range(5)]
    yard.work()

    assert yard.wait_for(dying, "done", "dead").attempts == 2
    for one in others:
        yard.wait_for(one, "done")
    assert sorted(yard.ran()) == ["dying", "dying", *sorted(f"row {number}" for number in range(5))]


def test_a_worker_that_is_killed_leaves_its_row_to_the_next(yard: Yard) -> None:
    """Parent and children, in the middle of a job, with other messages unacknowledged."""
    rows = [yard.add(bulk, f"row {number}", 30.0 if number < 2 else 0.0) for number in range(6)]
    worker = yard.work()
    eventually(lambda: len(yard.ran()) == 2, "two jobs run")
    worker.kill()

    yard.work()
    eventually(lambda: yard.states()[2:] == ["done"] * 4, "the others are done")
    eventually(lambda: len(yard.ran()) == 8, "the two run again")
    assert {yard.store.get(int(row.id)).attempts for row in rows[:2]} == {2}


def test_a_message_that_comes_twice_or_late_does_nothing(yard: Yard) -> None:
    """The row decides; a message without a row is not an error."""
    row = yard.add(bulk, "once")
    told = Ready(int(row.id), row.kind, 5, row.run_at)
    for count, one in enumerate((told, told, Ready(7, row.kind, 5, 0)), 1):
        eventually(lambda: yard.celery.depth() == count, "all so far wait")  # noqa: B023 (it waits here)
        yard.celery.notify([one])
    eventually(lambda: yard.celery.depth() == 4, "four messages wait")
    worker = yard.work()
    yard.wait_for(row, "done")
    yard.celery.notify([told])
    eventually(lambda: yard.celery.counts["published"] == 5 and yard.celery.depth() == 0, "all are consumed")

    assert worker.stop() == 0
    assert yard.ran() == ["once"]


def test_what_is_urgent_overtakes_what_waits(any_yard: Yard) -> None:
    """One-time passwords go before bulk: on Redis, on RabbitMQ and on SQS."""
    for number in range(12):
        any_yard.add(bulk, f"bulk {number}")
    eventually(lambda: any_yard.celery.depth() == 12, "bulk waits")
    urgent = any_yard.add(otp, "urgent")
    eventually(lambda: any_yard.celery.depth() == 13, "all wait")

    any_yard.work("worker", "--concurrency", "1")

    any_yard.wait_for(urgent, "done")
    eventually(lambda: set(any_yard.states()) == {"done"}, "all are done")
    first = any_yard.ran().index("urgent")
    assert first <= (3 if any_yard.celery.broker.name == "sqs" else 0)  # SQS hands out two queues side by side


def test_what_a_broker_lost_is_published_again(yard: Yard, redis_server: BrokerServer) -> None:
    """It was restarted empty, while rows waited and while a worker was connected."""
    before = [yard.add(bulk, f"before {number}") for number in range(20)]
    eventually(lambda: yard.celery.depth() == 20, "all wait")
    redis_server.process.restart()
    assert yard.celery.depth() == 0

    yard.work()
    for row in before:
        yard.wait_for(row, "done")

    redis_server.process.restart()
    after = [yard.add(bulk, f"after {number}") for number in range(20)]
    for row in after:
        yard.wait_for(row, "done")
    assert len(yard.ran()) == 40


class _Broken(Connection):
    """A connection that cannot be closed, as one over Redis with messages that it may not put back."""

    def close(self) -> None:
        raise AttributeError("'NoneType' object has no attribute 'hostname'")


def test_a_broken_connection_that_cannot_be_closed_ends_no_worker(yard: Yard) -> None:
    """Celery's own consumer raises what is not caught; Carboy's drops the connection and connects again."""
    for kind, says in (Consumer, pytest.raises(AttributeError)), (_LastingConsumer, nullcontext()):
        consumer = object.__new__(kind)
        consumer.connection, consumer.app = _Broken("memory://"), yard.celery.celery  # type: ignore[no-untyped-call]
        with says:
            consumer.on_connection_error_after_connected(ConnectionError("cut"))
        assert consumer.connection is None
    assert yard.celery.celery.conf.worker_consumer == f"{_LastingConsumer.__module__}:{_LastingConsumer.__name__}"


def test_a_message_without_a_connection_ends_no_worker(yard: Yard) -> None:
    """It was acknowledged when the connection had gone, on the event loop of the next one."""
    worker = yard.work(SHOP_ACKNOWLEDGES_LATE="1")
    row = yard.add(bulk, "after")

    assert yard.wait_for(row, "done").state == "done"
    assert worker.stop() == 0
    assert "a message's connection is gone" in worker.said


def test_a_revoked_message_loses_no_row(yard: Yard) -> None:
    """It was one message; the row is published again under another id, as after a purge of the queue."""
    busy = [yard.add(bulk, f"busy {number}", 2.0) for number in range(2)]
    worker = yard.work()
    eventually(lambda: len(yard.ran()) == 2, "all hands are busy")
    control = yard.celery.celery.control
    revoked, purged = yard.add(bulk, "revoked"), yard.add(bulk, "purged")
    eventually(lambda: yard.celery.depth() == 2, "two wait")
    control.revoke(f"{revoked.id}-{'0' * 6}")
    control.purge()

    for one in (*busy, revoked, purged):
        yard.wait_for(one, "done")
    assert worker.stop() == 0


def test_a_stop_waits_for_what_runs_and_gives_back_what_does_not_end(yard: Yard) -> None:
    """Within `JOBS_DRAIN_S`."""
    short, long = yard.add(bulk, "short", 1.0), yard.add(bulk, "long", 60.0)
    worker = yard.work(JOBS_DRAIN_S="2")
    eventually(lambda: len(yard.ran()) == 2, "both run")

    worker.stop(30)

    assert yard.store.get(int(short.id)).state == "done"
    assert yard.store.get(int(long.id)).state == "queued"


def test_a_frozen_worker_wakes_to_a_row_that_is_anothers(
    make_yard: Callable[..., Yard], redis_server: BrokerServer
) -> None:
    """It was frozen past its lease: what it found is not written, and the row is done once."""
    yard = make_yard(redis_server.url, JOBS_LEASE_S="1.5")
    row = yard.add(bulk, "frozen", 1.0)
    frozen = yard.work("worker", "--concurrency", "1")
    eventually(lambda: len(yard.ran()) == 1, "it runs")
    os.killpg(frozen.pid, signal.SIGSTOP)

    yard.work("worker", "--concurrency", "1")
    assert yard.wait_for(row, "done").attempts == 2
    os.killpg(frozen.pid, signal.SIGCONT)

    frozen.stop()
    assert yard.store.get(int(row.id)).attempts == 2
    assert yard.ran() == ["frozen", "frozen"]
