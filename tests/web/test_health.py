"""Alive, and able to work."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, current_app

from carboy.errors import CarboyError, Unreachable
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


def test_a_database_that_is_away_is_named(make_app: Any, tmp_path: Path) -> None:
    """As what it is."""
    (tmp_path / "folder.db").mkdir()
    answer = make_app(database_url=f"sqlite:///{tmp_path}/folder.db").test_client().get("/readyz")

    assert answer.status_code == 503
    assert "database" in answer.json["detail"]


def test_a_check_that_hangs_hangs_nothing(make_app: Any) -> None:
    """It has its budget; the others are told all the same."""
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
