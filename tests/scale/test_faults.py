"""What goes wrong with many processes on one server: nothing is lost, and nothing is done twice."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.journeys.kit import Gateway
from tests.journeys.zygote import Process, eventually
from tests.lab.threat_stack import ThreatStackProcess

from carboy.testing.processes import DatabaseServer, mariadb, postgres, require
from carboy.testing.processes.running import find_binary
from carboy.testing.serving import ServeProcess, serve_process

pytestmark = pytest.mark.journey

RUNNING = "SELECT count(*) FROM carboy_jobs WHERE state = 'running'"
ACCEPTED = "SELECT count(*) FROM archive_items"
NO_JOBS = {"FLASK_JOBS_CONCURRENCY": "0"}


def _worker(gateway: Gateway, **environ: str) -> Process:
    return gateway.start("worker", says="Ctrl-C stops", **environ)


def _end(gateway: Gateway, *processes: Process) -> None:
    eventually(gateway.is_done, "every job is done")
    assert [one.stop() for one in processes] == [0] * len(processes)
    gateway.check()


def test_a_worker_is_frozen_past_its_lease_and_woken(shared_gateway: Gateway, source: ThreatStackProcess) -> None:
    """Its work is taken from it, and what it says when it wakes up spoils nothing."""
    gateway = shared_gateway
    gateway.environ |= {"FLASK_JOBS_LEASE_S": "1", "FLASK_THREATSTACK_TIMEOUT_S": "5"}
    gateway.environ |= {"FLASK_DB_IDLE_WRITE_S": "10"}  # it may be frozen within a write, and hold rows for that long
    web, sleeper = gateway.start(**NO_JOBS), _worker(gateway)
    source.tell(fault="stall")
    gateway.load(web.url, gateway.calls(16))
    eventually(lambda: source.report()["statuses"].get("stall", 0) >= 8, "the sleeper waits for answers")
    sleeper.send(signal.SIGSTOP)
    source.tell(fault=None)
    others = [_worker(gateway) for _ in range(2)]
    eventually(gateway.is_done, "the others have done everything")
    sleeper.send(signal.SIGCONT)
    _end(gateway, web, sleeper, *others)
    assert len(gateway.accepted) == 16


def test_a_web_process_is_killed_before_it_has_notified_the_workers(shared_gateway: Gateway) -> None:
    """What it has committed is found all the same."""
    gateway = shared_gateway
    worker = _worker(gateway)
    for _ in range(3):
        web = gateway.start(**NO_JOBS)
        before = gateway.rows(ACCEPTED)
        sender = threading.Thread(target=gateway.load, args=(web.url, gateway.calls(200)))
        sender.start()
        eventually(lambda before=before: gateway.rows(ACCEPTED) > before, "something is committed")  # type: ignore[misc]
        web.kill()
        sender.join()
    _end(gateway, worker)


def test_the_clocks_of_the_workers_are_five_minutes_wrong(shared_gateway: Gateway, source: ThreatStackProcess) -> None:
    """One is early and one is late: neither takes from the other what it holds, and both go on working."""
    gateway = shared_gateway
    source.tell(latency_s=0.3)
    gateway.environ |= {"FLASK_JOBS_LEASE_S": "30", "FLASK_THREATSTACK_TIMEOUT_S": "20"}
    web = gateway.start(**NO_JOBS)
    with (
        require(_clock_off, gateway, "+5m") as early,
        require(_clock_off, gateway, "-5m") as late,
        _right(gateway) as own,
    ):
        gateway.load(web.url, gateway.calls(60))
        eventually(gateway.is_done, "every job is done")
        eventually(lambda: "Ctrl-C" in own.said, "it had begun")
        assert [early.stop(), late.stop()] == [0, 0]
    assert set(source.report()["calls"].values()) == {1}, "an alert was fetched twice"
    _end(gateway, web)
    assert len(gateway.accepted) == 60


@contextmanager
def _clock_off(gateway: Gateway, by: str) -> Iterator[ServeProcess]:
    """Run a worker whose wall clock is wrong."""
    find_binary("faketime", "faketime")
    library = f"{os.uname().machine}-linux-gnu/faketime/libfaketimeMT.so.1"
    environ = {"LD_PRELOAD": f"/usr/lib/{library}", "FAKETIME": by, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with serve_process(gateway.folder, environ={**gateway.environ, **environ}, command=("worker",)) as process:
        gateway.logs.append(lambda: process.said)
        eventually(lambda: "Ctrl-C stops" in process.said, "the worker runs")
        yield process


@contextmanager
def _right(gateway: Gateway) -> Iterator[Process]:
    process = _worker(gateway)
    yield process
    assert process.stop() == 0


@pytest.fixture(params=[mariadb, postgres], ids=["mariadb", "postgres"])
def breakable(request: pytest.FixtureRequest, gateway: Gateway) -> Iterator[DatabaseServer]:
    """A server of the gateway's own, which may be broken."""
    with require(request.param) as server:
        gateway.environ |= {"FLASK_DATABASE_URL": server.url()}
        gateway.server = server
        upgrade = gateway.run("db", "upgrade")
        assert upgrade.end() == 0, upgrade.said
        yield server


def test_the_database_is_restarted_under_load(gateway: Gateway, breakable: DatabaseServer) -> None:
    """Twice; requests wait or are answered 503, and the workers go on where they were."""
    web = gateway.start("serve", "--port", "0", "--workers", "2", **NO_JOBS)
    workers = [_worker(gateway) for _ in range(2)]
    with gateway.under_load(web.url, pause_s=0.01, timeout_s=60.0):
        for least in (10, 20):
            eventually(lambda least=least: gateway.rows(ACCEPTED) > [(least,)], "it works")  # type: ignore[misc]
            breakable.process.restart()
        seen = gateway.rows(ACCEPTED)
        eventually(lambda: gateway.rows(ACCEPTED) > seen, "requests are accepted again")
    _end(gateway, web, *workers)
    assert gateway.statuses <= {202, 503}
