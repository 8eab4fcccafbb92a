"""Parse and render the headers that propagate a trace between services.

Source: AWS X-Ray developer guide, "Tracing header"; W3C Trace Context, section 3.2.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

XRAY, TRACEPARENT, TRACESTATE = "X-Amzn-Trace-Id", "traceparent", "tracestate"

_TRACE_ID = re.compile(r"1-[0-9a-f]{8}-[0-9a-f]{24}")
_SPAN_ID = re.compile(r"[0-9a-f]{16}")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_LINEAGE = re.compile(r"[\w:|.-]{1,256}", re.ASCII)
_MAX_STATE = 512


@dataclass(frozen=True, slots=True)
class Parent:
    """Where a trace comes from.

    Attributes:
        trace_id: in X-Ray's form, `1-5901e3bc-8da3814a5f3ccbc864b66ecc`.
        span_id: of the caller, 16 hexadecimal digits; empty where only the trace is known.
        is_sampled: whether the caller sends its spans; None where it leaves the decision to this service.
        state: `tracestate`, propagated unread.
        lineage: `Lineage` of AWS Lambda, propagated unread.
    """

    trace_id: str
    span_id: str = ""
    is_sampled: bool | None = None
    state: str = ""
    lineage: str = field(default="", compare=False)


def parse_xray(text: str | None) -> Parent | None:
    """Parse `X-Amzn-Trace-Id` or `_X_AMZN_TRACE_ID`; return None where it names no trace."""
    if not text:
        return None
    fields = {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in text.split(";"))}
    trace_id, span_id = fields.get("Root", "").lower(), fields.get("Parent", "").lower()
    if not _TRACE_ID.fullmatch(trace_id):
        return None
    sampled = {"1": True, "0": False}.get(fields.get("Sampled", ""))
    lineage = fields.get("Lineage", "")
    return Parent(
        trace_id,
        span_id if _SPAN_ID.fullmatch(span_id) else "",
        sampled,
        lineage=lineage if _LINEAGE.fullmatch(lineage) else "",
    )


def parse_traceparent(text: str | None, state: str | None = None) -> Parent | None:
    """Parse `traceparent` with its `tracestate`; return None for an invalid one."""
    match = _TRACEPARENT.fullmatch(text.strip()) if text else None
    if match is None:
        return None
    version, trace, span, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not int(trace, 16) or not int(span, 16):
        return None
    kept = state.strip() if state and len(state) <= _MAX_STATE and state.isascii() and state.isprintable() else ""
    return Parent(f"1-{trace[:8]}-{trace[8:]}", span, bool(int(flags, 16) & 1), kept)


def choose_parent(headers: Mapping[str, str]) -> Parent | None:
    """Return where a request comes from, by headers whose names are spelled as here.

    `X-Amzn-Trace-Id` counts before `traceparent`, but not where a load balancer wrote it and knows no caller.
    """
    ours = parse_xray(headers.get(XRAY))
    if ours is not None and ours.span_id:
        return ours
    return parse_traceparent(headers.get(TRACEPARENT), headers.get(TRACESTATE)) or ours
