"""The gateway with Celery's workers: the broker can fail in any way, each accepted alert is archived once."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
from tests.journeys.kit import Gateway
from tests.journeys.test_kills import load_until_killed, start_worker
from tests.journeys.zygote import eventually
from tests.lab.threat_stack import ThreatStackProcess

from carboy.testing.processes import AwsServer, BrokerServer, moto_server, rabbitmq, redis, require

pytestmark = [
    pytest.mark.journey,
    pytest.mark.parametrize("server", ["postgres_server"], indirect=True, ids=["postgres"]),
]

KILLS = int(os.environ.get("CARBOY_TEST_KILLS", "4"))
ACCEPTED = "SELECT count(*) FROM archive_items"
ARCHIVED = "SELECT count(*) FROM archive_items WHERE state = 'archived'"


@dataclass
class Broker:
    """A broker of a test's own, which may be broken."""

    server: BrokerServer | AwsServer
    environ: dict[str, str]

    def lose(self) -> None:
        """Kill it, and start it again with nothing in it."""
        self.server.process.kill()
        shutil.rmtree(self.server.process.folder / "data", ignore_errors=True)  # RabbitMQ's; the others keep nothing
        self.server.process.start()


@pytest.fixture(params=["redis", "rabbitmq", "sqs"])
def broker(request: pytest.FixtureRequest, shared_gateway: Gateway) -> Iterator[Broker]:
    """The gateway's broker."""
    starters: dict[str, Callable[[], AbstractContextManager[BrokerServer | AwsServer]]]
    starters = {"redis": redis, "rabbitmq": rabbitmq, "sqs": moto_server}
    with require(starters[request.param]) as server:
        environ = {"FLASK_JOBS_BROKER_URL": "sqs://", **server.environment} if isinstance(server, AwsServer) else {}
        shared_gateway.environ |= {
            "FLASK_JOBS_ENGINE": "celery",
            "FLASK_JOBS_BROKER_URL": getattr(server, "url", ""),
            "FLASK_JOBS_CONCURRENCY": "2",
            "FLASK_JOBS_SWEEP_S": "1",
            **environ,
        }
        yield Broker(server, environ)


def _more(gateway: Gateway, query: str, by: int) -> None:
    [(seen,)] = gateway.rows(query)
    eventually(lambda: gateway.rows(query) > [(seen + by,)], f"{by} more: {query}")


def test_a_broker_that_is_lost_and_then_away_costs_nothing(
    shared_gateway: Gateway, broker: Broker, source: ThreatStackProcess
) -> None:
    """Killed and restarted empty, then silent for a while, under load: all are accepted, and archived once."""
    gateway = shared_gateway
    web = gateway.start()
    workers = [gateway.start("worker", says="Ctrl-C stops") for _ in range(2)]
    with gateway.under_load(web.url, pause_s=0.1, connections=4):  # moto is slow
        _more(gateway, ARCHIVED, 5)
        broker.lose()
        _more(gateway, ARCHIVED, 5)
        broker.server.process.freeze()
        _more(gateway, ACCEPTED, 20)
        broker.server.process.thaw()
        _more(gateway, ARCHIVED, 5)
    eventually(gateway.is_done, "every job is done")
    assert [one.stop() for one in (*workers, web)] == [0, 0, 0]
    gateway.check()
    assert gateway.statuses == {202}
    assert set(source.report()["calls"].values()) == {1}, "an alert was fetched twice"


@pytest.mark.usefixtures("broker")
@pytest.mark.timeout(60 + 20 * KILLS)
def test_web_process_and_workers_are_killed_in_turn(shared_gateway: Gateway) -> None:
    """At any moment, under load: what was answered 202 is archived once. `CARBOY_TEST_KILLS=60` for a long run."""
    gateway = shared_gateway
    web, workers = gateway.start(), [start_worker(gateway) for _ in range(2)]
    for _ in range(KILLS):
        victim = random.choice([web, *workers])
        load_until_killed(gateway, web, victim, random.random() * 0.5, pause_s=0.02)  # moto is slow
        if victim is web:
            web = gateway.start()
        else:
            workers[workers.index(victim)] = start_worker(gateway)
    eventually(gateway.is_done, "every job is done", timeout_s=60)
    for worker in workers:
        worker.kill()
    assert web.stop() == 0
    gateway.check()
    assert gateway.statuses == {202}
