"""Deliveries under `kill -9`: every accepted event reaches each sink, and a repeat has the same id."""

import json
import os
import signal
import time
from collections import defaultdict
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path

import pytest

from carboy.db import DbSettings, engine, upgrade
from carboy.testing import Answer, LoopbackServer, Request, ServeProcess, serve_process
from carboy.testing.ports import HOST
from carboy.testing.processes import DatabaseServer

pytestmark = [pytest.mark.journey, pytest.mark.timeout(600)]

KILLS = int(os.environ.get("CARBOY_TEST_KILLS", "2"))
"""60 for a long run: `CARBOY_TEST_KILLS=60 pytest tests/journeys/test_destination_kills.py`."""

_TABLE = '[default.archive.destinations.{name}]\nurl = "{url}"\nretry = [{retry}]\n'


def post(server: ServeProcess, alert_id: str) -> bool:
    """Send an alert; return whether it was accepted."""
    body = json.dumps({"alerts": [{"id": alert_id, "created_at": 1484653401000, "title": "x"}]})
    connection = HTTPConnection(HOST, server.port, timeout=10)
    try:
        connection.request("POST", "/api/v1/s3/alert", body, {"Content-Type": "application/json"})
        return connection.getresponse().status == 202
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


@pytest.mark.parametrize("database", ["sqlite", "postgres_server"])
def test_every_accepted_event_reaches_each_sink(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> None:
    tried: dict[str, dict[str, set[str]]] = {"good": defaultdict(set), "flaky": defaultdict(set)}
    taken: dict[str, set[str]] = {"good": set(), "flaky": set()}
    turns = count()

    def sink(name: str) -> LoopbackServer:
        def answer(got: Request) -> Answer:
            event = got.json()["id"]
            tried[name][event].add(got.headers["webhook-id"])
            if name == "flaky" and next(turns) % 5 == 0:
                return Answer(500)
            taken[name].add(event)
            return Answer(200)

        return LoopbackServer(answer, record=False)

    with sink("good") as good, sink("flaky") as flaky:
        retry = ", ".join(['"0s"'] * 4 + ['"1s"'] * 60)
        tables = [
            _TABLE.format(name=name, url=one.url, retry=retry) for name, one in (("good", good), ("flaky", flaky))
        ]
        (tmp_path / "carboy.toml").write_text("".join(tables))
        environ = {"FLASK_PROFILE": "local", "MODULES": "carboy.services.archive", "RATE_LIMIT": "off", "AUTH": "off"}
        if database != "sqlite":
            server: DatabaseServer = request.getfixturevalue(database)
            environ["DATABASE_URL"] = server.url(database=server.create_database())
            made = engine(DbSettings(database_url=environ["DATABASE_URL"]))
            upgrade(made)
            made.dispose()
        accepted: list[str] = []
        for kill in range(KILLS + 1):
            with serve_process(tmp_path, environ=environ) as running:
                until_s = time.monotonic() + 1.5
                while time.monotonic() < until_s:
                    alert_id = f"a{kill}-{len(accepted)}"
                    if post(running, alert_id):
                        accepted.append(alert_id)
                if kill < KILLS:
                    os.killpg(running.process.pid, signal.SIGKILL)
                    continue
                deadline = time.monotonic() + 120
                while any(set(accepted) - ids for ids in taken.values()) and time.monotonic() < deadline:
                    time.sleep(0.2)
                running.stop()
    assert accepted
    for name, ids in taken.items():
        assert set(accepted) - ids == set(), name
        assert [one for one in accepted if len(tried[name][one]) != 1] == [], name
