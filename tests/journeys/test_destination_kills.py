"""Deliveries under `kill -9`: every accepted event reaches each sink, a repeat has the same id, a replay is made."""

import json
import os
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPException
from itertools import count
from typing import Any

import pytest
from tests.journeys.kit import Gateway
from tests.journeys.zygote import Process, eventually
from tests.lab.migrated import migrated_server_url
from tests.scale.kit import without_deadlocks

from carboy.testing import Answer, LoopbackServer, Request
from carboy.testing.processes import DatabaseServer, redis, require

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("CARBOY_TEST_KILLS", "3"))
"""60 for a long run: `CARBOY_TEST_KILLS=60 pytest tests/journeys/test_destination_kills.py`."""

_RETRY = ", ".join(['"0s"'] * 4 + ['"1s"'] * 60)
_RANGE = {"from": "2017-01-01T00:00:00Z", "until": "2018-01-01T00:00:00Z"}


class Sinks:
    """Receivers, and an account of what each got: `good` takes everything, `flaky` four of five."""

    def __init__(self, stack: ExitStack) -> None:
        self.tried: dict[str, dict[str, str]] = defaultdict(dict)
        self.taken: dict[str, dict[str, set[str]]] = {"good": defaultdict(set), "flaky": defaultdict(set)}
        self.mixed: list[str] = []
        self._turns = count()
        self._servers = {
            name: stack.enter_context(LoopbackServer(self._answer(name), record=False)) for name in self.taken
        }

    def _answer(self, name: str) -> Any:
        def answer(got: Request) -> Answer:
            delivery, event = got.headers["webhook-id"], got.json()["id"]
            if self.tried[name].setdefault(delivery, event) != event:
                self.mixed.append(delivery)
            if name == "flaky" and next(self._turns) % 5 == 0:
                return Answer(500)
            self.taken[name][event].add(delivery)
            return Answer(200)

        return answer

    @property
    def toml(self) -> str:
        table = '[default.archive.destinations.{name}]\nurl = "{url}"\nretry = [{retry}]\n'
        return "".join(table.format(name=name, url=one.url, retry=_RETRY) for name, one in self._servers.items())

    def lack(self, accepted: list[str]) -> bool:
        return any(set(accepted) - taken.keys() for taken in self.taken.values())


def call(url: str, method: str, path: str, body: Any = None) -> Any:
    """Send a request; return the document of a response that is no error, None for all else."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
        response = connection.getresponse()
        document = json.loads(response.read())
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return document if response.status < 300 else None


class Fleet:
    """The processes of a gateway; any of them may be killed at any moment."""

    def __init__(self, gateway: Gateway, workers: int) -> None:
        self._gateway = gateway
        self._web = self._start_web()
        self._workers = [self._start_worker() for _ in range(workers)]

    def _start_web(self) -> Process:
        return self._gateway.start()

    def _start_worker(self) -> Process:
        return self._gateway.start("worker", says="Ctrl-C stops")

    @property
    def url(self) -> str:
        return self._web.url

    def kill_one(self) -> None:
        place = random.randrange(-1, len(self._workers))
        if place < 0:
            self._web.kill()
            self._web = self._start_web()
        else:
            self._workers[place].kill()
            self._workers[place] = self._start_worker()

    def stop(self) -> int:
        for worker in self._workers:
            worker.kill()
        return self._web.stop()


class Traffic(threading.Thread):
    """Sends alerts, and meanwhile pauses, resumes, retries and replays by hand."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self.accepted: list[str] = []
        self.replayed = 0
        self._fleet, self._is_over = fleet, threading.Event()

    def run(self) -> None:
        for number in count():
            if self._is_over.is_set():
                return
            event = f"a{number}"
            alert = {"id": event, "created_at": 1484653401000, "title": "x"}
            if call(self._fleet.url, "POST", "/api/v1/s3/alert", {"alerts": [alert]}):
                self.accepted.append(event)
            if number % 4 == 0:
                self._by_hand(number // 4)

    def _by_hand(self, turn: int) -> None:
        url, name = self._fleet.url, ("good", "flaky")[turn % 2]
        path = f"/api/v1/destinations/{name}"
        match turn % 6:
            case 0 | 1:
                call(url, "POST", f"{path}/pause")
            case 2 | 3:
                call(url, "POST", f"{path}/resume")
            case 4:
                call(url, "POST", f"{path}/retry", {"state": "waiting"})
            case _:
                chosen = {**_RANGE, "filter": f"_id == '{self.accepted[-1]}'"} if self.accepted else _RANGE
                found = call(url, "POST", "/api/v1/destinations/good/replay", chosen)
                self.replayed += found["events"] if found else 0

    def end(self) -> None:
        self._is_over.set()
        self.join()


@pytest.fixture(params=["sqlite", "postgres", "mariadb", "celery"])
def killed(request: pytest.FixtureRequest, gateway: Gateway) -> Iterator[tuple[Gateway, int]]:
    """A gateway, and how many workers it has beside the process that serves."""
    gateway.environ |= {"FLASK_MODULES": "carboy.services.archive", "FLASK_JOBS_CONCURRENCY": "4"}
    for name in [name for name in gateway.environ if "THREATSTACK" in name]:
        del gateway.environ[name]
    with ExitStack() as stack:
        if request.param != "sqlite":
            fixture = "mariadb_server" if request.param == "mariadb" else "postgres_server"
            server: DatabaseServer = request.getfixturevalue(fixture)
            stack.enter_context(without_deadlocks(server))
            gateway.environ["FLASK_DATABASE_URL"] = migrated_server_url(server)
        if request.param == "celery":
            broker = stack.enter_context(require(redis))
            gateway.environ |= {
                "FLASK_JOBS_ENGINE": "celery",
                "FLASK_JOBS_BROKER_URL": broker.url,
                "FLASK_JOBS_SWEEP_S": "1",
            }
        yield gateway, {"sqlite": 0, "celery": 2}.get(request.param, 1)


def test_every_accepted_event_reaches_each_sink(killed: tuple[Gateway, int]) -> None:
    """Processes are killed while others pause, resume, retry and replay: nothing is lost, ids stay."""
    gateway, workers = killed
    with ExitStack() as stack:
        sinks = Sinks(stack)
        (gateway.folder / "carboy.toml").write_text(sinks.toml)
        fleet = Fleet(gateway, workers)
        traffic = Traffic(fleet)
        traffic.start()
        try:
            for _ in range(KILLS):
                time.sleep(random.uniform(0.5, 1.5))
                fleet.kill_one()
            time.sleep(0.5)
        finally:
            traffic.end()
        for name in sinks.taken:
            assert call(fleet.url, "POST", f"/api/v1/destinations/{name}/resume"), "it cannot be resumed"
        eventually(lambda: not sinks.lack(traffic.accepted), "each sink has every event", 120)

        def made() -> int:
            return sum(len(ids) for ids in sinks.taken["good"].values())

        eventually(lambda: made() >= len(traffic.accepted) + traffic.replayed, "each replay is made", 120)
        assert fleet.stop() == 0
    assert traffic.accepted
    assert sinks.mixed == []
    once = [event for event in traffic.accepted if len(sinks.taken["flaky"][event]) != 1]
    assert once == [], "without a replay an event has one id"
