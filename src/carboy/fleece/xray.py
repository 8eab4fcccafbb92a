"""Fleece's `xray`: functions and calls as X-Ray subsegments, over `carboy.trace`.

As there, nothing needs to be set up: on Lambda the environment names the daemon and the segment to work in, and where
it names none, nothing is sent.
"""

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple, TypeVar

from carboy import trace
from carboy.config.environ import live_environ
from carboy.trace.daemon import Daemon
from carboy.trace.headers import parse_xray
from carboy.trace.xray_documents import render_document

__all__ = [
    "XRayDaemon",
    "XRayDaemonNotFoundError",
    "XRayTraceID",
    "get_trace_id",
    "get_xray_daemon",
    "monkey_patch_botocore_for_xray",
    "monkey_patch_requests_for_xray",
    "send_segment_document_to_xray_daemon",
    "send_subsegment_to_xray_daemon",
    "trace_xray_subsegment",
]

Function = TypeVar("Function", bound=Callable[..., Any])

_ours: dict[str, object] = {}


def trace_xray_subsegment(skip_args: bool = False) -> Callable[[Function], Function]:
    """Return a decorator that gives each call of a function a subsegment, with or without its arguments."""

    def decorate(function: Any) -> Any:
        if isinstance(function, staticmethod | classmethod):
            return type(function)(decorate(function.__func__))
        traced = trace.trace(skip_args=skip_args)(function)

        @wraps(traced)
        def call(*args: Any, **kwargs: Any) -> Any:
            if trace.current_span() is None:
                _follow_environment()
            return traced(*args, **kwargs)

        return call

    return decorate


def monkey_patch_botocore_for_xray() -> None:
    """Follow every call to AWS of clients that are made from now on; nothing is patched: botocore has events for it."""
    _follow_environment()
    trace.instrument_boto3()
    known = sys.modules.get("carboy.aws.clients")
    if known is not None:
        known.forget()  # its session, and the clients that it keeps, were made before


def monkey_patch_requests_for_xray() -> None:
    """Follow calls of requests."""
    _follow_environment()
    trace.instrument_requests()


def _follow_environment() -> None:
    """Send to the daemon that the environment names, unless `TRACE` says where to."""
    environ = live_environ()
    address, known = environ.get("AWS_XRAY_DAEMON_ADDRESS"), trace.active_tracer()
    is_ours = known is not None and known is _ours.get("tracer")
    if not address or (known is not None and not is_ours) or (is_ours and _ours.get("address") == address):
        return
    tracer = trace.setup("xray", daemon_address=address, sampler=lambda: False, environ=environ)
    _ours.update(tracer=tracer, address=address)


class XRayDaemon(NamedTuple):
    """Where the daemon listens."""

    ip_address: str
    port: int


class XRayTraceID(NamedTuple):
    """The segment that Lambda keeps for the function."""

    trace_id: str | None
    parent_id: str | None
    sampled: bool


class XRayDaemonNotFoundError(Exception):
    """The environment names no daemon."""


def get_trace_id() -> XRayTraceID:
    """Return what `_X_AMZN_TRACE_ID` says; nothing and not sampled where it says nothing readable."""
    found = parse_xray(live_environ().get("_X_AMZN_TRACE_ID"))
    if found is None:
        return XRayTraceID(None, None, False)
    return XRayTraceID(found.trace_id, found.span_id or None, found.is_sampled is True)


def get_xray_daemon() -> XRayDaemon:
    """Return where the daemon listens.

    Raises:
        XRayDaemonNotFoundError: `AWS_XRAY_DAEMON_ADDRESS` is not set, or not an address.
    """
    found = trace.parse_daemon_address(live_environ().get("AWS_XRAY_DAEMON_ADDRESS", ""))
    if found is None:
        raise XRayDaemonNotFoundError
    return XRayDaemon(*found)


def send_segment_document_to_xray_daemon(segment_document: Mapping[str, Any]) -> None:
    """Send a document; nothing is sent where the environment names no daemon."""
    try:
        daemon = Daemon(*get_xray_daemon())
    except XRayDaemonNotFoundError:
        return
    daemon.send(render_document(dict(segment_document)))
    daemon.close()


def send_subsegment_to_xray_daemon(
    subsegment_id: str,
    parent_id: str,
    start_time: float,
    end_time: float | None = None,
    name: str | None = None,
    namespace: str = "remote",
    extra_data: Mapping[str, Any] | None = None,
) -> None:
    """Send a subsegment of the function's trace; one without an end is in progress."""
    document: dict[str, Any] = {
        "type": "subsegment",
        "id": subsegment_id,
        "trace_id": get_trace_id().trace_id,
        "parent_id": parent_id,
        "start_time": start_time,
    }
    if end_time is None:
        document["in_progress"] = True
    else:
        document |= {"end_time": end_time, "name": name, "namespace": namespace, **(extra_data or {})}
    send_segment_document_to_xray_daemon(document)
