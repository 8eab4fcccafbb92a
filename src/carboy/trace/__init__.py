"""Where the time went, across services: spans for AWS X-Ray, or for the OpenTelemetry SDK.

from carboy.trace import trace

@trace()
def price(order): ...

Each name is loaded when it is first asked for: an application that does not trace loads next to nothing.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from carboy.lazy import lazy_names

if TYPE_CHECKING:
    from carboy.trace.botocore_events import instrument_boto3
    from carboy.trace.current import active_tracer, annotate, begin_span, outgoing_headers, reset, setup, span
    from carboy.trace.daemon import DEFAULT_ADDRESS, parse_daemon_address
    from carboy.trace.decorating import trace
    from carboy.trace.headers import Parent, choose_parent
    from carboy.trace.requests_events import instrument_requests
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

__getattr__: Callable[[str], Any] = lazy_names(
    __name__,
    {
        ".current": ("active_tracer", "annotate", "begin_span", "outgoing_headers", "reset", "setup", "span"),
        ".botocore_events": ("instrument_boto3",),
        ".daemon": ("DEFAULT_ADDRESS", "parse_daemon_address"),
        ".decorating": ("trace",),
        ".headers": ("Parent", "choose_parent"),
        ".requests_events": ("instrument_requests",),
        ".sampling": ("Sampler",),
        ".spans": ("Span", "current_span"),
        ".threads": ("instrument_threads",),
        ".tracers": ("Tracer",),
    },
)
