"""A trace goes on from service to service, in both forms of header, and with its sampling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.trace.kit import Daemon

from carboy import trace
from carboy.testing import UdpListener
from carboy.testing.clock import ManualClock
from carboy.trace import Parent, Sampler, choose_parent
from carboy.trace.headers import TRACEPARENT, TRACESTATE, XRAY, parse_traceparent, parse_xray
from carboy.trace.tracers import Tracer

ROOT, SPAN = "1-5901e3bc-8da3814a5f3ccbc864b66ecc", "328f72132deac0ce"


@pytest.mark.parametrize(
    ("text", "parent"),
    [
        (f"Root={ROOT};Parent={SPAN};Sampled=1", Parent(ROOT, SPAN, True)),
        (f"Sampled=0; Parent={SPAN}; Root={ROOT}", Parent(ROOT, SPAN, False)),
        (f"Root={ROOT};Sampled=?", Parent(ROOT, "", None)),
        (f"Self=1-67891234-12456789abcdef012345678;Root={ROOT}", Parent(ROOT)),
        (f"Root={ROOT};Parent={SPAN};Sampled=1;Lineage=1:5a:0", Parent(ROOT, SPAN, True)),
        (f"Root={ROOT};Parent=short;Sampled=1", Parent(ROOT, "", True)),
        ("Root=1-2-3;Parent=4", None),
        ("", None),
        (None, None),
        (";;=;", None),
    ],
)
def test_x_rays_header_is_read(text: str | None, parent: Parent | None) -> None:
    """With any other fields; a header without a trace is ignored."""
    assert parse_xray(text) == parent


@pytest.mark.parametrize(
    ("text", "parent"),
    [
        (f"00-{'a' * 32}-{SPAN}-01", Parent(f"1-{'a' * 8}-{'a' * 24}", SPAN, True)),
        (f"00-{'a' * 32}-{SPAN}-00", Parent(f"1-{'a' * 8}-{'a' * 24}", SPAN, False)),
        (f"cc-{'a' * 32}-{SPAN}-03-what-comes", Parent(f"1-{'a' * 8}-{'a' * 24}", SPAN, True)),
        (f"00-{'a' * 32}-{SPAN}-01-more", None),
        (f"ff-{'a' * 32}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{'a' * 32}-{'0' * 16}-01", None),
        (f"00-{'A' * 32}-{SPAN}-01", None),
        ("nonsense", None),
    ],
)
def test_w3cs_header_is_read(text: str, parent: Parent | None) -> None:
    """By the rules of Trace Context."""
    assert parse_traceparent(text) == parent


@given(st.text())
def test_headers_of_any_text_are_read(text: str) -> None:
    """Any client may send them."""
    choose_parent({XRAY: text, TRACEPARENT: text, TRACESTATE: text})


def test_the_header_that_knows_the_caller_counts() -> None:
    """A load balancer writes a root of its own over a caller's `traceparent`."""
    w3c = f"00-{'a' * 32}-{SPAN}-01"

    assert choose_parent({XRAY: f"Root={ROOT};Parent={SPAN}", TRACEPARENT: w3c}) == Parent(ROOT, SPAN)
    known = choose_parent({XRAY: f"Root={ROOT}", TRACEPARENT: w3c})
    assert known is not None
    assert known.trace_id == f"1-{'a' * 8}-{'a' * 24}"
    assert choose_parent({XRAY: f"Root={ROOT}"}) == Parent(ROOT)


def test_both_headers_go_out(daemon: Daemon) -> None:
    """With the span that calls as the parent, and the caller's state."""
    tracer = trace.active_tracer()
    assert tracer is not None
    with tracer.begin_segment(parent=Parent(ROOT, SPAN, True, "vendor=1")), trace.span("call") as call:
        headers = trace.outgoing_headers()

    assert headers == {
        XRAY: f"Root={ROOT};Parent={call.id};Sampled=1",
        TRACEPARENT: f"00-{ROOT[2:].replace('-', '')}-{call.id}-01",
        TRACESTATE: "vendor=1",
    }
    assert [document["trace_id"] for document in daemon.documents(2)] == [ROOT, ROOT]


def test_outside_of_a_trace_nothing_goes_out(daemon: Daemon) -> None:
    """There is no trace to pass on."""
    assert trace.outgoing_headers() == {}


def test_who_is_not_sampled_says_so(daemon: Daemon) -> None:
    """So that the next service leaves it too; and nothing is sent."""
    tracer = trace.active_tracer()
    assert tracer is not None
    with tracer.begin_segment(parent=Parent(ROOT, SPAN, False)):
        headers = trace.outgoing_headers()
        with trace.span("inner"):
            pass

    assert headers[XRAY].endswith(";Sampled=0")
    assert headers[TRACEPARENT].endswith("-00")
    assert daemon.listener.drain() == []


def test_the_caller_decides_what_is_sampled() -> None:
    """The sampler only where he does not."""
    tracer = Tracer("orders", lambda _: None, lambda: False)

    assert tracer.begin_segment(parent=Parent(ROOT, SPAN, True)).is_sampled
    assert not tracer.begin_segment(parent=Parent(ROOT, SPAN, None)).is_sampled
    assert not tracer.begin_segment().is_sampled


def test_the_sampler_takes_the_first_of_each_second_and_a_part_of_the_others() -> None:
    """So that a quiet service is seen at all, and a busy one does not cost too much."""
    clock = ManualClock()
    sampler = Sampler(rate=1e-12, per_second=2, clock=clock)

    assert [sampler() for _ in range(4)] == [True, True, False, False]
    clock.advance(1)
    assert sampler()
    assert 0 < sum(Sampler(rate=0.5, per_second=0)() for _ in range(400)) < 400
    assert all(Sampler()() for _ in range(10))
    assert not any(Sampler(rate=0)() for _ in range(10))


def test_on_lambda_spans_are_within_the_functions_own_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda keeps that segment; each event sets its name again, and whether it is sampled."""
    sent: list[bytes] = []
    environ = {"_X_AMZN_TRACE_ID": f"Root={ROOT};Parent={SPAN};Sampled=1"}
    tracer = Tracer("orders", sent.append, environ=environ)

    with tracer.begin_alone("work") as first:
        pass
    environ["_X_AMZN_TRACE_ID"] = f"Root={ROOT};Parent={SPAN};Sampled=0"
    with tracer.begin_alone("work"):
        pass
    environ["_X_AMZN_TRACE_ID"] = "nonsense"
    alone = tracer.begin_alone("work")

    assert (first.trace_id, first.parent_id, first.is_segment) == (ROOT, SPAN, False)
    assert len(sent) == 1
    assert alone.is_segment


LAMBDA = f"Root={ROOT};Parent={SPAN};Sampled=1;Lineage=1:5a:0"


def test_lineage_goes_along() -> None:
    """AWS finds functions that call themselves by it, also below spans of our own."""
    trace.setup("xray", environ={"_X_AMZN_TRACE_ID": LAMBDA}, sampler=lambda: False)
    try:
        with trace.span("work"), trace.span("inner") as inner:
            sent = trace.outgoing_headers()["X-Amzn-Trace-Id"]
    finally:
        trace.reset()

    assert sent == f"Root={ROOT};Parent={inner.id};Sampled=1;Lineage=1:5a:0"


@pytest.mark.parametrize("rest", ["", ";Lineage=1:5a:0"])
def test_a_trace_that_passes_through_stays_as_it_is(rest: str) -> None:
    """Lambda's mode PassThrough: only the trace's id is known; nothing is sent, and nothing is decided."""
    with UdpListener() as listener:
        header = f"Root={ROOT}{rest}"
        trace.setup("xray", daemon_address=listener.address, environ={"_X_AMZN_TRACE_ID": header})
        try:
            with trace.span("work"), trace.span("inner"):
                sent = dict(trace.outgoing_headers())
            assert trace.begin_span("DynamoDB", "aws") is None
        finally:
            trace.reset()
        assert sent == {"X-Amzn-Trace-Id": header}
        assert listener.drain(quiet_s=0.02) == []


def test_a_decision_without_a_segment_is_kept() -> None:
    """`Sampled=1` alone is one."""
    trace.setup("xray", environ={"_X_AMZN_TRACE_ID": f"Root={ROOT};Sampled=1"}, sampler=lambda: False)
    try:
        with trace.span("work") as span:
            assert (span.is_sampled, span.trace_id) == (True, ROOT)
    finally:
        trace.reset()
