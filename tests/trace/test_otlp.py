"""Spans reach an OpenTelemetry receiver, in one trace with those of OpenTelemetry's own instrumentations."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.lab.otlp import otlp_receiver

PROGRAM = """
import threading
from opentelemetry import trace as otel
from carboy import trace

trace.setup("otlp", service="orders")
trace.instrument_threads()
tracer = trace.active_tracer()
theirs = otel.get_tracer("their.instrumentation")


@trace.trace()
def inner(password):
    trace.annotate(order_id=7)


@trace.trace()
def numbers():
    yield 1


@trace.trace()
def breaks():
    raise LookupError("no such order")


parent = trace.Parent("1-5901e3bc-8da3814a5f3ccbc864b66ecc", "328f72132deac0ce", True, "vendor=1")
with tracer.begin_segment(parent=parent) as request:
    request.add_request("GET", "https://shop.example/orders?x=1")
    request.add_response(500)
    with theirs.start_as_current_span("theirs"):
        inner("hunter2")
    list(numbers())
    thread = threading.Thread(target=inner, args=("x",))
    thread.start()
    thread.join()
    with trace.begin_span("S3", "aws") as call:
        call.add(aws={"operation": "PutObject", "region": "eu-central-1"})
        print(trace.outgoing_headers()["traceparent"])
        print(trace.outgoing_headers()["tracestate"])
    try:
        breaks()
    except LookupError:
        pass
with tracer.begin_segment(parent=trace.Parent(parent.trace_id, parent.span_id, False)):
    inner("not sampled")
    with theirs.start_as_current_span("theirs, not sampled"):
        print(trace.outgoing_headers()["traceparent"][-2:])
with theirs.start_as_current_span("their root"):
    inner("within theirs")
trace.reset()
"""

Span = dict[str, Any]


class _Run:
    def __init__(self, spans: list[Span], printed: list[str]) -> None:
        self.spans, self.printed = spans, printed

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span["name"] == name]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> _Run:
    """One program, with a tracer provider of its own, which a process can have only once."""
    folder: Path = tmp_path_factory.mktemp("otlp")
    with otlp_receiver() as receiver:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM],
            env={"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "PATH": ""},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=folder,
        )
        assert done.returncode == 0, done.stderr
        receiver.wait_for(9)
    return _Run(receiver.spans, done.stdout.split())


def test_spans_arrive_with_their_service(run: _Run) -> None:
    """By the name that `setup` was given; none of those that are not sampled."""
    assert {span["service"] for span in run.spans} == {"orders"}
    assert sorted(span["name"] for span in run.spans) == [
        "S3", "breaks", "inner", "inner", "inner", "numbers", "orders", "their root", "theirs"
    ]  # fmt: skip


def test_the_callers_trace_goes_on(run: _Run) -> None:
    """In, as the segment's parent, and out."""
    (request,) = run.named("orders")
    (call,) = run.named("S3")

    assert request["trace_id"] == "5901e3bc8da3814a5f3ccbc864b66ecc"
    assert request["parent_id"] == "328f72132deac0ce"
    assert run.printed == [f"00-{request['trace_id']}-{call['span_id']}-01", "vendor=1", "00"]


def test_spans_of_opentelemetry_and_carboy_nest(run: _Run) -> None:
    """Also across threads."""
    (request,), (theirs,), (root,) = run.named("orders"), run.named("theirs"), run.named("their root")
    parents = {span["parent_id"] for span in run.named("inner")}

    assert theirs["parent_id"] == request["span_id"]
    assert parents == {theirs["span_id"], request["span_id"], root["span_id"]}


def test_what_is_known_has_opentelemetrys_names(run: _Run) -> None:
    """Attributes, kinds, statuses and errors; secrets are masked."""
    (request,), (call,), (broken,) = run.named("orders"), run.named("S3"), run.named("breaks")
    inner = run.named("inner")[0]

    assert request["attributes"] == {
        "http.request.method": "GET", "url.full": "https://shop.example/orders", "http.response.status_code": 500
    }  # fmt: skip
    assert (request["kind"], request["status"]) == (2, 2)
    assert call["attributes"] == {
        "rpc.system": "aws-api", "rpc.service": "S3", "rpc.method": "PutObject", "cloud.region": "eu-central-1"
    }  # fmt: skip
    assert call["kind"] == 3
    assert inner["attributes"] == {"order_id": 7, "carboy.metadata": '{"args":["***"],"kwargs":{}}'}
    assert broken["events"][0]["exception.message"] == "no such order"
    assert broken["status"] == 2
    assert all(span["end_ns"] >= span["start_ns"] for span in run.spans)


HOSTILE = """
from carboy import trace

trace.setup("otlp", service="orders")


class Loud:
    def __str__(self):
        raise RuntimeError("no")


for number in range(3):
    with trace.span(f"good {number}"):
        pass
bad = "caf\\udce9"
for value in (bad, 2**64, -(2**63) - 1, float("inf"), float("nan"), Loud(), [bad], {bad: bad}, b"\\xff"):
    with trace.span(f"bad {bad}") as span:
        trace.annotate(value=value, **{bad: 1})
        span.add_metadata(value=value)
        span.add_request("GET", f"https://shop.example/{bad}", user_agent=bad)
        span.add(aws={"operation": bad, "region": bad, "table_name": bad, "queue_url": bad})
try:
    with trace.span("failing"):
        raise ValueError(f"no such name: {bad}")
except ValueError:
    pass
trace.reset()
"""


def test_one_span_never_loses_the_others(tmp_path: Path) -> None:
    """Lone surrogates, numbers beyond 64 bits and values that cannot be shown become text."""
    with otlp_receiver() as receiver:
        ran = subprocess.run(
            [sys.executable, "-c", HOSTILE],
            env={"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
        receiver.wait_for(3 + 9 + 1)

    assert ran.stderr == ""
    assert len(receiver.spans) == 3 + 9 + 1
