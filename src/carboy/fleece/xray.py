"""Fleece's `xray`: functions and calls as X-Ray subsegments, over `carboy.trace`.

As there, nothing needs to be set up: on Lambda the environment names the daemon and the segment to work in, and where
it names none, nothing is sent.
"""

import string
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple, TypeVar

from carboy import trace
from carboy.config.environ import live_environ
from carboy.fleece import log
from carboy.trace.daemon import Daemon
from carboy.trace.headers import parse_xray
from carboy.trace.spans import new_span_id
from carboy.trace.xray_documents import render_document

__all__ = [
    "ERROR_HANDLING_BOTOCORE",
    "ERROR_HANDLING_GENERIC",
    "LOGGER",
    "XRAY_DAEMON_HEADER",
    "XRayDaemon",
    "XRayDaemonNotFoundError",
    "XRayTraceID",
    "extract_function_metadata",
    "generate_subsegment_id",
    "generic_xray_wrapper",
    "get_function_name",
    "get_parent_id",
    "get_parent_id_from_trace_id",
    "get_trace_id",
    "get_xray_daemon",
    "monkey_patch_botocore_for_xray",
    "monkey_patch_requests_for_xray",
    "noop_function_metadata",
    "send_segment_document_to_xray_daemon",
    "send_subsegment_to_xray_daemon",
    "to_safe_annotation_key",
    "to_safe_annotation_value",
    "trace_xray_subsegment",
]

LOGGER = log.get_logger("fleece.xray")
XRAY_DAEMON_HEADER: dict[str, str | int] = {"format": "json", "version": 1}
ERROR_HANDLING_GENERIC, ERROR_HANDLING_BOTOCORE = "generic", "botocore"

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


def generic_xray_wrapper(
    wrapped: Callable[..., Any],
    instance: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    name: str | Callable[..., str],
    namespace: str,
    metadata_extractor: Callable[..., Mapping[str, Any]],
    error_handling_type: str = ERROR_HANDLING_GENERIC,
) -> Any:
    """Call a function within a subsegment; for a wrapper of `wrapt` around another library's function.

    Args:
        wrapped: the function.
        instance: its instance; None where it has none.
        args: what it is called with.
        kwargs: the same, by name.
        name: the subsegment's, or a function of the four arguments above that returns it.
        namespace: `aws`, `remote`, or `local`.
        metadata_extractor: returns blocks of the subsegment, of the four arguments and `return_value`.
        error_handling_type: `botocore` passes a ClientError's response as `return_value`; else it is None.
    """
    if trace.current_span() is None:
        _follow_environment()
    span = trace.begin_span(
        name if isinstance(name, str) else name(wrapped, instance, args, kwargs),
        "aws" if namespace == "aws" else "remote" if namespace == "remote" else "",
    )
    if span is None:
        return wrapped(*args, **kwargs)
    result: Any = None
    with span:
        try:
            result = wrapped(*args, **kwargs)
        except Exception as error:
            if error_handling_type == ERROR_HANDLING_BOTOCORE:
                result = getattr(error, "response", {})
            raise
        finally:
            found = dict(
                metadata_extractor(wrapped=wrapped, instance=instance, args=args, kwargs=kwargs, return_value=result)
            )
            span.add_metadata(**found.pop("metadata", {}))
            span.annotate(**found.pop("annotations", {}))
            span.add(**found)
    return result


def get_function_name(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> str:
    """Return the name of a function, for `generic_xray_wrapper`."""
    return str(wrapped.__name__)


def noop_function_metadata(wrapped: Any, instance: Any, args: Any, kwargs: Any, return_value: Any) -> dict[str, Any]:
    """Return nothing to add to a subsegment."""
    return {}


def extract_function_metadata(wrapped: Any, instance: Any, args: Any, kwargs: Any, return_value: Any) -> dict[str, Any]:
    """Return the arguments of a call as metadata of its subsegment."""
    return {"metadata": {"args": args, "kwargs": kwargs}}


def to_safe_annotation_key(key: str) -> str:
    """Return a key without punctuation, which X-Ray drops annotations for."""
    return key.translate(str.maketrans("", "", string.punctuation))


def to_safe_annotation_value(value: object) -> str:
    """Return a value as text."""
    return str(value)


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


def generate_subsegment_id() -> str:
    """Return a new id: 16 hexadecimal digits."""
    return new_span_id()


def get_parent_id() -> str | None:
    """Return the id of the subsegment that this code works in; None outside of one."""
    span = trace.current_span()
    return span.id if span is not None else None


def get_parent_id_from_trace_id() -> str | None:
    """Return the id of the segment that Lambda keeps for the function."""
    return get_trace_id().parent_id


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
