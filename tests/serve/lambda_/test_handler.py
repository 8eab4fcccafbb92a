"""What `lambda_handler` takes, and how it runs it: in time, with its ids on every line, and across snapshots."""

import asyncio
import gc
import json
import random
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from flask import Flask
from tests.serve.lambda_.apps import Recorder

from carboy.errors import CarboyError, UsageError
from carboy.extension import extension_of
from carboy.logs.log_context import bound_facts
from carboy.serve import lambda_handler
from carboy.testing import events

Lines = Callable[[], list[dict[str, Any]]]


def hello() -> Flask:
    app = Flask("hello")
    app.add_url_rule("/", view_func=lambda: "hello")
    return app


async def asgi(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """Answer with what the scope says."""
    assert scope["type"] == "http"
    body = (await receive())["body"]
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    said = {**{key: scope[key] for key in ("method", "path", "root_path", "scheme", "client", "server")}}
    said |= {"query": scope["query_string"].decode(), "test": headers.get("x-test"), "body": body.decode()}
    await send({"type": "http.response.start", "status": 201, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()[:5], "more_body": True})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()[5:]})


@pytest.mark.parametrize("given", [hello, hello(), hello().wsgi_app, lambda settings=None: hello()])
def test_factories_and_wsgi_applications_are_distinguished(given: Any) -> None:
    assert lambda_handler(given)(events.http_v2())["body"] == "hello"


def test_an_asgi_application_gets_the_same_request() -> None:
    event = events.rest_v1("POST", "/a%20b?q=1", headers=[("X-Test", "yes")], body=b"text")

    answer = lambda_handler(asgi)(event)

    assert answer["statusCode"] == 201
    assert json.loads(answer["body"]) == {
        "method": "POST",
        "path": "/prod/a b",
        "root_path": "/prod",
        "scheme": "https",
        "client": ["203.0.113.7", 0],
        "server": ["a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com", 443],
        "query": "q=1",
        "test": "yes",
        "body": "text",
    }


def test_the_lifespan_of_an_asgi_application_begins_before_its_first_request() -> None:
    """And what it keeps in its state reaches every request."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            scope["state"]["ready"] = b"yes"
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["state"]["ready"]})

    handler = lambda_handler(application)
    assert handler(events.http_v2())["body"] == "yes"
    handler.close()


@pytest.mark.parametrize("is_waiting", [False, True])
def test_a_handler_that_is_collected_within_another_loop_warns_of_nothing(is_waiting: bool) -> None:
    """A garbage collection may end one while another application's request runs."""

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        if is_waiting:
            waiting.append(asyncio.ensure_future(asyncio.sleep(30)))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    waiting: list[asyncio.Future[None]] = []
    handlers = [lambda_handler(application)]
    assert handlers[0](events.http_v2())["body"] == "ok"

    async def request() -> None:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            handlers.clear()
            gc.collect()
        assert [str(one.message) for one in seen] == []

    asyncio.run(request())


def test_an_asgi_application_that_does_not_start_is_an_error_of_initialisation() -> None:
    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(CarboyError, match="no database"):
        lambda_handler(application)


@pytest.mark.parametrize("is_blocking", [True, False])
def test_an_asgi_application_is_stopped_near_the_deadline(is_blocking: bool) -> None:
    """Whether it waits in its loop or blocks it; the next request finds the process in order."""
    seen = []

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            try:
                time.sleep(30) if is_blocking else await asyncio.sleep(30)
            finally:
                seen.append("stopped")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    handler = lambda_handler(application)
    slow = handler(events.http_v2(url="/slow"), events.LambdaContext(timeout_s=0.7))
    after = handler(events.http_v2(), events.LambdaContext(timeout_s=30))

    assert (slow["statusCode"], seen, after["body"]) == (504, ["stopped"], "ok")
    handler.close()


def test_an_asgi_application_that_breaks_is_answered_500() -> None:
    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        if scope["type"] == "http":
            raise ValueError("broken")

    assert lambda_handler(application)(events.http_v2())["statusCode"] == 500


@pytest.mark.parametrize("given", [None, 7, object(), lambda one: one, lambda: lambda: None])
def test_what_is_no_application_is_refused_at_the_start(given: Any) -> None:
    with pytest.raises(UsageError):
        lambda_handler(given)


def test_a_coroutine_factory_is_refused_at_the_start() -> None:
    async def create_app() -> Flask:
        await asyncio.sleep(0)
        return hello()

    with pytest.raises(UsageError, match="coroutine"):
        lambda_handler(create_app)


def test_an_error_of_the_application_is_answered_and_logged(lines: Lines) -> None:
    """As a web server would; the process lives on."""

    def application(_environ: Any, _start_response: Any) -> Any:
        raise ValueError("broken")

    handler = lambda_handler(application)
    answer = handler(events.rest_v1(url="/x"), events.LambdaContext())

    assert answer["statusCode"] == 500
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert json.loads(answer["body"])["instance"] == "/prod/x"
    assert [(line["event"], line["level"]) for line in lines()] == [("request_failed", "error")]
    assert "broken" not in answer["body"]


@pytest.mark.parametrize("in_thread", [False, True])
def test_near_the_deadline_a_request_is_answered_504(in_thread: bool, lines: Lines) -> None:
    """And what it holds is given back, instead of the process being killed without a word."""
    answers: list[Any] = []

    def application(_environ: Any, _start_response: Any) -> Any:
        time.sleep(30)

    def invoke() -> None:
        answers.append(lambda_handler(application)(events.http_v2(), events.LambdaContext(timeout_s=0.7)))

    if in_thread:
        thread = threading.Thread(target=invoke)
        thread.start()
        thread.join(10)
    else:
        invoke()

    assert answers[0]["statusCode"] == 504
    assert json.loads(answers[0]["body"])["status"] == 504
    assert [line["event"] for line in lines()] == ["deadline_near"]


def test_work_that_is_stopped_gives_back_what_it_holds() -> None:
    given_back = []

    def application(_environ: Any, _start_response: Any) -> Any:
        try:
            while True:
                time.sleep(0.01)
        except Exception:  # noqa: BLE001 - this is what must not hold the request up
            given_back.append("swallowed")
        finally:
            given_back.append("released")

    answer = lambda_handler(application)(events.http_v2(), events.LambdaContext(timeout_s=0.6))

    assert (answer["statusCode"], given_back) == (504, ["released"])


def test_a_request_that_comes_too_late_is_not_begun() -> None:
    recorder = Recorder()

    answer = lambda_handler(recorder)(events.http_v2(), events.LambdaContext(timeout_s=0.3))

    assert answer["statusCode"] == 504
    assert recorder.environ == {}


def test_many_requests_in_time_are_left_alone() -> None:
    """The watch on one request never strikes the next."""
    handler = lambda_handler(Recorder())

    for timeout_s in (0.52, 30.0, 0.51, 0.55) * 20:
        assert handler(events.http_v2(), events.LambdaContext(timeout_s=timeout_s))["statusCode"] in {200, 504}
    assert handler(events.http_v2(), events.LambdaContext())["statusCode"] == 200


def test_every_line_carries_the_ids_of_its_event() -> None:
    """And none carries those of the event before."""
    facts: list[dict[str, Any]] = []

    def application(_environ: Any, start_response: Any) -> list[bytes]:
        facts.append(dict(bound_facts()))
        start_response("200 OK", [])
        return []

    handler = lambda_handler(application)
    handler(events.rest_v1(), events.LambdaContext(aws_request_id="first"))
    handler(events.http_v2(), events.LambdaContext(aws_request_id="second"))

    assert facts == [
        {
            "request_id": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "cold_start": True,
            "lambda_request_id": "first",
            "api_request_id": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        },
        {
            "request_id": "JKJaXmPLvHcESHA=",
            "cold_start": False,
            "lambda_request_id": "second",
            "api_request_id": "JKJaXmPLvHcESHA=",
        },
    ]
    assert bound_facts() == {}


def test_a_restored_snapshot_begins_with_new_seeds_and_connections() -> None:
    """Copies of one snapshot would else draw the same numbers, on the same sockets."""
    app, renewed = hello(), []
    extension_of(app).on_restore.append(lambda: renewed.append("part"))
    handler = lambda_handler(app, on_restore=[lambda: renewed.append("mine")])

    random.seed(7)
    same = random.random()
    random.seed(7)
    handler.restore()

    assert random.random() != same
    assert renewed == ["part", "mine"]


def test_the_lambda_side_loads_nothing_of_the_servers() -> None:
    """Nor anything else that a function does not need to start."""
    heavy = ["granian", "gunicorn", "boto3", "botocore", "sqlalchemy", "requests", "yaml", "opentelemetry", "werkzeug"]
    code = (
        "import sys; from carboy.serve import lambda_handler; "
        "application = lambda environ, start_response: start_response('200 OK', []) and []; "
        "lambda_handler(application)({'httpMethod': 'GET', 'path': '/'}); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "[]"
