"""Fleece's `xray`: functions and calls as X-Ray subsegments, over `carboy.trace`.

As there, nothing needs to be set up: on Lambda the environment names the daemon and the segment to work in, and where
it names none, nothing is sent.
"""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from carboy import trace

__all__ = ["monkey_patch_botocore_for_xray", "monkey_patch_requests_for_xray", "trace_xray_subsegment"]

Function = TypeVar("Function", bound=Callable[..., Any])

_ours: dict[str, object] = {}


def trace_xray_subsegment(skip_args: bool = False) -> Callable[[Function], Function]:
    """Return a decorator that gives each call of a function a subsegment, with or without its arguments."""

    def decorate(function: Function) -> Function:
        traced = trace.trace(skip_args=skip_args)(function)

        @wraps(traced)
        def call(*args: Any, **kwargs: Any) -> Any:
            if trace.current_span() is None:
                _follow_environment()
            return traced(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def monkey_patch_botocore_for_xray() -> None:
    """Follow calls to AWS; nothing is patched: botocore has events for it."""
    _follow_environment()
    trace.instrument_boto3()


def monkey_patch_requests_for_xray() -> None:
    """Follow calls of requests."""
    _follow_environment()
    trace.instrument_requests()


def _follow_environment() -> None:
    """Send to the daemon that the environment names, unless `TRACE` says where to."""
    address, known = os.environ.get("AWS_XRAY_DAEMON_ADDRESS"), trace.active_tracer()
    is_ours = known is not None and known is _ours.get("tracer")
    if not address or (known is not None and not is_ours) or (is_ours and _ours.get("address") == address):
        return
    tracer = trace.setup("xray", daemon_address=address, sampler=lambda: False, environ=os.environ)
    _ours.update(tracer=tracer, address=address)
