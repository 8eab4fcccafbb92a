"""Where the time went, across services: spans for AWS X-Ray, or for the OpenTelemetry SDK.

from carboy.trace import trace

@trace()
def price(order): ...

Each name is loaded when it is first asked for: an application that does not trace loads next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carboy.trace.active import active_tracer, annotate, begin_span, outgoing_headers, reset, setup, span
    from carboy.trace.botocore_events import instrument_boto3
    from carboy.trace.daemon import DEFAULT_ADDRESS, parse_daemon_address
    from carboy.trace.decorating import trace
    from carboy.trace.headers import Parent, choose_parent
    from carboy.trace.requests_calls import instrument_requests
    from carboy.trace.sampling import Sampler
    from carboy.trace.spans import Span, current_span
    from carboy.trace.threads import instrument_threads
    from carboy.trace.tracers import Tracer

__all__ = [
    "DEFAULT_ADDRESS",
    "Parent",
    "Sampler",
    "Span",
    "Tracer",
    "active_tracer",
    "annotate",
    "begin_span",
    "choose_parent",
    "current_span",
    "instrument_boto3",
    "instrument_requests",
    "instrument_threads",
    "outgoing_headers",
    "parse_daemon_address",
    "reset",
    "setup",
    "span",
    "trace",
]

_HOMES = {
    "active": ("active_tracer", "annotate", "begin_span", "outgoing_headers", "reset", "setup", "span"),
    "botocore_events": ("instrument_boto3",),
    "daemon": ("DEFAULT_ADDRESS", "parse_daemon_address"),
    "decorating": ("trace",),
    "headers": ("Parent", "choose_parent"),
    "requests_calls": ("instrument_requests",),
    "sampling": ("Sampler",),
    "spans": ("Span", "current_span"),
    "threads": ("instrument_threads",),
    "tracers": ("Tracer",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            found = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
