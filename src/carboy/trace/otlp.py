"""Export spans by the OpenTelemetry SDK, in one trace with its own instrumentations."""

from collections.abc import Callable, Mapping
from typing import Any

from carboy.extras import extra
from carboy.trace.headers import Parent
from carboy.trace.sanitize import clean_name, clean_text
from carboy.trace.spans import Namespace, Span, new_trace_id
from carboy.trace.tracers import Tracer
from carboy.trace.xray_documents import show_json

with extra("trace"):
    from opentelemetry import context as otel_context
    from opentelemetry import trace as otel
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState


class OtelSpan(Span):
    """A span that OpenTelemetry records."""

    __slots__ = ("context", "otel")
    otel: otel.Span
    context: otel_context.Context

    def enter(self) -> Any:
        """Make it the span that this context works in, for OpenTelemetry's own instrumentations too."""
        return super().enter(), otel_context.attach(self.context)

    def leave(self, token: Any) -> None:
        """Go back to the span before."""
        ours, theirs = token
        otel_context.detach(theirs)
        super().leave(ours)


class OtlpTracer(Tracer):
    """Makes spans of the process's `TracerProvider`, by default one that exports by OTLP over HTTP."""

    def __init__(self, service: str, sampler: Callable[[], bool], environ: Mapping[str, str] | None = None) -> None:
        super().__init__(service, lambda _: None, sampler, environ)
        self._provider = _provider(self.service)
        self._otel = self._provider.get_tracer("carboy")

    def begin_segment(self, name: str = "", parent: Parent | None = None) -> Span:
        """Begin what a service does for one request; within the span of OpenTelemetry's that it works in, if any."""
        name = clean_name(name) if name else self.service
        around = otel.get_current_span().get_span_context()
        if around.is_valid:
            return self._begin(name, otel_context.get_current(), is_segment=True)
        is_sampled = parent.is_sampled if parent is not None else None
        if is_sampled is None:
            is_sampled = self._sampler()
        if parent is None or not parent.span_id:
            trace_id = parent.trace_id if parent is not None else new_trace_id()
            if is_sampled:
                return self._begin(name, otel_context.Context(), is_segment=True)
            parent = Parent(trace_id)
        remote = _span_context(parent, is_sampled)
        return self._begin(name, otel.set_span_in_context(NonRecordingSpan(remote)), is_segment=True, parent=parent)

    def begin_child(self, parent: Span, name: str, namespace: Namespace = "") -> Span:
        """Begin a span within another, or within the one of OpenTelemetry's that stands between."""
        inside = otel_context.get_current()
        assert isinstance(parent, OtelSpan)
        if otel.get_current_span(inside).get_span_context().trace_id != parent.otel.get_span_context().trace_id:
            inside = parent.context  # another thread's
        kind = SpanKind.CLIENT if namespace else SpanKind.INTERNAL
        return self._begin(name, inside, within=parent, namespace=namespace, kind=kind)

    def close(self, span: Span) -> None:
        """End OpenTelemetry's span with all that is known of ours."""
        assert isinstance(span, OtelSpan)
        try:
            self._describe(span)
        finally:
            span.otel.end(round(span.end_s * 1e9))

    def _describe(self, span: OtelSpan) -> None:
        facts = span.facts or {}
        for key, value in _attributes(span, facts):
            span.otel.set_attribute(key, _storable(value))
        if facts.get("fault") or (facts.get("error") and span.namespace):
            described = _described(facts)
            message = described.get("message")
            span.otel.set_status(Status(StatusCode.ERROR, None if message is None else clean_text(str(message))))
            if described:
                span.otel.add_event(
                    "exception",
                    {
                        "exception.type": clean_text(described["type"]),
                        "exception.message": clean_text(described["message"]),
                        "exception.stacktrace": clean_text(_stack(described)),
                    },
                )

    def flush(self) -> None:
        """Send what waits in the SDK's queue."""
        flush = getattr(self._provider, "force_flush", None)
        if flush is not None:
            flush()

    def _begin(
        self,
        name: str,
        inside: otel_context.Context,
        *,
        within: Span | None = None,
        namespace: Namespace = "",
        is_segment: bool = False,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: Parent | None = None,
    ) -> Span:
        before = otel.get_current_span(inside).get_span_context()
        started = self._otel.start_span(name, inside, SpanKind.SERVER if is_segment else kind)
        known = started.get_span_context()
        trace = f"{known.trace_id:032x}"
        made = OtelSpan(
            self,
            name,
            f"1-{trace[:8]}-{trace[8:]}",
            f"{before.span_id:016x}" if before.is_valid else "",
            within=within,
            namespace=namespace,
            is_segment=is_segment,
            is_sampled=known.trace_flags.sampled,
            state=parent.state if parent is not None else "",
        )
        made.id = f"{known.span_id:016x}"
        made.otel, made.context = started, otel.set_span_in_context(started, inside)
        return made


def _provider(service: str) -> otel.TracerProvider:
    """Return the provider that the program or OpenTelemetry's launcher has set, or set one."""
    there = otel.get_tracer_provider()
    if not isinstance(there, otel.ProxyTracerProvider):
        return there
    with extra("trace"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    known = Resource.create()
    if str(known.attributes.get("service.name", "unknown_service")).startswith("unknown_service"):
        known = known.merge(Resource({"service.name": service}))
    made = TracerProvider(resource=known)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    otel.set_tracer_provider(made)
    return made


def _span_context(parent: Parent, is_sampled: bool) -> SpanContext:
    return SpanContext(
        int(parent.trace_id[2:].replace("-", ""), 16),
        int(parent.span_id, 16) if parent.span_id else 1,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT),
        trace_state=TraceState.from_header([parent.state]) if parent.state else None,
    )


def _attributes(span: Span, facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return what is known of a span, by OpenTelemetry's names."""
    request, response = (facts.get("http", {}).get(side, {}) for side in ("request", "response"))
    aws, sql = facts.get("aws", {}), facts.get("sql", {})
    table = [aws["table_name"]] if aws.get("table_name") else None
    pairs = {
        "http.request.method": request.get("method"),
        "url.full": request.get("url"),
        "user_agent.original": request.get("user_agent"),
        "client.address": request.get("client_ip"),
        "http.response.status_code": response.get("status"),
        "rpc.system": "aws-api" if aws else None,
        "rpc.service": span.name if aws else None,
        "rpc.method": aws.get("operation"),
        "cloud.region": aws.get("region"),
        "aws.request_id": aws.get("request_id"),
        "aws.dynamodb.table_names": table,
        "messaging.url": aws.get("queue_url"),
        "db.system.name": sql.get("database_type"),
        "db.query.text": sql.get("sanitized_query"),
        **(span.annotations or {}),
    }
    if span.metadata:
        pairs["carboy.metadata"] = show_json(span.metadata)
    return [(key, value) for key, value in pairs.items() if value not in (None, "")]


def _storable(value: Any) -> Any:
    """Return a value as protobuf takes it: text in UTF-8, integers of 64 bits."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return [_storable(item) for item in value] if isinstance(value, list) else value


def _described(facts: Mapping[str, Any]) -> dict[str, Any]:
    cause = facts.get("cause")
    return dict(cause["exceptions"][0]) if isinstance(cause, dict) else {}


def _stack(described: Mapping[str, Any]) -> str:
    frames = described["stack"]
    return "\n".join(f'File "{frame["path"]}", line {frame["line"]}, in {frame["label"]}' for frame in frames)
