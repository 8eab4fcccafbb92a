"""Each part alone in an application: the example does what it says, and loads no other part."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from carboy.testing import UdpListener
from carboy.web import PARTS

EXAMPLES = Path(__file__).parents[2] / "examples" / "parts"
PROBE = Path(__file__).with_name("probe.py")

UNTOUCHED: dict[str, Any] = {
    "hello": 200,
    "request id": False,
    "problem": False,
    "limit": None,
    "routes": [],
    "config": [],
    "own secret key": True,
    "own logging": True,
    "heavy": [],
}


@dataclass(frozen=True)
class Probed:
    """What an example's application is like, what it answered, what it wrote."""

    found: dict[str, Any]
    answers: list[dict[str, Any]]
    out: str
    err: str


class Probe:
    """Runs an example in a process of its own, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, part: str, *asked: Sequence[object], **config: object) -> Probed:
        done = subprocess.run(
            [sys.executable, PROBE, EXAMPLES / f"{part}.py", json.dumps(config), json.dumps(asked)],
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if not name.startswith(("FLASK_", "COV_CORE"))},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        last = json.loads(done.stdout.splitlines()[-1])
        return Probed(last["found"], last["answers"], done.stdout, done.stderr)


@pytest.fixture
def probe(tmp_path: Path) -> Probe:
    return Probe(tmp_path)


def test_every_part_has_an_example() -> None:
    """And no example is of a part that there is not."""
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(PARTS)


def test_request_ids_alone(probe: Probe) -> None:
    """A caller's id is kept, and the request is a line."""
    probed = probe("request_ids", ["GET", "/hello", {"X-Request-Id": "abc-1"}])

    assert probed.found == {**UNTOUCHED, "request id": True}
    assert probed.answers[0]["json"]["asked_as"] == "abc-1"
    assert '"logger":"carboy.request","event":"request","request_id":"abc-1"' in probed.out


def test_problems_alone(probe: Probe) -> None:
    """Errors of the application, Carboy and Flask have one form."""
    probed = probe("problems", ["GET", "/orders/0"], ["GET", "/orders/1"], ["POST", "/hello"])

    assert probed.found == {**UNTOUCHED, "problem": True}
    assert [answer["json"]["status"] for answer in probed.answers] == [422, 404, 405]
    assert probed.answers[0]["json"]["errors"] == [{"pointer": "/number", "detail": "begins with 1"}]


def test_limits_alone(probe: Probe) -> None:
    """Of bodies and of requests."""
    probed = probe("limits", ["POST", "/orders", {"Size": "1001"}], *[["GET", "/hello"]] * 20)

    assert probed.found == {**UNTOUCHED, "request id": True, "limit": 1_000}
    assert probed.answers[0]["status"] == 413
    assert probed.answers[-1]["status"] == 429


@pytest.mark.parametrize(("is_open", "status"), [(True, 200), (False, 503)])
def test_health_alone(probe: Probe, is_open: bool, status: int) -> None:
    """With a check of the application."""
    probed = probe("health", ["GET", "/livez"], ["GET", "/readyz"], WAREHOUSE_IS_OPEN=is_open)

    assert probed.found == {**UNTOUCHED, "routes": ["/livez", "/readyz"]}
    assert [answer["status"] for answer in probed.answers] == [200, status]


def test_metrics_alone(probe: Probe) -> None:
    """Requests, and a counter of the application."""
    probed = probe("metrics", ["POST", "/orders/de"], ["GET", "/metrics"])

    assert probed.found == {**UNTOUCHED, "request id": True, "routes": ["/metrics"]}
    assert 'orders_sold_total{country="de"} 1.0\n' in probed.answers[1]["text"]
    assert 'http_requests_total{method="GET",route="/hello",status="200"} 1.0\n' in probed.answers[1]["text"]


def test_keys_alone(probe: Probe) -> None:
    """A view of the application asks for a scope."""
    bearer = {"Authorization": "Bearer {key}"}
    denied: list[list[object]] = [["GET", "/orders"], ["KEY", "orders:write"], ["GET", "/orders", bearer]]
    probed = probe("keys", *denied, ["KEY", "orders:read"], ["GET", "/orders", bearer])

    assert probed.found == UNTOUCHED
    assert [answer["status"] for answer in probed.answers] == [401, 403, 200]
    assert probed.answers[2]["json"] == {"asked_by": "ann"}


def test_settings_alone(probe: Probe) -> None:
    """The files are read; what the application said is stronger."""
    (probe.folder / "carboy.toml").write_text('[default]\napp = "orders"\n')
    (probe.folder / ".env").write_text("MAX_BODY_BYTES=7\n")

    probed = probe("settings", ["GET", "/about"])

    assert probed.found == {**UNTOUCHED, "config": ["APP", "DATABASE_URL", "LOG_LEVEL"]}
    about = probed.answers[0]["json"]
    assert (about["app"], about["max_body_bytes"]) == ("orders", 5_000)


def test_logs_alone(probe: Probe) -> None:
    """Their own lines, as JSON, with what is secret masked."""
    probed = probe("logs")

    assert probed.found == {**UNTOUCHED, "own logging": False}
    line = json.loads(probed.out.splitlines()[0])
    assert (line["event"], line["logger"], line["whom"]) == ("greeted", "orders", "world")
    assert "never shown" not in probed.out


def test_trace_alone(probe: Probe) -> None:
    """A segment of the request contains a function of the application."""
    with UdpListener() as daemon:
        probed = probe("trace", AWS_XRAY_DAEMON_ADDRESS=daemon.address)
        segments = [json.loads(packet.partition(b"\n")[2]) for packet in daemon.wait_for(3)]

    assert probed.found == {**UNTOUCHED, "request id": True, "heavy": ["requests"]}  # whose calls are followed too
    inside, greeting, _missing = segments
    assert (inside["name"], inside["parent_id"]) == ("look_up", greeting["id"])
    assert greeting["http"]["response"]["status"] == 200


def test_db_alone(probe: Probe) -> None:
    """Models of the application; SQLAlchemy is loaded, and nothing else that is heavy but its migrations."""
    probed = probe("db", ["POST", "/orders/a"], ["POST", "/orders/b"])

    assert probed.found == {**UNTOUCHED, "heavy": ["alembic", "sqlalchemy"]}
    assert probed.answers[1]["json"] == {"orders": ["a", "b"]}


def test_jobs_alone(probe: Probe) -> None:
    """A row of their transaction, done by a worker."""
    probed = probe("jobs", ["POST", "/customers/ann"], ["WORK", ""])

    assert [route for route in probed.found["routes"] if not route.startswith("/api/jobs")] == []
    assert {**probed.found, "routes": [], "heavy": []} == UNTOUCHED
    assert {"boto3", "requests", "opentelemetry"}.isdisjoint(probed.found["heavy"])
    assert probed.answers[1]["jobs"] in ([], ["done"])
    assert "INFO mail welcome, ann" in probed.err


def test_docs_alone(probe: Probe) -> None:
    """Of a document of the application."""
    probed = probe("docs", ["GET", "/openapi.json"], ["GET", "/docs"])

    assert {**probed.found, "routes": [], "heavy": []} == UNTOUCHED
    assert probed.found["routes"] == ["/docs", "/openapi.json", "/openapi.yaml"]
    assert "/hello" in probed.answers[0]["json"]["paths"]
    assert probed.answers[1]["status"] == 200


def test_console_alone(probe: Probe) -> None:
    """Its pages are below `/console/` and ask for a login."""
    probed = probe("console", ["GET", "/console/"], ["GET", "/console/jobs"])

    assert {name: value for name, value in probed.found.items() if name != "routes"} == {
        name: value for name, value in UNTOUCHED.items() if name != "routes"
    }
    assert "/console/" in probed.found["routes"]
    assert [answer["status"] for answer in probed.answers] == [401, 401]
