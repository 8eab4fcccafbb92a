"""`TRACE` on: every request is a segment, with what was called while it was answered."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response
from tests.web.kit import MakeApp

from carboy import net, trace
from carboy.errors import ConfigurationError
from carboy.serve import lambda_handler
from carboy.testing import LoopbackServer, UdpListener
from carboy.web import runtime

ROOT, SPAN = "1-5901e3bc-8da3814a5f3ccbc864b66ecc", "328f72132deac0ce"


@pytest.fixture
def listener() -> Iterator[UdpListener]:
    with UdpListener() as opened:
        yield opened
    trace.reset()


@pytest.fixture
def app(make_app: MakeApp, listener: UdpListener, loopback: LoopbackServer) -> Flask:
    def register(app: Flask) -> None:
        @app.get("/orders/<int:number>")
        def order(number: int) -> str:
            net.get(loopback.url)
            return str(number)

        @app.get("/broken")
        def broken() -> str:
            raise LookupError("no such order")

        @app.get("/stream")
        def stream() -> Response:
            def parts() -> Iterator[bytes]:
                yield b"a"
                with trace.span("part"):
                    yield b"b"

            return Response(parts())

        @app.get("/sql")
        def sql() -> str:
            with runtime().engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
            return "ok"

    return make_app(register, trace="xray", aws_xray_daemon_address=listener.address, app="orders", rate_limit="2/60s")


def documents(listener: UdpListener, count: int) -> list[dict[str, Any]]:
    listener.wait_for(count)
    return [json.loads(datagram.partition(b"\n")[2]) for datagram in listener.drain(0.02)]


def test_a_request_is_a_segment(app: Flask, listener: UdpListener, loopback: LoopbackServer) -> None:
    """Named after the service; calls out are within it, and take the trace along."""
    answer = app.test_client().get("/orders/7?token=secret", headers={"X-Request-Id": "r-1", "User-Agent": "test"})

    assert answer.text == "7"
    called, segment = documents(listener, 2)
    assert segment["name"] == "orders"
    assert segment["http"] == {
        "request": {
            "method": "GET",
            "url": "http://localhost/orders/7",
            "client_ip": "127.0.0.1",
            "user_agent": "test",
        },
        "response": {"status": 200, "content_length": 1},
    }
    assert segment["annotations"] == {"request_id": "r-1"}
    assert (called["parent_id"], called["trace_id"]) == (segment["id"], segment["trace_id"])
    assert f"Root={segment['trace_id']};Parent={called['id']}" in loopback.requests[0].headers["x-amzn-trace-id"]
    assert loopback.requests[0].headers["x-request-id"] == "r-1"


def test_what_machines_ask_is_not_traced(app: Flask, listener: UdpListener) -> None:
    """Neither the request nor the statements of the checks: they come every few seconds and add nothing."""
    runtime(app).engine.connect().close()  # that makes its tables
    client = app.test_client()
    headers = {"X-Amzn-Trace-Id": f"Root={ROOT};Parent={SPAN};Sampled=1"}
    for path in ("/livez", "/readyz"):
        assert client.get(path, headers=headers).status_code == 200
    client.get("/sql")

    found = documents(listener, 2)
    assert [one["http"]["request"]["url"] for one in found if "http" in one] == ["http://localhost/sql"]
    assert {one["trace_id"] for one in found} == {found[-1]["trace_id"]}


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Amzn-Trace-Id": f"Root={ROOT};Parent={SPAN};Sampled=1"},
        {"traceparent": f"00-{ROOT[2:].replace('-', '')}-{SPAN}-01"},
    ],
)
def test_a_callers_trace_goes_on(app: Flask, listener: UdpListener, headers: dict[str, str]) -> None:
    """By either header."""
    app.test_client().get("/orders/7", headers=headers)

    _, segment = documents(listener, 2)
    assert (segment["trace_id"], segment["parent_id"]) == (ROOT, SPAN)


def test_a_caller_who_is_not_sampled_is_not(app: Flask, listener: UdpListener, loopback: LoopbackServer) -> None:
    """And those that are called hear of it."""
    app.test_client().get("/orders/7", headers={"X-Amzn-Trace-Id": f"Root={ROOT};Parent={SPAN};Sampled=0"})

    assert listener.drain() == []
    assert loopback.requests[0].headers["x-amzn-trace-id"].endswith("Sampled=0")


def test_an_unforeseen_error_is_a_fault_with_its_cause(app: Flask, listener: UdpListener) -> None:
    """And the caller gets the 500 that he gets without traces."""
    assert app.test_client().get("/broken").status_code == 500

    (segment,) = documents(listener, 1)
    assert segment["fault"] is True
    assert segment["cause"]["exceptions"][0]["type"] == "LookupError"


def test_what_the_middleware_refuses_is_traced_too(app: Flask, listener: UdpListener) -> None:
    """A throttle is what one looks for."""
    answers = [app.test_client().get("/nowhere") for _ in range(3)]

    assert answers[-1].status_code == 429
    *_, segment = documents(listener, 3)
    assert (segment["error"], segment["throttle"]) == (True, True)


def test_a_stream_is_over_when_it_was_read(app: Flask, listener: UdpListener) -> None:
    """What it does meanwhile is within the request."""
    with app.test_client().get("/stream") as answer:
        assert answer.data == b"ab"

    part, segment = documents(listener, 2)
    assert part["parent_id"] == segment["id"]
    assert segment["end_time"] >= part["end_time"]
    assert segment["http"]["response"]["content_length"] == 2


def test_statements_are_followed(app: Flask, listener: UdpListener) -> None:
    """Of the application's own engine."""
    assert app.test_client().get("/sql").text == "ok"

    *called, segment = documents(listener, 2)
    assert called[-1]["sql"]["sanitized_query"] == "SELECT ?"
    assert called[-1]["parent_id"] == segment["id"]


def test_on_lambda_a_request_is_within_the_functions_own_segment(
    app: Flask, listener: UdpListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda sends that one itself."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    handler = lambda_handler(app)
    monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={ROOT};Parent={SPAN};Sampled=1")
    event = {
        "version": "2.0",
        "rawPath": "/orders/7",
        "rawQueryString": "",
        "headers": {"host": "api.example"},
        "requestContext": {
            "http": {"method": "GET", "path": "/orders/7", "sourceIp": "192.0.2.1"},
            "stage": "$default",
        },
    }

    assert handler(event)["statusCode"] == 200

    _, span = documents(listener, 2)
    assert (span["type"], span["trace_id"], span["parent_id"]) == ("subsegment", ROOT, SPAN)


@pytest.mark.parametrize(
    ("name", "value"), [("trace", "zipkin"), ("trace_sample", 2), ("aws_xray_daemon_address", "nowhere")]
)
def test_a_wrong_setting_stops_the_start(make_app: MakeApp, name: str, value: Any) -> None:
    """With its name."""
    with pytest.raises(ConfigurationError) as raised:
        make_app(**{name: value})
    assert [fault.pointer for fault in raised.value.faults] == [name.upper()]


def test_traces_that_are_off_load_nothing(tmp_path: Path) -> None:
    """Neither what follows requests nor a socket."""
    code = (
        "import sys, types\n"
        "module = types.ModuleType('mine')\n"
        "module.register = lambda app: None\n"
        "sys.modules['mine'] = module\n"
        "from carboy import create_app\n"
        "create_app('test', modules='mine')\n"
        "loaded = {'carboy.web.tracing', 'carboy.trace.spans', 'requests', 'botocore'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
