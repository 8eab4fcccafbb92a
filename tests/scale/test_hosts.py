"""Several hosts: web, workers and the database on machines of their own, which lose their network or their power."""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count

import pytest
from tests.journeys.kit import NOT_DONE, Gateway
from tests.journeys.zygote import eventually
from tests.lab.load import Call
from tests.lab.network_namespaces import Host, Network, network
from tests.scale.test_gateway import TEMPLATES

from carboy.testing.processes import DatabaseServer, mariadb, nginx, postgres, require
from carboy.testing.processes.running import ServerProcess

pytestmark = pytest.mark.journey

OPEN = "SELECT count(*) FROM sms_messages WHERE state IN ('queued', 'sending')"


IN_A_PIPELINE = """
import os, time
from carboy.db import DbSettings, engine
from carboy.db.engines import WRITE

made = engine(DbSettings(database_url=os.environ["FLASK_DATABASE_URL"], db_silence_s=3.0))
with made.connect().execution_options(**WRITE) as connection, connection.begin():
    driver = connection.connection.driver_connection
    with driver.pipeline():
        driver.execute("UPDATE held SET number = 7 RETURNING number").fetchone()
        print("it is held", flush=True)
        time.sleep(600)
"""


@dataclass
class Site:
    """Hosts, a database for them, and a record of what was sent to each server."""

    network: Network
    gateway: Gateway
    database: DatabaseServer

    def carboy(self, host: Host, *words: str, says: str, **environ: str) -> ServerProcess:
        """Run `carboy` on a host, all on the same project's folder, as on a file system that they share."""
        where = self.gateway.folder / f"{host.name}-{len(self.gateway.logs)}"
        command = ["env", "-C", str(self.gateway.folder), sys.executable, "-m", "carboy", *words]
        process = host.run(*command, says=says, folder=where, environ={**self.gateway.environ, **environ})
        self.gateway.logs.append(lambda: process.log)
        return process

    def worker(self, host: Host) -> ServerProcess:
        return self.carboy(host, "worker", says="Ctrl-C stops")

    def web(self, host: Host) -> str:
        """Serve on a host and return where."""
        self.carboy(
            host, "serve", "--host", host.address, "--port", "8000", says="serving on", FLASK_JOBS_CONCURRENCY="0"
        )
        return f"{host.address}:8000"

    def sent(self) -> Counter[str]:
        """Return how often each receiver was written to."""
        path = self.gateway.folder / "instance" / "sms-outbox.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return Counter(json.loads(line)["receiver"] for line in lines)

    def check(self) -> None:
        """See that all that was accepted is archived or sent, and nothing twice."""
        try:
            eventually(lambda: self.gateway.rows(NOT_DONE) == [(0,)], "every job is done")
        except AssertionError:
            facts = "kind, state, attempts, run_at, lease_until, owner, error"
            left = self.gateway.rows(f"SELECT {facts} FROM carboy_jobs WHERE state != 'done'")  # noqa: S608
            pytest.fail(f"these are not done: {left}")
        assert self.gateway.rows(OPEN) == [(0,)]
        archived = {
            key for key, state in self.gateway.rows("SELECT item_id, state FROM archive_items") if state == "archived"
        }
        states = dict(self.gateway.rows("SELECT receiver, state FROM sms_messages"))
        sent = self.sent()
        accepted = self.gateway.accepted
        assert {key for key in accepted if not key.startswith("+")} <= archived
        assert {key for key in accepted if key.startswith("+")} <= set(states)
        assert set(sent.values()) <= {1}, "a text was sent twice"
        assert set(states.values()) <= {"sent", "unknown"}
        assert {key for key, state in states.items() if state == "sent"} <= set(sent)
        objects = [key.rpartition("/")[2] for key in self.gateway.objects()]
        assert sorted(objects) == sorted(archived)


@pytest.fixture(params=[mariadb, postgres], ids=["mariadb", "postgres"])
def site(request: pytest.FixtureRequest, gateway: Gateway) -> Iterator[Site]:
    """A network with a database."""
    (gateway.folder / "carboy.toml").write_text(TEMPLATES, "utf-8")
    del gateway.environ["FLASK_THREATSTACK_API_KEY"]
    with require(network) as made, require(request.param, also_on=made.address) as server:
        gateway.server = server
        gateway.environ |= {"FLASK_DATABASE_URL": server.url()}
        assert gateway.run("db", "upgrade").end() == 0
        gateway.environ |= {
            "FLASK_DATABASE_URL": server.url().replace("@127.0.0.1:", f"@{made.address}:"),
            "FLASK_JOBS_LEASE_S": "2",
            "FLASK_DB_SILENCE_S": "3",
            "FLASK_DB_IDLE_WRITE_S": "3",
            "FLASK_DB_CONNECT_TIMEOUT_S": "2",
            "FLASK_DB_CONNECT_BUDGET_S": "3",
        }
        yield Site(made, gateway, server)


def _mixed(gateway: Gateway, is_over: threading.Event) -> Iterator[Call]:
    """Give alerts and texts in turn until it is over; a text may be sent again, as its key says which it is."""
    alerts = gateway.calls()
    for number in count():
        if is_over.is_set():
            return
        yield next(alerts)
        receiver = f"+86138{number:08d}"
        document = {"receivers": receiver, "template": "notice", "params": {"name": "x"}}
        headers = {"Content-Type": "application/json", "Idempotency-Key": receiver}
        yield Call(receiver, "POST", "/api/sms", json.dumps(document).encode(), headers)
        time.sleep(0.01)


def test_a_worker_is_cut_off_from_the_database(site: Site) -> None:
    """Packets are dropped silently: others take over the work, and the host continues when the network is back."""
    gateway = site.gateway
    here = {"FLASK_DATABASE_URL": site.database.url(), "FLASK_JOBS_CONCURRENCY": "0"}
    first, second = site.network.host(), site.network.host()
    web = gateway.start(**here)
    workers = [site.worker(host) for host in (first, second)]
    is_over = threading.Event()
    sender = threading.Thread(target=gateway.load, args=(web.url, _mixed(gateway, is_over)))
    sender.start()
    try:
        eventually(lambda: sum(site.sent().values()) > 20, "they work")
        first.cut()
        accepted = len(gateway.rows("SELECT id FROM archive_items"))
        eventually(lambda: len(gateway.rows("SELECT id FROM archive_items")) > accepted + 40, "the other goes on alone")
    finally:
        is_over.set()
        sender.join()
    site.check()

    first.join()
    second.kill()
    gateway.load(web.url, gateway.calls(10))
    site.check()
    assert workers[0].is_alive
    assert gateway.statuses == {202}
    assert web.stop() == 0


@pytest.mark.parametrize("site", [postgres], ids=["postgres"], indirect=True)
def test_a_host_that_loses_its_power_within_a_pipeline_holds_no_rows(site: Site) -> None:
    """For the server that is not an idle transaction: it must detect the dead client itself."""
    site.database.execute("CREATE TABLE held AS SELECT 1 AS number")
    host = site.network.host()
    host.run(
        *(sys.executable, "-c", IN_A_PIPELINE),
        says="it is held",
        folder=site.gateway.folder / "held",
        environ=site.gateway.environ,
    )
    host.kill()
    with closing(site.database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '30s'")
        cursor.execute("UPDATE held SET number = 8")


@pytest.mark.parametrize("site", [postgres], ids=["postgres"], indirect=True)
def test_a_host_loses_its_power_under_load(site: Site) -> None:
    """Two that serve behind a proxy, two that work: one of each dies, and what was accepted is done once."""
    hosts = [site.network.host() for _ in range(4)]
    addresses = [site.web(host) for host in hosts[:2]]
    for host in hosts[2:]:
        site.worker(host)
    servers = "".join(f"server {address} max_fails=1 fail_timeout=2s;" for address in addresses)
    location = """location / {
        proxy_pass http://carboy;
        proxy_connect_timeout 1s;
        proxy_read_timeout 5s;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }"""
    gateway, is_over = site.gateway, threading.Event()
    with require(nginx, location, beside=f"upstream carboy {{ {servers} }}") as proxy:
        sender = threading.Thread(target=gateway.load, args=(proxy.url, _mixed(gateway, is_over)))
        sender.start()
        try:
            for victim in (hosts[2], hosts[0]):
                enough = sum(site.sent().values()) + 20
                eventually(lambda enough=enough: sum(site.sent().values()) > enough, "they work")  # type: ignore[misc]
                victim.kill()
            enough = sum(site.sent().values()) + 40
            eventually(lambda: sum(site.sent().values()) > enough, "the others go on")
        finally:
            is_over.set()
            sender.join()
    site.check()
    assert gateway.statuses <= {202, 502, 503, 504}
    assert 202 in gateway.statuses
