"""What was wrong in Fleece 1.2.1 and must hold here, one after the other as the list of its faults has them."""

import base64
import io
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from flask import Flask, Response, request
from urllib3 import Retry

from carboy import logs, net, trace
from carboy.aws.clients import forget
from carboy.fleece import boto3, log, profiling, requests, xray
from carboy.fleece.handlers import connexion
from carboy.fleece.handlers.wsgi import build_wsgi_environ_from_event, wsgi_handler
from carboy.fleece.httperror import HTTPError
from carboy.fleece.testing import LambdaContext, LambdaEvent
from carboy.net import defaults
from carboy.testing import Answer, LoopbackServer, UdpListener

ROOT, SPAN = "1-5901e3bc-8da3814a5f3ccbc864b66ecc", "328f72132deac0ce"


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    stream = io.StringIO()
    logs.setup("DEBUG", "json", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logs.reset()


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[UdpListener]:
    with UdpListener() as listener:
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", listener.address)
        monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={ROOT};Parent={SPAN};Sampled=1")
        yield listener
    trace.reset()


# 1: X-Ray


def test_a_datagram_begins_with_the_daemons_header(daemon: UdpListener, loopback: LoopbackServer) -> None:
    """Of functions, calls by requests and calls to AWS; each within the function's segment, or within each other."""
    xray.monkey_patch_requests_for_xray()
    xray.monkey_patch_botocore_for_xray()

    @xray.trace_xray_subsegment()
    def price(order: int) -> int:
        requests.get(f"{loopback.url}/a?b=c")
        return order

    assert price(7) == 7
    requests.get(loopback.url)

    sent = [datagram.split(b"\n", 1) for datagram in daemon.wait_for(3)]
    assert {header for header, _ in sent} == {b'{"format": "json", "version": 1}'}
    inside, around, alone = (json.loads(document) for _, document in sent)
    assert (around["name"], around["type"], around["metadata"]) == ("price", "subsegment", {"args": [7], "kwargs": {}})
    assert (around["trace_id"], around["parent_id"], inside["parent_id"]) == (ROOT, SPAN, around["id"])
    assert (inside["http"]["request"]["url"], alone["parent_id"]) == (f"{loopback.url}/a", SPAN)


def test_what_lambda_does_not_sample_is_not_sent(daemon: UdpListener, monkeypatch: pytest.MonkeyPatch) -> None:
    """And without its word nothing is."""

    @xray.trace_xray_subsegment(skip_args=True)
    def work() -> None: ...

    monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={ROOT};Parent={SPAN};Sampled=0")
    work()
    monkeypatch.delenv("_X_AMZN_TRACE_ID")
    work()
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "nonsense")
    work()

    assert daemon.drain() == []


def test_a_way_that_was_set_up_is_kept(daemon: UdpListener) -> None:
    """`TRACE` is stronger than what the environment names."""
    with UdpListener() as other:
        trace.setup("xray", daemon_address=other.address)
        xray.trace_xray_subsegment()(lambda: None)()

        assert len(other.wait_for(1)) == 1
    assert daemon.drain() == []


# 2: WSGI


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response(
        "200 OK",
        [
            ("Content-Type", "image/png"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("X-From", environ["REMOTE_ADDR"]),
        ],
    )
    yield environ["wsgi.input"].read()


BODY = b"\x89PNG\xff\x00"
EVENT = {
    "httpMethod": "POST",
    "path": "/image",
    "headers": {"Host": "api.example", "Content-Type": "image/png"},
    "multiValueQueryStringParameters": {"a": ["1", "2"]},
    "requestContext": {"identity": {"sourceIp": "192.0.2.7"}, "stage": "prod"},
    "body": base64.b64encode(BODY).decode(),
    "isBase64Encoded": True,
}


def test_bodies_cookies_and_addresses_arrive(lines: Callable[[], list[dict[str, Any]]]) -> None:
    """In base64 where they are no text, both ways."""
    answer = wsgi_handler(EVENT, LambdaContext(), echo, log.get_logger("app"))

    assert answer["statusCode"] == 200
    assert base64.b64decode(answer["body"]) == BODY
    assert answer["isBase64Encoded"] is True
    assert answer["multiValueHeaders"]["Set-Cookie"] == ["a=1", "b=2"]
    assert answer["headers"]["X-From"] == "192.0.2.7"
    assert [line["event"] for line in lines()] == ["Processing request", "Returning answer"]


@pytest.mark.parametrize(
    ("event", "host"),
    [
        (EVENT, "api.example"),
        (
            {
                "httpMethod": "GET",
                "path": "/image",
                "multiValueHeaders": {"host": ["lb.example"], "x-forwarded-port": ["443"]},
                "requestContext": {"elb": {"targetGroupArn": "arn"}},
            },
            "lb.example",
        ),
        (
            {
                "version": "2.0",
                "rawPath": "/image",
                "rawQueryString": "",
                "headers": {"host": "http.example"},
                "requestContext": {"http": {"method": "GET", "path": "/image"}, "stage": "$default"},
            },
            "http.example",
        ),
        ({}, ""),
    ],
)
def test_every_gateways_event_becomes_an_environ(event: dict[str, Any], host: str) -> None:
    """Load balancers with lists and HTTP APIs too; ports are texts."""
    environ = build_wsgi_environ_from_event(event)

    assert environ["PATH_INFO"] == ("/image" if event else "/")
    assert environ.get("HTTP_HOST", "") == host
    assert isinstance(environ["SERVER_PORT"], str)


def test_an_application_may_replace_its_answer_and_is_closed() -> None:
    """`exc_info` and `close()`, as WSGI has them."""
    closed: list[bool] = []

    class Parts:
        def __iter__(self) -> Iterator[bytes]:
            yield b"sorry"

        def close(self) -> None:
            closed.append(True)

    def app(_environ: Any, start_response: Callable[..., Any]) -> Parts:
        start_response("200 OK", [])
        try:
            raise LookupError
        except LookupError:
            start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
        return Parts()

    answer = wsgi_handler(EVENT, LambdaContext(), app, log.get_logger("app"))

    assert (answer["statusCode"], answer["body"], closed) == (500, "sorry", [True])


# 3: logs


def test_a_standard_handler_is_tried_again_beside_the_request() -> None:
    """Its `emit` hides its errors; the request does not wait for it."""

    class Flaky(logging.StreamHandler):  # type: ignore[type-arg]
        def __init__(self) -> None:
            super().__init__(io.StringIO())
            self.failures = 2

        def flush(self) -> None:
            if self.failures:
                self.failures -= 1
                raise OSError("away")

    inner = Flaky()
    inner.failures = 2
    handler = log.RetryHandler(inner, backoff_base=0.01)
    handler.emit(logging.LogRecord("app", logging.INFO, "", 0, "hello", None, None))
    handler.close()

    assert inner.failures == 0


# 4: requests


@pytest.fixture
def _own_defaults() -> Iterator[None]:
    kept = defaults.default_retries()
    yield
    defaults.set_default_timeout()
    defaults._defaults.retries = kept


@pytest.mark.usefixtures("_own_defaults")
def test_a_retry_object_can_be_given(loopback: LoopbackServer) -> None:
    """It was an UnboundLocalError; int and dict work too."""
    loopback.script(*[Answer(503)] * 3)

    for retries in (Retry(3, status_forcelist=[503]), {"total": 3, "status_forcelist": [503]}):
        assert requests.Session(timeout=5, retries=retries).get(loopback.url).status_code == 200
    assert len(loopback.requests) == 5
    assert requests.get(loopback.url, retries=1).status_code == 200


@pytest.mark.usefixtures("_own_defaults")
def test_default_retries_are_as_there_but_checked(loopback: LoopbackServer) -> None:
    """A number alone repeats no status; a second one is an error."""
    requests.set_default_retries(3)
    loopback.script(Answer(503))
    assert requests.get(loopback.url).status_code == 503

    requests.set_default_retries(5, status_forcelist=[429, 503])
    loopback.script(Answer(503))
    assert requests.get(loopback.url).status_code == 200
    with pytest.raises(TypeError):
        requests.set_default_retries(1, 2, 3)  # type: ignore[call-arg]


@pytest.mark.usefixtures("_own_defaults")
def test_calls_have_a_time_out_and_share_connections(loopback: LoopbackServer) -> None:
    """And everything else is requests' own."""
    requests.set_default_timeout(timeout=1, read_timeout=2)
    for method in ("get", "post", "put", "patch", "delete", "options", "head"):
        assert getattr(requests, method)(loopback.url).status_code == requests.codes.ok

    assert loopback.connections == 1
    assert defaults.fill_timeout() == (1, 2)
    assert issubclass(requests.exceptions.ConnectTimeout, requests.RequestException)
    assert requests.Session is net.Session


# 5: boto3


def test_clients_always_have_time_outs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default was none at all; a `config=` is merged, and arguments are stronger."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    forget()
    try:
        plain = boto3.client("s3", region_name="eu-central-1")
        merged = boto3.client("s3", "eu-central-1", config=Config(user_agent_extra="team"), timeout=9)
        boto3.set_default_timeout(7, connect_timeout=1)
        later = boto3.client("s3", "eu-central-1")
        table = boto3.resource("dynamodb", "eu-central-1", read_timeout=3)
    finally:
        boto3.set_default_timeout()
        forget()

    def limits(client: Any) -> tuple[float, float]:
        return client.meta.config.connect_timeout, client.meta.config.read_timeout

    assert limits(plain) == (5, 30)
    assert limits(merged) == (9, 9)
    assert merged.meta.config.user_agent_extra.startswith("team")
    assert limits(later) == (1, 7)
    assert limits(table.meta.client) == (1, 3)
    assert boto3.session.Session is boto3.Session


# 6: profiling


def test_the_part_that_is_profiled_is_the_callers_choice(lines: Callable[[], list[dict[str, Any]]]) -> None:
    """The same filter selects the calls that are reported."""

    def handler(event: Any, context: Any) -> str:
        return "".join(str(number) for number in range(event["n"]))

    assert profiling.profile_handler(sample=0)(handler)({"n": 3}, None) == "012"
    assert lines() == []
    profiled = profiling.profile_handler(sample=1, stats_filter=["test_faults"], stats_limit=1)(handler)
    for _ in range(3):
        assert profiled({"n": 3}, None) == "012"

    told = lines()
    assert [line["event"] for line in told] == ["Profiling completed"] * 3
    assert [[row["function"] for row in line["profiling_data"]] for line in told] == [["handler"]] * 3
    assert told[0]["total_calls"] >= told[0]["primitive_calls"] > 0


# 7: request ids


def test_ids_are_each_events_own_and_gone_with_it(lines: Callable[[], list[dict[str, Any]]]) -> None:
    """Under the names that the documentation gave them; nothing is left in the environment."""
    logger = log.get_logger("app")

    @log.inject_request_ids_into_environment
    def handler(event: Any, context: Any) -> None:
        time.sleep(0.001)
        logger.info("handled", number=event["number"])

    def call(number: int) -> None:
        event = {"number": number, "requestContext": {"requestId": f"api-{number}"}}
        handler(event, LambdaContext(aws_request_id=f"lambda-{number}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(50)))
    logger.info("after")

    *handled, after = lines()
    assert all(
        (line["api_request_id"], line["lambda_request_id"]) == (f"api-{line['number']}", f"lambda-{line['number']}")
        for line in handled
    )
    assert "api_request_id" not in after
    assert "lambda.request_id" not in handled[0]


# 8: Connexion


DOCUMENT = """
openapi: 3.0.3
info: {title: orders, version: "1"}
paths:
  /orders/{number}:
    parameters:
    - {name: number, in: path, required: true, schema: {type: integer}}
    get:
      operationId: tests.fleece.operations.get_order
      parameters:
      - {name: size, in: query, schema: {type: integer}}
      responses: {"200": {description: one, content: {application/json: {schema: {type: object}}}}}
    post:
      operationId: tests.fleece.operations.put_order
      requestBody: {content: {application/json: {schema: {type: object, required: [item]}}}}
      responses: {"200": {description: done}}
"""


@pytest.fixture
def document(tmp_path: Path) -> str:
    path = tmp_path / "openapi.yaml"
    path.write_text(DOCUMENT)
    return str(path)


def old_event(number: object = 7, method: str = "GET", body: Any = None, **query: object) -> dict[str, Any]:
    event = LambdaEvent().generate(
        gateway={"resource-path": "/orders/{number}"}, path={"number": number}, body=body or {}, querystring=query
    )
    return {**event, "rawContext": {"httpMethod": method, "identity": {"sourceIp": "192.0.2.7"}}}


def test_an_event_of_the_old_integration_is_answered(document: str) -> None:
    """By the decoded body."""
    call = (document, log.get_logger("app"))

    assert connexion.call_api(old_event(size=3), "orders", *call) == {"number": 7, "size": 3, "from": "192.0.2.7"}
    assert connexion.call_api(old_event(method="POST", body={"item": "tea"}), "orders", *call) == {"item": "tea"}


@pytest.mark.parametrize(
    ("event", "status", "message"),
    [
        (old_event("seven"), 404, "404: Not Found"),
        (old_event(size="big"), 400, "size"),
        (old_event(color="red"), 400, "color"),
        (old_event(method="POST", body={"none": 1}), 400, "item"),
        (old_event(0), 404, "there is no such order"),
        (old_event(500), 500, "500: Internal Server Error"),
        (old_event(method="DELETE"), 405, "405"),
    ],
)
def test_what_is_refused_is_raised(document: str, event: dict[str, Any], status: int, message: str) -> None:
    """With what was said of a 4xx, and nothing of a 5xx."""
    with pytest.raises(HTTPError, match=message) as raised:
        connexion.call_api(event, "orders", document, log.get_logger("app"))
    assert raised.value.status_code == status


def test_a_proxy_event_is_answered_in_its_form(document: str) -> None:
    """With the application's own status."""
    event = {"httpMethod": "GET", "path": "/orders/7", "headers": {}, "requestContext": {}}
    answer = connexion.call_proxy_api(event, "orders", document, log.get_logger("app"))

    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["number"] == 7


def test_an_application_is_kept_by_its_name_and_its_document(document: str, tmp_path: Path) -> None:
    """Two documents under one name shared the first one's application."""
    other = tmp_path / "other.yaml"
    other.write_text(DOCUMENT.replace("/orders/", "/others/"))

    first = connexion.get_connexion_app("orders", document)
    assert connexion.get_connexion_app("orders", document) is first
    assert connexion.get_connexion_app("orders", document, cache_app=False) is not first
    assert connexion.get_connexion_app("orders", str(other)) is not first
    assert isinstance(first, Flask)


# 9: imports


def test_a_logger_costs_no_web_framework() -> None:
    """Importing the package loads nothing; each name what it needs."""
    code = (
        "import sys, carboy.fleece\n"
        "assert not [name for name in sys.modules if name.startswith('carboy.fleece.')]\n"
        "from carboy.fleece import log\n"
        "heavy = {'flask', 'werkzeug', 'requests', 'boto3', 'botocore', 'connexion', 'wrapt'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_flask_application_is_answered(lines: Callable[[], list[dict[str, Any]]]) -> None:
    """The one that most projects have."""
    app = Flask("orders")

    @app.post("/image")
    def image() -> Response:
        return Response(request.get_data()[::-1], mimetype="image/png")

    assert base64.b64decode(wsgi_handler(EVENT, None, app, log.get_logger("app"))["body"]) == BODY[::-1]
