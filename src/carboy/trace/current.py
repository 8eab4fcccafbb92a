"""The process's tracer, which `setup` sets, and the current span."""

from collections.abc import Callable, Mapping
from typing import Literal

from carboy.errors import UsageError
from carboy.trace.daemon import DEFAULT_ADDRESS, Daemon, parse_daemon_address
from carboy.trace.headers import TRACEPARENT, TRACESTATE, XRAY
from carboy.trace.sampling import Sampler
from carboy.trace.spans import Namespace, Span, current_span
from carboy.trace.tracers import Tracer

_NOTHING: Mapping[str, str] = {}
_active: list[tuple[Tracer, Callable[[], object]]] = []


def setup(
    mode: Literal["off", "xray", "otlp"],
    *,
    service: str = "flask",
    daemon_address: str = DEFAULT_ADDRESS,
    sampler: Callable[[], bool] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Tracer | None:
    """Start tracing in the whole process; a second call replaces the first.

    Args:
        mode: `xray`: documents to the X-Ray daemon; `otlp`: spans to the OpenTelemetry SDK, whose own settings
            (`OTEL_EXPORTER_OTLP_ENDPOINT`, …) say where they go; `off`: nothing.
        service: the name under which this service is shown.
        daemon_address: as in AWS's SDKs: `HOST:PORT`, or `tcp:HOST:PORT udp:HOST:PORT`.
        sampler: whether the next request is traced, where the caller did not decide; by default always.
        environ: the process's own environment on AWS Lambda, where it names the segment to work in.

    Raises:
        UsageError: the mode is unknown, or the address is not valid.
        MissingExtra: `otlp` without the part `trace`.
    """
    if mode not in {"off", "xray", "otlp"}:
        raise UsageError("traces cannot be sent", f"the mode `{mode}` is unknown", "choose off, xray or otlp")
    address = parse_daemon_address(daemon_address)
    if address is None:
        raise UsageError(
            "traces cannot be sent", "the daemon's address is not valid", f"write HOST:PORT, such as {DEFAULT_ADDRESS}"
        )
    reset()
    if mode == "otlp":
        from carboy.trace.otlp import OtlpTracer

        made: Tracer = OtlpTracer(service, sampler or Sampler(), environ)
        _active.append((made, made.flush))
    elif mode == "xray":
        daemon = Daemon(*address)
        made = Tracer(service, daemon.send, sampler, environ)
        _active.append((made, daemon.close))
    return active_tracer()


def reset() -> None:
    """Stop tracing, and send the remaining spans."""
    while _active:
        _, close = _active.pop()
        close()


def active_tracer() -> Tracer | None:
    """Return the active tracer; None where nothing is traced."""
    return _active[0][0] if _active else None


def begin_span(name: str, namespace: Namespace = "") -> Span | None:
    """Begin a span within the current one, or within Lambda's segment; None outside of a sampled one."""
    parent = current_span()
    if parent is None:
        tracer = active_tracer()
        return tracer.begin_in_function(name, namespace) if tracer is not None else None
    if not parent.is_sampled or parent.root.is_over:
        return None
    return parent.child(name, namespace)


def span(name: str) -> Span:
    """Begin a span for a `with` block, within the one that this code works in."""
    parent = current_span()
    tracer = active_tracer()
    if parent is not None and not parent.root.is_over:
        return parent.child(name)
    return tracer.begin_alone(name) if tracer is not None else _silent.begin_segment(name)


def annotate(**facts: object) -> None:
    """Put facts on the span that this code works in, by which traces are searched."""
    working_in = current_span()
    if working_in is not None:
        working_in.annotate(**facts)


def outgoing_headers(present: Mapping[str, str] = _NOTHING) -> Mapping[str, str]:
    """Return the headers that propagate the trace to the called service.

    Args:
        present: the request's headers. A trace that the caller set stays; one of an earlier try or a redirect is
            replaced.
    """
    working_in = current_span()
    if working_in is None:
        return _NOTHING
    trace_id, sampled = working_in.trace_id, int(working_in.is_sampled)
    root = working_in.root
    lineage = f";Lineage={root.lineage}" if root.lineage else ""
    found = present.get(XRAY) or present.get(TRACEPARENT)
    if found and trace_id not in found and trace_id[2:].replace("-", "") not in found:
        return _NOTHING
    if root.is_pass_through:
        return {XRAY: f"Root={trace_id}{lineage}"}
    headers = {
        XRAY: f"Root={trace_id};Parent={working_in.id};Sampled={sampled}{lineage}",
        TRACEPARENT: f"00-{trace_id[2:10]}{trace_id[11:]}-{working_in.id}-0{sampled}",
    }
    state = root.state
    return {**headers, TRACESTATE: state} if state else headers


_silent = Tracer("off", lambda _: None, lambda: False)
