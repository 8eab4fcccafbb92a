"""The zip is proven: unpacked, on a read-only tree, it runs under AWS's own runtime client."""

import json
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.bundle.wheelhouse import repack
from tests.lab.runtime_interface import LocalFunction

from carboy.bundle import BuildOptions, build
from carboy.testing import events

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[2]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

NEEDED = (
    *("flask", "werkzeug", "jinja2", "markupsafe", "itsdangerous", "blinker", "click"),
    *("structlog", "orjson", "msgspec"),
)

HANDLER = """
import time

from flask import Flask, request

from carboy import logs
from carboy.events import offer_events
from carboy.serve import AuthPolicy, lambda_handler

logs.setup("INFO", "json")
log = logs.get_logger("app")


def create_app():
    app = Flask("proof")
    offer_events(app)

    @app.route("/hello", methods=["GET", "POST"])
    def hello():
        log.info("said_hello")
        return {"hello": request.get_data(as_text=True), "url": request.url}

    @app.get("/sleep")
    def sleep():
        time.sleep(30)

    @app.get("/trace")
    def trace():
        return request.environ["lambda.trace_id"]

    @app.get("/break")
    def break_it():
        raise ValueError("broken")

    @app.on_event("sqs")
    def work(record):
        if record["body"] == "bad":
            raise ValueError("bad")

    @app.on_event("sns")
    def told(message):
        log.info("told", message=message["Message"])

    @app.on_event("schedule")
    def sweep(event):
        return "swept"

    @app.on_event("authorizer")
    def authorize(event):
        return AuthPolicy.for_event(event, "user").allow()

    return app


handler = lambda_handler(create_app)


def broken(event, context):
    raise KeyError("no such key")
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service built as for Lambda; Carboy itself is laid beside it, as its wheel would be."""
    project = tmp_path_factory.mktemp("proof")
    (project / "src").mkdir()
    (project / "src" / "handler.py").write_text(HANDLER)
    (project / "src" / "unready.py").write_text("raise RuntimeError('no settings')\n")
    (project / "src" / "carboy").symlink_to(ROOT / "src" / "carboy")
    (project / "wheels").mkdir()
    repack(project / "wheels", *NEEDED)
    (project / "requirements.txt").write_text("--no-index\n--find-links ./wheels\n" + "\n".join(NEEDED) + "\n")
    report = build(BuildOptions(project, python=PYTHON, cache_dir=project / "cache"))
    folder = tmp_path_factory.mktemp("task")
    with zipfile.ZipFile(report.target) as zipped:
        zipped.extractall(folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555)
    return folder


@pytest.fixture(scope="module")
def function(unpacked: Path) -> Iterator[LocalFunction]:
    with LocalFunction(unpacked, "handler.handler") as running:
        yield running


@pytest.mark.parametrize("kind", ["rest_v1", "http_v1", "http_v2", "function_url", "alb"])
def test_the_zip_answers_http_events(function: LocalFunction, kind: str) -> None:
    answer = function.invoke(getattr(events, kind)("POST", "/hello", body=b"you")).answer

    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["hello"] == "you"


def test_the_zip_answers_all_other_events(function: LocalFunction) -> None:
    batch = events.sqs("good", "bad")

    assert function.invoke(batch).answer == {
        "batchItemFailures": [{"itemIdentifier": batch["Records"][1]["messageId"]}]
    }
    assert function.invoke(events.sns("hello")).error is None
    assert function.invoke(events.schedule()).answer == "swept"
    assert function.invoke(events.authorizer_token()).answer["principalId"] == "user"


def test_every_line_has_the_ids_of_its_event(function: LocalFunction) -> None:
    invocation = function.invoke(events.rest_v1(url="/hello"))

    line = logged(function, "said_hello", lambda_request_id=invocation.request_id)
    assert line["api_request_id"] == "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
    assert line["cold_start"] is False or len(function.output) < 2


def test_an_exception_in_a_view_is_answered_and_survived(function: LocalFunction) -> None:
    assert function.invoke(events.http_v2(url="/break")).answer["statusCode"] == 500
    assert function.invoke(events.http_v2(url="/hello")).answer["statusCode"] == 200


def test_a_view_that_takes_too_long_is_answered_and_survived(function: LocalFunction) -> None:
    """The runtime calls the handler on its main thread, where the view can be interrupted."""
    slow = function.invoke(events.rest_v1(url="/sleep"), timeout_s=1.0)

    assert slow.answer["statusCode"] == 504
    assert logged(function, "deadline_near", lambda_request_id=slow.request_id)
    assert function.invoke(events.rest_v1(url="/hello")).answer["statusCode"] == 200


def test_the_trace_of_each_event_reaches_the_application(function: LocalFunction) -> None:
    traces = ["Root=1-1;Parent=2;Sampled=1", "Root=1-3;Parent=4;Sampled=0"]

    answers = [function.invoke(events.http_v2(url="/trace"), trace_id=each).answer["body"] for each in traces]

    assert answers == traces


def test_an_unknown_event_is_reported_as_an_error_and_survived(function: LocalFunction) -> None:
    error = function.invoke({"zebra": 1}).error

    assert error is not None
    assert error["errorType"] == "InvalidInput"
    assert "`zebra`" in error["errorMessage"]
    assert function.invoke(events.http_v2(url="/hello")).answer["statusCode"] == 200


def test_an_exception_in_a_handler_is_survived(unpacked: Path) -> None:
    with LocalFunction(unpacked, "handler.broken") as function:
        errors = [function.invoke({}).error for _ in range(2)]

    assert [error and error["errorType"] for error in errors] == ["KeyError", "KeyError"]


def test_an_error_of_initialisation_is_reported(unpacked: Path) -> None:
    """Lambda shows it, and starts again for the next event."""
    with LocalFunction(unpacked, "unready.handler") as function:
        code = function.wait_for_end()
        error = function.interface.init_error

    assert code != 0
    assert error is not None
    assert (error["errorType"], error["errorMessage"]) == ("RuntimeError", "no settings")


def test_a_function_with_snap_start_goes_on_after_its_snapshot(unpacked: Path) -> None:
    with LocalFunction(unpacked, "handler.handler", snap_start=True) as function:
        assert function.invoke(events.http_v2(url="/hello")).answer["statusCode"] == 200
        assert function.interface.is_restored


def logged(function: LocalFunction, event: str, **facts: str) -> dict[str, Any]:
    """Return the last line of an event with these facts; it may come a moment after the answer."""
    for _ in range(200):
        lines = [json.loads(line) for line in function.output if line.startswith("{")]
        found: list[dict[str, Any]] = [line for line in lines if {"event": event, **facts}.items() <= line.items()]
        if found:
            return found[-1]
        time.sleep(0.01)
    raise AssertionError(function.output)
