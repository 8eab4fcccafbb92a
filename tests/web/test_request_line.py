"""One line for each request, and no secret in it."""

from typing import Any, NoReturn

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from carboy.web.http.path_masking import SecretPaths

_TOKEN = "wh-3f9c1b7a"


def _register(app: Flask) -> None:
    @app.post("/api/v1/webhooks/<source>")
    @app.post("/api/v1/webhooks/<source>/<token>")
    def hook(source: str, token: str = "") -> str:
        return "x" * 5

    @app.get("/stream")
    def stream() -> Any:
        return app.response_class(iter([b"a", b"bc"]))

    @app.get("/fail/<token>")
    def fail(token: str) -> NoReturn:
        raise RuntimeError("no")


def test_a_request_is_one_line(make_app: Any, lines: Any) -> None:
    """Method, path without query, status, time, size, caller, id."""
    client = make_app(_register).test_client()

    client.post("/api/v1/webhooks/github?secret=1", headers={"X-Request-Id": "r-1"})

    [line] = lines()
    assert line.pop("duration_ms") > 0
    assert line.pop("ts")
    assert line == {
        "level": "info",
        "logger": "carboy.request",
        "event": "request",
        "request_id": "r-1",
        "method": "POST",
        "path": "/api/v1/webhooks/github",
        "status": 200,
        "bytes": 5,
        "client": "127.0.0.1",
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/api/v1/webhooks/threatstack/{_TOKEN}"),
        ("GET", f"/api/v1/webhooks/threatstack/{_TOKEN}"),
        ("POST", f"/api/v1/webhooks/threatstack/{_TOKEN}/more"),
        ("POST", f"/api/v1/webhooks/threatstack//{_TOKEN}"),
        ("POST", f"/api//v1/webhooks/threatstack/{_TOKEN}"),
        ("POST", f"/API/v1/Webhooks/threatstack/{_TOKEN}"),
        ("POST", f"/api/v1/webhooks/threatstack/{_TOKEN}/"),
        ("POST", f"/api/v1/webhooks/threatstack/%0A{_TOKEN}"),
        ("GET", f"/fail/{_TOKEN}"),
    ],
)
def test_a_token_in_the_path_is_never_logged_nor_shown(make_app: Any, lines: Any, method: str, path: str) -> None:
    """Neither of a request that is taken, nor of one that misses its route."""
    answer = make_app(_register).test_client().open(path, method=method)

    told = lines()
    assert _TOKEN not in str(told)
    assert "<token>" in told[-1]["path"]
    if answer.content_type == "application/problem+json":
        assert _TOKEN not in answer.text


def test_a_token_is_not_logged_when_its_sender_asks_too_often(make_app: Any, lines: Any) -> None:
    """The request is refused before any route is known."""
    client = make_app(_register, rate_limit="1/h").test_client()

    answers = [client.post(f"/api/v1/webhooks/threatstack/{_TOKEN}") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 429]
    assert _TOKEN not in str(lines()) + answers[1].text


def test_a_token_is_hidden_below_a_prefix_too(make_app: Any, lines: Any) -> None:
    """As behind an API gateway, which puts its stage before the path."""
    client = make_app(_register).test_client()

    client.post(f"/api/v1/webhooks/threatstack/{_TOKEN}", environ_overrides={"SCRIPT_NAME": "/prod"})

    assert lines()[0]["path"] == "/prod/api/v1/webhooks/threatstack/<token>"


def test_a_stream_is_logged_when_it_was_read(make_app: Any, lines: Any) -> None:
    """With the bytes that were sent."""
    answer = make_app(_register).test_client().get("/stream")
    answer.get_data()
    answer.close()

    assert [line["bytes"] for line in lines()] == [3]


def test_a_long_path_is_cut(make_app: Any, lines: Any) -> None:
    """A caller cannot fill the log."""
    make_app(_register).test_client().get("/" + "x" * 8000)

    assert len(lines()[0]["path"]) <= 513


def test_a_path_that_is_no_utf8_is_logged(make_app: Any, lines: Any) -> None:
    """For any bytes: the line is JSON."""
    make_app(_register).test_client().get("/%ff%fe")

    assert lines()[0]["status"] == 404


@pytest.mark.slow
@given(st.text(max_size=40), st.sampled_from(["a", "a/b", "", "x%y"]))
def test_what_follows_a_secret_routes_prefix_is_hidden(token: str, source: str) -> None:
    """Any text in the token's place."""
    shown = SecretPaths(["/hooks/<source>/<string:token>"]).show(f"/hooks/{source or 's'}/{token}")

    if token.strip("/") and "/" not in source:
        assert shown == f"/hooks/{source or 's'}/{'/' * (len(token) - len(token.lstrip('/')))}<token>"


def test_paths_without_secrets_are_shown_as_they_are() -> None:
    """Routes without a secret argument hide nothing."""
    assert SecretPaths(["/a/<b>", "/"]).show("/a/token") == "/a/token"
