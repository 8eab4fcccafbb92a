"""Every error is a problem document, and reveals no more than it should."""

import sqlite3
from typing import Any, NoReturn

import pytest
from flask import Flask, Response, abort, redirect, request
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from tests.web.kit import MakeApp
from werkzeug.exceptions import ServiceUnavailable

from carboy.errors import (
    CarboyError,
    ConfigurationError,
    Fault,
    InvalidInput,
    Missing,
    Refused,
    Throttled,
    Unreachable,
    UpstreamError,
)
from carboy.problems import Problem
from carboy.testing import closed_port
from carboy.web import runtime

_SECRET = "hunter2-hunter2"
_WORDS = ("prod/db", _SECRET, "see /etc/service/keys.pem")

_ERRORS: dict[str, tuple[Exception, int]] = {
    "problem": (Problem(409, "it is there already"), 409),
    "invalid": (InvalidInput("the order", "it is wrong", "", [Fault("/id", "too long")]), 422),
    "throttled": (Throttled(*_WORDS, retry_after_s=17.2), 503),
    "unreachable": (Unreachable(*_WORDS), 503),
    "refused": (Refused(*_WORDS), 503),
    "missing": (Missing(*_WORDS), 503),
    "upstream": (UpstreamError(*_WORDS), 503),
    "configuration": (ConfigurationError(*_WORDS), 500),
    "ours": (CarboyError(*_WORDS), 500),
    "unknown": (RuntimeError(f"password={_SECRET} in /etc/service/keys.pem"), 500),
    "key": (KeyError(_SECRET), 500),
    "database": (OperationalError("SELECT 1", {}, sqlite3.OperationalError("disk I/O error of prod/db")), 503),
    "pool": (PoolTimeout("prod/db"), 503),
    "statement": (ProgrammingError("SELECT prod/db", {}, sqlite3.ProgrammingError("x")), 500),
}


def _register(app: Flask) -> None:
    @app.get("/raise/<name>")
    def fail(name: str) -> NoReturn:
        raise _ERRORS[name][0]

    @app.get("/abort/<int:code>")
    def stop(code: int) -> NoReturn:
        abort(code)

    @app.get("/busy")
    def busy() -> NoReturn:
        raise ServiceUnavailable("come back", retry_after=9)

    @app.get("/finished")
    def finished() -> NoReturn:
        abort(Response("as it is", 418))

    @app.get("/elsewhere")
    def elsewhere() -> Any:
        return redirect("/finished")

    @app.get("/slashed/")
    def slashed() -> str:
        return "x"

    @app.post("/form")
    def form() -> str:
        return str(request.form["absent"])

    @app.post("/json")
    def read_json() -> Any:
        return request.get_json()

    @app.get("/torn")
    def torn() -> Any:
        def chunks() -> Any:
            yield b"half"
            raise RuntimeError("the other half")

        return app.response_class(chunks())

    @app.get("/late")
    def late() -> Response:
        return Response("x", headers={"X-Late": "1"})

    @app.after_request
    def fail_late(response: Response) -> Response:
        if "X-Late" in response.headers:
            raise RuntimeError(_SECRET)
        return response


@pytest.mark.parametrize("name", _ERRORS)
def test_an_error_is_answered_as_a_problem(make_app: Any, name: str) -> None:
    """With all members of the contract, under the id of the answer."""
    answer = make_app(_register).test_client().get(f"/raise/{name}?q=1")

    assert answer.status_code == _ERRORS[name][1]
    assert answer.content_type == "application/problem+json"
    assert {"type", "title", "status", "detail", "instance", "request_id", "success"} <= answer.json.keys()
    assert answer.json["status"] == answer.status_code
    assert answer.json["instance"] == f"/raise/{name}"
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    assert answer.json["success"] is False


@pytest.mark.parametrize("name", [name for name, (_, status) in _ERRORS.items() if status >= 500])
def test_a_5xx_shows_no_stack_no_path_no_secret(make_app: Any, name: str) -> None:
    """What went wrong inside is for the log."""
    answer = make_app(_register).test_client().get(f"/raise/{name}?token={_SECRET}")

    for word in (_SECRET, "keys.pem", "prod/db", "Traceback", ".py", "Error", "token"):
        assert word not in answer.text.replace("Internal Server Error", "")


@pytest.mark.parametrize(("name", "wait"), [("throttled", "18"), ("unreachable", "5"), ("refused", "5")])
def test_an_upstream_that_fails_is_a_503_that_says_when(make_app: Any, name: str, wait: str) -> None:
    """What the upstream asked for, or `RETRY_AFTER_S`."""
    assert make_app(_register).test_client().get(f"/raise/{name}").headers["Retry-After"] == wait


def test_invalid_input_lists_every_fault(make_app: Any) -> None:
    """With its pointer."""
    answer = make_app(_register).test_client().get("/raise/invalid")

    assert answer.json["errors"] == [{"pointer": "/id", "detail": "too long"}]


@pytest.mark.parametrize(
    ("name", "event", "level"),
    [
        ("unknown", "request_failed", "error"),
        ("ours", "request_failed", "error"),
        ("unreachable", "upstream_failed", "warning"),
    ],
)
def test_a_5xx_is_logged_once(make_app: Any, lines: Any, name: str, event: str, level: str) -> None:
    """With the id that the client got."""
    answer = make_app(_register).test_client().get(f"/raise/{name}")

    told = [line for line in lines() if line["level"] in {"warning", "error", "critical"}]
    assert [(line["event"], line["level"]) for line in told] == [(event, level)]
    assert told[0]["request_id"] == answer.headers["X-Request-Id"]


def test_an_unforeseen_error_is_logged_with_its_stack(make_app: Any, lines: Any) -> None:
    """And with its secrets masked."""
    make_app(_register).test_client().get("/raise/unknown")

    [line] = lines("request_failed")
    assert line["exception"]["type"] == "RuntimeError"
    assert " in _register.<locals>.fail" in str(line["exception"]["stack"])
    assert _SECRET not in str(line)


def test_a_4xx_is_no_event_of_its_own(make_app: Any, lines: Any) -> None:
    """Its request line is enough: a client's mistake is not an error of the service."""
    make_app(_register).test_client().get("/raise/invalid")

    assert [line["event"] for line in lines()] == ["request"]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 406, 409, 410, 418, 429, 431, 451, 501, 502, 503, 504])
def test_what_flask_aborts_with_keeps_its_status(make_app: Any, code: int) -> None:
    """As a problem."""
    answer = make_app(_register).test_client().get(f"/abort/{code}")

    assert answer.status_code == answer.json["status"] == code
    assert answer.content_type == "application/problem+json"


def test_werkzeugs_headers_are_kept(make_app: Any) -> None:
    """`Allow` of a 405, `Retry-After` of a 503."""
    client = make_app(_register).test_client()

    assert set(client.post("/busy").headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert client.get("/busy").headers["Retry-After"] == "9"


def test_what_is_no_error_is_left_alone(make_app: Any) -> None:
    """Redirects, and answers that were finished by hand."""
    client = make_app(_register).test_client()

    assert (client.get("/finished").status_code, client.get("/finished").text) == (418, "as it is")
    assert client.get("/elsewhere").status_code == 302
    assert client.get("/slashed").status_code == 308


def test_a_broken_request_is_a_400(make_app: Any) -> None:
    """Also one that werkzeug finds broken, deep in a view."""
    client = make_app(_register).test_client()

    assert client.post("/form").status_code == 400
    answer = client.post("/json", data=b"{", content_type="application/json")
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")


def test_a_head_has_no_body(make_app: Any) -> None:
    """An error of HEAD has the headers of GET."""
    client = make_app(_register, max_body_bytes=1).test_client()
    head, get = client.head("/nothing"), client.get("/nothing")

    assert head.data == client.head("/nothing", data=b"xx").data == b""
    assert head.status_code == get.status_code == 404
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_an_error_after_the_view_is_a_problem_too(make_app: Any) -> None:
    """In a hook, where Flask's own handlers come late."""
    answer = make_app(_register).test_client().get("/late")

    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert _SECRET not in answer.text


def test_an_error_outside_of_flask_is_a_problem_too(make_app: Any, lines: Any) -> None:
    """Middleware between the server and Flask may fail: its client still gets a response."""

    def broken(environ: Any, start_response: Any) -> Any:
        raise RuntimeError(_SECRET)

    app = make_app(_register)
    app.wsgi_app.inner = broken

    answer = app.test_client().get("/late")

    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert [line["event"] for line in lines()] == ["request_failed", "request"]


def test_a_stream_that_fails_is_cut_and_logged(make_app: Any, lines: Any) -> None:
    """The head is out: a whole-looking answer would be a lie."""
    with pytest.raises(RuntimeError, match="the other half"):
        make_app(_register).test_client().get("/torn").get_data()

    assert [line["event"] for line in lines() if line["event"] != "request"] == ["stream_failed"]


def test_an_error_is_answered_alike_in_debug(make_app: Any) -> None:
    """No page with the stack, in any profile."""
    answer = make_app(_register, profile="local", debug="on").test_client().get("/raise/unknown")

    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")


@pytest.mark.slow
def test_a_database_server_that_is_unavailable_is_reported_soon_and_then_at_once(make_app: MakeApp) -> None:
    """503 with `Retry-After`; the start's long budget is not a request's."""

    def register(app: Flask) -> None:
        @app.get("/rows")
        def rows() -> NoReturn:
            runtime(app).engine.connect()
            raise AssertionError("nobody listens there")

    with closed_port() as port:
        url = f"mysql://app:x@127.0.0.1:{port}/app"
        app = make_app(register, database_url=url, db_connect_budget_s=1, db_request_budget_s=0.1, db_probe_s=60)
        client = app.test_client()
        answers = [client.get("/rows") for _ in range(3)]

    assert [(one.status_code, one.headers["Retry-After"]) for one in answers] == [(503, "5")] * 3
