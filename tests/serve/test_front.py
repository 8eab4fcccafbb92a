"""Granian's calls reach WSGI applications as PEP 3333 wants it."""

import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest
from flask import Flask, Response, request

from carboy.serve.deadlines import Deadlines
from carboy.serve.front import Door, Headers


class MemoryExchange:
    """Keeps the first answer, as granian sends only that."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.body = b""
        self.is_streamed = False

    def response_bytes(self, status: int, headers: Headers, body: bytes, /) -> None:
        if not self.status:
            self.status, self.headers, self.body = status, headers, body

    def response_iter(self, status: int, headers: Headers, body: Any, /) -> None:
        self.status, self.headers, self.is_streamed = status, headers, True
        while (piece := next_or_none(body)) is not None:
            self.body += piece
        body.close()


def next_or_none(pieces: Any) -> bytes | None:
    try:
        return bytes(pieces.__next__())
    except StopIteration:
        return None


def door_of(app: Callable[..., Iterable[bytes]]) -> Door:
    return Door(app, 30.0, Deadlines(10))


def call(door: Door, method: str = "GET", path: str = "/", body: bytes = b"", **environ: str) -> MemoryExchange:
    exchange = MemoryExchange()
    scope = {
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "127.0.0.1",
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        **({"CONTENT_LENGTH": str(len(body))} if body else {}),
        **environ,
    }
    door(exchange, scope)
    return exchange


def make_app() -> Flask:
    app = Flask("probe")

    @app.post("/echo")
    def echo() -> bytes:
        return request.get_data()

    @app.get("/stream")
    def stream() -> Response:
        return Response((f"{number}\n" for number in range(3)), mimetype="text/plain")

    @app.get("/environ")
    def environ() -> list[str]:
        return sorted(request.environ)

    return app


def test_the_standard_librarys_validator_finds_nothing() -> None:
    """Environ, `start_response` and the result are what PEP 3333 says."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        data = environ["wsgi.input"].read(5)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [data]

    answer = call(door_of(validator(app)), "POST", body=b"hello")

    assert (answer.status, answer.body) == (200, b"hello")


def test_flask_answers_in_one_piece_where_the_length_is_known() -> None:
    """A view's answer is handed over whole, a generator's piece by piece."""
    door = door_of(make_app())

    echoed, streamed = call(door, "POST", "/echo", b"abc"), call(door, path="/stream")

    assert (echoed.status, echoed.body, echoed.is_streamed) == (200, b"abc", False)
    assert (streamed.status, streamed.body, streamed.is_streamed) == (200, b"0\n1\n2\n", True)


def test_the_environment_is_not_part_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that shows a request's environ shows no secret of the process."""
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")

    answer = call(door_of(make_app()), path="/environ")

    assert "DATABASE_PASSWORD" not in json.loads(answer.body)


def test_an_application_may_start_its_response_late_and_write() -> None:
    """A generator calls `start_response` when it is first asked; `write` comes before what is returned."""

    def app(_environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        write = start_response("201 Created", [("Content-Type", "text/plain")])
        write(b"a")
        yield b"b"

    answer = call(door_of(app))

    assert (answer.status, answer.body) == (201, b"ab")


def test_what_an_application_returned_is_closed() -> None:
    """Also where its pieces break off in the middle."""
    closed = []

    class Parts:
        def __iter__(self) -> Iterator[bytes]:
            raise OSError("the disk is gone")

        def close(self) -> None:
            closed.append(True)

    def app(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Parts()

    answer = call(door_of(app))

    assert (answer.status, closed) == (500, [True])


def test_an_application_that_raises_is_answered_500_without_its_words() -> None:
    """The client gets problem+json with a request id, the log gets the error."""

    def app(_environ: dict[str, Any], _start_response: Any) -> Iterable[bytes]:
        raise RuntimeError("password=hunter2")

    answer = call(door_of(app), path="/orders", HTTP_X_REQUEST_ID="abc-1")

    document = json.loads(answer.body)
    assert (answer.status, document["instance"], document["request_id"]) == (500, "/orders", "abc-1")
    assert b"hunter2" not in answer.body


def test_a_draining_door_asks_every_client_to_close() -> None:
    """A kept connection ends with its answer, so that none is cut by the end of the process."""
    door = door_of(make_app())
    assert ("connection", "close") not in call(door, "POST", "/echo", b"x").headers

    door.begin_to_drain()

    assert ("connection", "close") in call(door, "POST", "/echo", b"x").headers
    assert door.wait_until_empty(0.0)
