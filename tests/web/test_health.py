"""Alive, and able to work."""

import json
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, current_app

from carboy.errors import CarboyError, Refused, Unreachable
from carboy.testing.processes import DatabaseServer
from carboy.web import runtime
from carboy.web.health.readiness import Checks


def _ok() -> None:
    """Can work."""


def _away() -> None:
    raise Unreachable("the bucket", "secret-host refused", "")


def test_livez_touches_nothing(make_app: Any, tmp_path: Path) -> None:
    """Neither a database nor a check: it answers while all of these are away."""
    app = make_app(database_url=f"sqlite:///{tmp_path}/not/there/x.db", brings={"checks": {"bucket": _away}})

    answer = app.test_client().get("/livez")

    assert (answer.status_code, answer.json) == (200, {"status": "alive"})
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_answers_head_and_options(make_app: Any, path: str) -> None:
    """And refuses what would change something."""
    client = make_app().test_client()

    assert (client.head(path).status_code, client.head(path).data) == (200, b"")
    assert set(client.options(path).headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert client.post(path).status_code == 405


def test_readyz_is_200_when_all_can_work(make_app: Any) -> None:
    """Each check is named with its latency."""
    answer = make_app(brings={"checks": {"bucket": _ok}}).test_client().get("/readyz")

    assert answer.status_code == 200
    assert set(answer.json["checks"]) == {"database", "job engine", "bucket"}
    assert all(check["ok"] for check in answer.json["checks"].values())


def test_readyz_names_each_that_failed(make_app: Any, lines: Any) -> None:
    """503; why is for the log: an upstream's words may hold anything."""
    app = make_app(brings={"checks": {"bucket": _away, "queue": _away, "fine": _ok}})

    answer = app.test_client().get("/readyz")

    assert answer.status_code == 503
    assert answer.content_type == "application/problem+json"
    assert {name for name, check in answer.json["checks"].items() if not check["ok"]} == {"bucket", "queue"}
    assert "bucket" in answer.json["detail"]
    assert "queue" in answer.json["detail"]
    assert "secret-host" not in answer.text
    assert {line["check"] for line in lines("check_failed")} == {"bucket", "queue"}


def test_a_dependency_that_fails_is_degraded(make_app: Any) -> None:
    """Requests are served: 200, each named with its reason, which names no account; a failed check is still a 503."""

    def refused() -> None:
        raise Refused("the store", "AccessDenied: arn:aws:iam::123456789012:role/x may not s3:PutObject", "allow it")

    def surprise() -> None:
        raise ZeroDivisionError("secret-host")

    brings = {"checks": {"fine": _ok}, "dependencies": {"store": refused, "other": surprise, "well": _ok}}
    answer = make_app(brings=brings).test_client().get("/readyz")

    assert (answer.status_code, answer.json["status"]) == (200, "degraded")
    assert answer.json["degraded"] == ["store", "other"]
    assert answer.json["checks"]["store"]["why"] == "AccessDenied: arn:… may not s3:PutObject"
    assert answer.json["checks"]["other"]["why"] == "it failed"
    assert answer.json["checks"]["well"].get("degraded") is None
    assert "123456789012" not in answer.text

    brings["checks"] = {"bucket": _away}
    answer = make_app(brings=brings).test_client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json["degraded"] == ["store", "other"]
    assert answer.json["detail"].startswith("bucket")


def test_a_dependency_that_hangs_is_degraded_in_time(make_app: Any) -> None:
    """Several that hang share one budget."""
    held = threading.Event()
    hangs = {f"stuck {number}": lambda: held.wait(30) and None for number in range(5)}
    client = make_app(brings={"dependencies": hangs}, ready_timeout_s=2.0).test_client()
    started = time.monotonic()

    answers = [client.get("/readyz") for _ in range(2)]

    assert time.monotonic() - started < 15  # one budget after the other would come to half a minute with the threads'
    assert [(one.status_code, len(one.json["degraded"])) for one in answers] == [(200, 5)] * 2
    held.set()


def test_a_loss_and_a_return_are_one_line_each(make_app: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """However often a probe asks in between; and a gauge that an alarm can watch."""
    works = {"store": True, "bucket": True}

    def check(name: str) -> Any:
        def run() -> None:
            if not works[name]:
                raise Unreachable(name, "no answer", "look at the network")

        return run

    brings = {"checks": {"bucket": check("bucket")}, "dependencies": {"store": check("store")}}
    app = make_app(brings=brings, auth="off")
    client = app.test_client()

    statuses = []
    for is_up in (True, False, True, False):
        works.update(dict.fromkeys(works, is_up))
        statuses += [client.get("/readyz").status_code for _ in range(5)]

    assert statuses == [200] * 5 + [503] * 5 + [200] * 5 + [503] * 5
    assert 'carboy_check_up{check="store"} 0.0' in client.get("/metrics").text
    logged = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [(line["event"], line["check"]) for line in logged if line["event"].startswith("check_")]
    lost = [("check_failed", "bucket"), ("check_failed", "store")]
    back = [("check_recovered", "bucket"), ("check_recovered", "store")]
    assert sorted(told) == sorted(lost * 2 + back)
    assert all(line["alarm"] and line["hint"] for line in logged if line["event"] == "check_failed")
    assert [line for line in logged if line["event"] == "request_refused"] == []


def test_a_database_that_takes_no_writes_is_not_ready(make_app: Any, tmp_path: Path) -> None:
    """Another process holds SQLite's lock, or the file may only be read: a read would not notice."""
    app = make_app(db_busy_s=0.1)
    client = app.test_client()
    assert client.get("/readyz").status_code == 200

    other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        answer = client.get("/readyz")
    finally:
        other.rollback()
        other.close()

    assert answer.status_code == 503
    assert "database" in answer.json["detail"]
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("name", ["postgres_server", "mariadb_server"])
def test_a_server_that_is_read_only_is_not_ready(make_app: Any, request: pytest.FixtureRequest, name: str) -> None:
    """A replica answers, and takes nothing."""
    server: DatabaseServer = request.getfixturevalue(name)
    database = server.create_database()
    app = make_app(database_url=server.url(database=database))
    client = app.test_client()
    assert client.get("/readyz").status_code == 200

    is_postgres = name == "postgres_server"
    change, back = (
        (f"ALTER DATABASE {database} SET default_transaction_read_only = {word}" for word in ("on", "off"))
        if is_postgres
        else (f"SET GLOBAL read_only = {word}" for word in ("1", "0"))
    )
    server.execute(change)
    try:
        runtime(app).engine.dispose()
        answer = client.get("/readyz")
    finally:
        server.execute(back)

    assert (answer.status_code, answer.json["checks"]["database"]["ok"]) == (503, False)


def test_a_database_that_is_away_is_named(make_app: Any, tmp_path: Path) -> None:
    """As what it is."""
    (tmp_path / "folder.db").mkdir()
    answer = make_app(database_url=f"sqlite:///{tmp_path}/folder.db").test_client().get("/readyz")

    assert answer.status_code == 503
    assert "database" in answer.json["detail"]


def test_a_check_that_hangs_hangs_nothing(make_app: Any) -> None:
    """It has its budget; the others are reported all the same."""
    held = threading.Event()
    app = make_app(
        brings={"checks": {"stuck": lambda: held.wait(30) and None, "fine": _ok}},
        ready_timeout_s=0.2,
        log_level="ERROR",
    )
    started = time.monotonic()

    answer = app.test_client().get("/readyz")

    assert time.monotonic() - started < 20  # far from the thirty seconds that the check would take
    assert answer.status_code == 503
    assert not answer.json["checks"]["stuck"]["ok"]
    assert answer.json["checks"]["fine"]["ok"]
    held.set()


def test_a_check_that_hangs_holds_one_thread(make_app: Any) -> None:
    """However often it is asked about."""
    held, begun = threading.Event(), []

    def stuck() -> None:
        begun.append(1)
        held.wait(30)

    checks = Checks({"stuck": stuck}, timeout_s=0.05)
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda _: checks.run(), range(16)))

    assert len(begun) == 1
    assert not any(verdict["stuck"].is_ok for verdict in verdicts)
    held.set()


def test_a_check_is_asked_again_when_it_has_ended() -> None:
    """An answer is of now."""
    answers = iter([CarboyError("a", "b", "c"), None])

    def check() -> None:
        error = next(answers)
        if error is not None:
            raise error

    checks = Checks({"x": check}, timeout_s=10.0)

    assert [checks.run()["x"].is_ok for _ in range(2)] == [False, True]


def test_a_check_runs_inside_its_application(make_app: Any) -> None:
    """It finds the runtime as a view does."""
    seen: list[Flask] = []

    def check() -> None:
        seen.append(current_app._get_current_object())  # type: ignore[attr-defined]
        runtime()

    app = make_app(brings={"checks": {"mine": check}})

    assert app.test_client().get("/readyz").status_code == 200
    assert seen == [app]
