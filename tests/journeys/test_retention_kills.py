"""Retention under `kill -9`: exactly what is due is deleted, whenever its process is killed; `hold` keeps."""

import random
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest
from tests.journeys.kit import Gateway
from tests.journeys.test_destination_kills import call
from tests.journeys.zygote import eventually

from carboy import logs
from carboy.services.archive import archive_of
from carboy.testing import ManualClock
from carboy.web import create_app, runtime

pytestmark = pytest.mark.journey

DUE, KEPT = 1_500, 60
DAY_MS = 86_400_000
TOML = """
[default.archive.sources.due]
verify = "none"
id = "/id"
keep = "1d"
[default.archive.sources.held]
verify = "none"
id = "/id"
keep = "1d"
hold = true
[default.archive.sources.always]
verify = "none"
id = "/id"
[default.archive.destinations.paused]
url = "http://127.0.0.1:9/"
"""


@pytest.fixture
def aged(gateway: Gateway) -> Gateway:
    """A gateway whose archive got events three days ago, with a delivery of each that waits."""
    gateway.environ["FLASK_MODULES"] = "carboy.services.archive"
    for name in [name for name in gateway.environ if "THREATSTACK" in name]:
        del gateway.environ[name]
    (gateway.folder / "carboy.toml").write_text(TOML)
    clock = ManualClock(round(time.time() * 1000) - 3 * DAY_MS, sleep="waits")
    app = create_app("local", folder=gateway.folder, clock=clock, modules="carboy.services.archive", rate_limit="off")
    archive_of(app).destinations.pause("paused")
    client, engine = app.test_client(), runtime(app).jobs.engine
    assert engine is not None
    engine.start()
    for source, amount in {"due": DUE, "held": KEPT, "always": KEPT}.items():
        for number in range(amount):
            answer = client.post(f"/api/v1/webhooks/{source}", json={"id": f"old{number}"})
            assert answer.status_code == 202
    eventually(lambda: unfinished(gateway) == 0, "all is archived", 120)
    runtime(app).close()
    logs.reset()
    return gateway


def rows(gateway: Gateway, query: str) -> list[Any]:
    with closing(sqlite3.connect(gateway.folder / "instance" / "carboy.db", timeout=20)) as database:
        return database.execute(query).fetchall()


def unfinished(gateway: Gateway) -> int:
    found: int = rows(gateway, "SELECT count(*) FROM archive_items WHERE state != 'archived'")[0][0]
    return found


def left(gateway: Gateway, source: str) -> set[str]:
    return {row[0] for row in rows(gateway, f"SELECT item_id FROM archive_items WHERE source = '{source}'")}  # noqa: S608


def objects(gateway: Gateway, source: str) -> set[str]:
    return {key.rpartition("/")[2] for key in gateway.objects() if key.startswith(f"webhooks/{source}/")}


def test_retention_that_is_killed_deletes_what_is_due_and_nothing_else(aged: Gateway) -> None:
    """Killed again and again in the middle, while new events come: the next process goes on."""
    new: set[str] = set()
    is_halfway = 0
    for turn in range(40):
        server = aged.start()
        for number in range(3):
            event = f"new{turn}-{number}"
            if call(server.url, "POST", "/api/v1/webhooks/due", {"id": event}):
                new.add(event)
        time.sleep(random.uniform(0.0, 0.15))
        server.kill()
        count = len({one for one in left(aged, "due") if one.startswith("old")})
        is_halfway += 0 < count < DUE
        if not count:
            break
    assert is_halfway, "it was killed in the middle"
    server = aged.start()
    eventually(lambda: left(aged, "due") == new and unfinished(aged) == 0, "what is due is gone", 60)
    assert server.stop() == 0

    old = {f"old{number}" for number in range(KEPT)}
    assert left(aged, "held") == left(aged, "always") == old
    assert objects(aged, "held") == objects(aged, "always") == old
    assert objects(aged, "due") == new
    states = dict(rows(aged, "SELECT state, count(*) FROM archive_deliveries GROUP BY state"))
    assert states == {"expired": DUE, "waiting": 2 * KEPT + len(new)}
    assert rows(aged, "SELECT count(*) FROM archive_deliveries WHERE state = 'expired' AND event_id LIKE 'new%'") == [
        (0,)
    ]
