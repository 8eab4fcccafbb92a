"""What the archive stands on goes away for a while: what was answered 202 is archived when it is back."""

import signal
import sqlite3
from contextlib import closing

import pytest
from tests.journeys.kit import Gateway
from tests.journeys.zygote import eventually
from tests.lab.threat_stack import ThreatStack, ThreatStackProcess

from carboy.testing.processes import AwsServer

pytestmark = pytest.mark.journey

FAILED_TRIES = "SELECT count(*) FROM carboy_jobs WHERE error IS NOT NULL"


def test_the_object_store_is_away(bucket_gateway: Gateway, weed: AwsServer) -> None:
    """Killed and started again: requests are answered 202 all the time."""
    gateway = bucket_gateway
    server = gateway.start()
    gateway.load(server.url, gateway.calls(20))
    weed.process.kill()
    try:
        gateway.load(server.url, gateway.calls(20))
        eventually(lambda: gateway.rows(FAILED_TRIES) >= [(10,)], "tries fail")
        gateway.load(server.url, gateway.calls(10))
    finally:
        weed.process.start()
    eventually(gateway.is_done, "every job is done")
    assert server.stop() == 0
    gateway.check()
    assert gateway.statuses == {202}
    assert len(gateway.accepted) == 50


def test_the_object_store_hangs(bucket_gateway: Gateway, weed: AwsServer) -> None:
    """Frozen while it holds open puts, and thawed: each object is there once."""
    gateway = bucket_gateway
    server = gateway.start()
    gateway.load(server.url, gateway.calls(30))
    weed.process.freeze()
    try:
        gateway.load(server.url, gateway.calls(20))
        eventually(lambda: gateway.rows(FAILED_TRIES) >= [(3,)], "tries fail")
    finally:
        weed.process.thaw()
    eventually(gateway.is_done, "every job is done")
    assert server.stop() == 0
    gateway.check()
    assert gateway.statuses == {202}
    assert len(gateway.accepted) == 50


def test_the_threat_stack_api_fails_in_every_way(gateway: Gateway, threat_stack: ThreatStack) -> None:
    """Refused, throttled, failing, cut, reset, silent, not there."""
    gateway.environ |= {
        "FLASK_THREATSTACK_BASE_URL": threat_stack.base_url,
        "FLASK_THREATSTACK_REFUSED_WAIT": "1s",
        "FLASK_THREATSTACK_TIMEOUT_S": "0.3",
    }
    server = gateway.start()
    for number, fault in enumerate((429, 500, 503, 401, "cut", "reset", "stall")):
        threat_stack.tell(fault=fault)
        failures = sum(threat_stack.api.statuses.values())
        gateway.load(server.url, gateway.calls(6))
        eventually(lambda least=failures + 4: sum(threat_stack.api.statuses.values()) >= least, f"fault {number} shows")  # type: ignore[misc]
    threat_stack.stop()
    tries = gateway.rows(FAILED_TRIES)
    gateway.load(server.url, gateway.calls(6))
    eventually(lambda: gateway.rows(FAILED_TRIES) > tries, "the missing server shows")
    threat_stack.tell(fault=None)
    threat_stack.start()
    eventually(gateway.is_done, "every job is done")
    assert server.stop() == 0
    gateway.check()
    assert gateway.statuses == {202}
    assert len(gateway.accepted) == 48


def test_alerts_that_cannot_be_read_at_first(gateway: Gateway, source: ThreatStackProcess) -> None:
    """The webhook often comes before its alert can be read: 404 is then not the last word."""
    source.tell(unreadable_calls=1)
    server = gateway.start()
    gateway.load(server.url, gateway.calls(20))
    eventually(gateway.is_done, "every job is done")
    assert server.stop() == 0
    gateway.check()
    assert set(source.report()["calls"].values()) == {2}


def test_the_database_is_locked(gateway: Gateway, source: ThreatStackProcess) -> None:
    """Another process holds the lock for longer than is waited for it: no false 202, and no work done twice."""
    server = gateway.start(FLASK_DB_BUSY_S="0.3", FLASK_JOBS_LEASE_S="60")
    source.tell(latency_s=0.5)
    gateway.load(server.url, gateway.calls(40))
    with closing(sqlite3.connect(gateway.database, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = gateway.load(server.url, gateway.calls(40))
        assert gateway.post(server.url) == (503, "5")
        other.execute("ROLLBACK")
    assert refused.statuses.keys() == {503}
    source.tell(latency_s=0.005)

    assert gateway.post(server.url) == (202, None)
    eventually(gateway.is_done, "every job is done")
    assert server.stop() == 0
    gateway.check()
    assert len(gateway.accepted) == 41
    assert set(source.report()["calls"].values()) == {1}


def test_the_database_is_locked_at_the_start(gateway: Gateway) -> None:
    """A server serves all the same, and archives what was left when the lock is gone."""
    server = gateway.start()
    gateway.load(server.url, gateway.calls(20))
    server.kill()
    with closing(sqlite3.connect(gateway.database, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        server = gateway.start(FLASK_DB_BUSY_S="0.1")
        eventually(lambda: "jobs_database_failed" in server.said, "the engine has met the lock")
        other.execute("ROLLBACK")
    eventually(gateway.is_done, "every job is done")
    assert server.stop() == 0
    gateway.check()


def test_a_worker_that_slept_past_its_lease(gateway: Gateway, source: ThreatStackProcess) -> None:
    """A machine that was paused resumes with old work, and does no harm."""
    gateway.environ |= {"FLASK_JOBS_LEASE_S": "1", "FLASK_THREATSTACK_TIMEOUT_S": "5"}
    server = gateway.start(FLASK_JOBS_CONCURRENCY="0")
    sleeper = gateway.start("worker", says="Ctrl-C stops")
    source.tell(fault="stall")
    gateway.load(server.url, gateway.calls(16))
    eventually(lambda: source.report()["statuses"].get("stall", 0) >= 8, "the sleeper waits for answers")
    sleeper.send(signal.SIGSTOP)
    source.tell(fault=None)
    worker = gateway.start("worker", says="Ctrl-C stops")
    eventually(gateway.is_done, "the other worker has done everything")
    sleeper.send(signal.SIGCONT)
    assert [one.stop() for one in (sleeper, worker, server)] == [0, 0, 0]
    gateway.check()
    assert len(gateway.accepted) == 16
