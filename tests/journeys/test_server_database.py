"""Several processes on MariaDB or PostgreSQL: killed under load, sent everything twice, and left without database."""

import random
import threading
import time
from collections.abc import Iterator

import pytest
from tests.journeys.kit import Gateway
from tests.journeys.zygote import Process, eventually
from tests.lab.load import Call, run_load

from carboy.testing.processes import DatabaseServer, mariadb, postgres, require

pytestmark = pytest.mark.journey

ACCEPTED = "SELECT count(*) FROM archive_items"
READS = ("/api/v1/s3/alert/a1", "/api/v1/s3/alert?start=2023-01-01T00:00:00Z&end=2023-02-01T00:00:00Z")


@pytest.fixture(params=[mariadb, postgres], ids=["mariadb", "postgres"])
def database(request: pytest.FixtureRequest, gateway: Gateway) -> Iterator[DatabaseServer]:
    """A server of its own, with the tables, for the gateway."""
    with require(request.param) as server:
        gateway.environ["FLASK_DATABASE_URL"] = server.url()
        gateway.server = server
        upgrade = gateway.run("db", "upgrade")
        assert upgrade.end() == 0, upgrade.said
        yield server


def test_two_processes_that_are_sent_everything_twice(gateway: Gateway, database: DatabaseServer) -> None:
    """The same alert at the same moment in two processes, which are killed, is archived once."""
    for _ in range(5):
        server = gateway.start("serve", "--port", "0", "--workers", "2")
        sender = threading.Thread(target=send_twice, args=(gateway, server, list(gateway.calls(60))))
        seen = gateway.rows(ACCEPTED)
        sender.start()
        eventually(lambda seen=seen: gateway.rows(ACCEPTED) > seen, "something is accepted")  # type: ignore[misc]
        time.sleep(random.random() * 0.2)
        server.kill()
        sender.join()
    gateway.finish()
    assert gateway.statuses == {202}


def test_the_database_server_is_away(gateway: Gateway, database: DatabaseServer) -> None:
    """503 with `Retry-After` meanwhile, and then on as before."""
    server = gateway.start("serve", "--port", "0", "--workers", "2", FLASK_DB_REQUEST_BUDGET_S="1")
    send_twice(gateway, server, list(gateway.calls(40)))
    database.process.kill()
    refused = gateway.load(server.url, gateway.calls(20))
    assert gateway.post(server.url) == (503, "5")
    reading = run_load(server.url, [Call(path, target=path) for path in READS])
    assert reading.answers == dict.fromkeys(READS, 503)
    database.process.start()
    eventually(lambda: gateway.post(server.url)[0] == 202, "a request is accepted again")
    eventually(gateway.is_done, "every job is done")
    assert server.stop() == 0
    gateway.check()
    assert refused.statuses.keys() == {503}
    assert gateway.statuses == {202, 503}


def send_twice(gateway: Gateway, server: Process, calls: list[Call]) -> None:
    """Send each call over two sets of connections at once."""
    lanes = [threading.Thread(target=lambda: gateway.load(server.url, iter(calls))) for _ in range(2)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
