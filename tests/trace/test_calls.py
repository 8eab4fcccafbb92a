"""Calls to other services are spans, with what X-Ray shows of them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError
from tests.trace.kit import Daemon
from tests.trace.test_documents import check

from carboy import net, trace
from carboy.db import trace_statements
from carboy.testing import Answer, Cut, LoopbackServer, UdpListener, closed_port, json_answer, redirect


@pytest.fixture(autouse=True)
def _followed() -> None:
    trace.instrument_requests()
    trace.instrument_requests()
    trace.instrument_boto3()
    trace.instrument_boto3()


def client(service: Any, url: str) -> Any:
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-central-1").client(
        service, endpoint_url=url, config=Config(retries={"total_max_attempts": 2})
    )


def test_a_call_to_aws_says_what_it_was(daemon: Daemon, loopback: LoopbackServer) -> None:
    """Operation, region, request id, table; the trace goes along."""
    loopback.script(json_answer({"TableNames": []}, headers={"x-amzn-RequestId": "r-1"}))
    with trace.span("request") as request:
        client("dynamodb", loopback.url).describe_table(TableName="orders")

    called, _ = daemon.documents(2)
    check(called)
    assert (called["name"], called["namespace"], called["parent_id"]) == ("DynamoDB", "aws", request.id)
    assert called["aws"] == {
        "operation": "DescribeTable", "region": "eu-central-1", "request_id": "r-1", "table_name": "orders"
    }  # fmt: skip
    assert called["http"] == {"response": {"status": 200}}
    sent = loopback.requests[0].headers["x-amzn-trace-id"]
    assert sent == f"Root={request.trace_id};Parent={called['id']};Sampled=1"


def test_a_queue_is_named(daemon: Daemon, loopback: LoopbackServer) -> None:
    """By its address."""
    loopback.script(json_answer({"MessageId": "m", "MD5OfMessageBody": "900150983cd24fb0d6963f7d28e17f72"}))
    with trace.span("request"):
        client("sqs", loopback.url).send_message(QueueUrl=f"{loopback.url}/1/orders", MessageBody="abc")

    assert daemon.documents(2)[0]["aws"]["queue_url"] == f"{loopback.url}/1/orders"


@pytest.mark.parametrize(
    ("status", "code", "flags"),
    [
        (400, "ResourceNotFoundException", {"error": True}),
        (400, "ThrottlingException", {"error": True, "throttle": True}),
        (500, "InternalServerError", {"fault": True}),
    ],
)
def test_what_aws_refuses_is_an_error_a_throttle_or_a_fault(
    daemon: Daemon, loopback: LoopbackServer, status: int, code: str, flags: dict[str, bool]
) -> None:
    """With AWS's own code and words, and how often it was tried again."""
    answer = json_answer({"__type": f"com.amazonaws#{code}", "message": "no"}, status)
    loopback.script(answer, answer)
    with trace.span("request"), pytest.raises(ClientError):
        client("dynamodb", loopback.url).describe_table(TableName="orders")

    called, _ = daemon.documents(2)
    check(called)
    assert {name: called[name] for name in ("error", "throttle", "fault") if name in called} == flags
    (told,) = called["cause"]["exceptions"]
    assert (told["type"], told["message"], told["remote"]) == (code, "no", True)


def test_an_aws_that_is_away_is_a_fault(daemon: Daemon) -> None:
    """The span ends with the call."""
    with closed_port() as port, trace.span("request"), pytest.raises(EndpointConnectionError):
        client("dynamodb", f"http://127.0.0.1:{port}").list_tables()

    called, _ = daemon.documents(2)
    check(called)
    assert called["fault"] is True
    assert called["cause"]["exceptions"][0]["type"].endswith("EndpointConnectionError")


def test_a_session_that_was_there_before_can_be_followed(daemon: Daemon, loopback: LoopbackServer) -> None:
    """And a client; each call still has one span."""
    loopback.script(*[json_answer({})] * 2)
    made = client("dynamodb", loopback.url)
    trace.instrument_boto3(made, boto3.Session())
    with trace.span("request"):
        made.list_tables()

    assert len(daemon.documents(2)) == 2


def test_calls_outside_of_a_trace_are_not_followed(daemon: Daemon, loopback: LoopbackServer) -> None:
    """A background thread's, say; they work."""
    loopback.script(json_answer({}))
    client("dynamodb", loopback.url).list_tables()
    assert net.get(loopback.url).status_code == 200

    assert daemon.listener.drain() == []


def test_an_http_call_says_what_it_was(daemon: Daemon, loopback: LoopbackServer) -> None:
    """Method, address without query, status; the server can go on with the trace."""
    loopback.script(Answer(404, b"none"))
    with trace.span("request") as request:
        requests.post(f"{loopback.url}/orders?token=secret", timeout=5)

    called, _ = daemon.documents(2)
    check(called)
    assert (called["name"], called["namespace"], called["error"]) == ("127.0.0.1", "remote", True)
    assert called["http"] == {
        "request": {"method": "POST", "url": f"{loopback.url}/orders"},
        "response": {"status": 404, "content_length": 4},
    }
    assert loopback.requests[0].headers["x-amzn-trace-id"].startswith(f"Root={request.trace_id};Parent={called['id']}")


def test_each_send_of_a_call_is_a_span_of_its_own(daemon: Daemon, loopback: LoopbackServer) -> None:
    """Redirects and further tries; the headers name the one that sends."""
    loopback.script(Cut(), redirect("/next"), Answer())
    with trace.span("request"):
        net.get(loopback.url)

    *called, _ = daemon.documents(4)
    assert [document.get("fault", False) for document in called] == [True, False, False]
    assert [request.headers["x-amzn-trace-id"].split(";")[1] for request in loopback.requests] == [
        f"Parent={document['id']}" for document in called
    ]


def test_calls_of_several_threads_keep_to_their_own(daemon: Daemon, loopback: LoopbackServer) -> None:
    """The headers are each call's."""

    def request(number: int) -> None:
        with trace.span(f"request {number}"):
            net.get(f"{loopback.url}/{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(request, range(40)))

    documents = daemon.documents(80)
    traces = {document["name"].removeprefix("request "): document["trace_id"] for document in documents}
    for sent in loopback.requests:
        assert f"Root={traces[sent.path[1:]]};" in sent.headers["x-amzn-trace-id"]


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = trace_statements(trace_statements(create_engine("sqlite://")))
    yield made
    made.dispose()


def test_a_statement_says_what_it_was(daemon: Daemon, engine: Engine) -> None:
    """Without any value: neither parameters nor literals."""
    with trace.span("request") as request, engine.connect() as connection:
        connection.execute(text("SELECT :name, 'hunter2', 42"), {"name": "alice"})

    called, _ = daemon.documents(2)
    check(called)
    assert (called["namespace"], called["parent_id"]) == ("remote", request.id)
    assert called["sql"]["sanitized_query"] == "SELECT ?, ?, ?"
    assert called["sql"]["database_type"] == "SQLite"


def test_a_statement_that_fails_is_a_fault(daemon: Daemon, engine: Engine) -> None:
    """With the driver's message."""
    with trace.span("request"), engine.connect() as connection, pytest.raises(OperationalError):
        connection.execute(text("SELECT * FROM nowhere"))

    called, _ = daemon.documents(2)
    check(called)
    assert called["fault"] is True
    assert "no such table" in called["cause"]["exceptions"][0]["message"]


def test_boto3_takes_lineage_along(loopback: LoopbackServer) -> None:
    """Without it AWS's recursive-loop detection is off."""
    header = "Root=1-5901e3bc-8da3814a5f3ccbc864b66ecc;Parent=328f72132deac0ce;Sampled=1;Lineage=1:a:0"
    with UdpListener() as listener:
        trace.setup("xray", daemon_address=listener.address, environ={"_X_AMZN_TRACE_ID": header})
        try:
            loopback.script(json_answer({"TableNames": []}))
            client("dynamodb", loopback.url).list_tables()
        finally:
            trace.reset()

    sent = loopback.requests[0].headers["x-amzn-trace-id"]
    assert sent.startswith("Root=1-5901e3bc-8da3814a5f3ccbc864b66ecc;Parent=")
    assert sent.endswith(";Sampled=1;Lineage=1:a:0")
    assert "328f72132deac0ce" not in sent


def test_a_prepared_call_has_a_span_too(daemon: Daemon, loopback: LoopbackServer) -> None:
    session = net.make_session(loopback.url)
    common = net.prepare_call(session, "GET", loopback.url)
    with trace.span("request") as request:
        net.fetch(session, loopback.url, {}, net.Limits(), what="it", common=common)

    called, _ = daemon.documents(2)
    check(called)
    assert (called["http"]["response"]["status"], called["parent_id"]) == (200, request.id)
    assert f"Parent={called['id']}" in loopback.requests[0].headers["x-amzn-trace-id"]
