"""Begin spans and send them as X-Ray documents; `otlp` has the tracer of OpenTelemetry."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from carboy.trace.headers import Parent, parse_xray
from carboy.trace.sampling import Sampler
from carboy.trace.sanitize import clean_name
from carboy.trace.spans import Namespace, Span, new_trace_id
from carboy.trace.xray_documents import render_datagram


class Tracer:
    """Makes spans and sends their X-Ray documents."""

    def __init__(
        self,
        service: str,
        send: Callable[[bytes], object],
        sampler: Callable[[], bool] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Make a tracer.

        Args:
            service: the name of its segments.
            send: gets one datagram for each span that ends.
            sampler: decides where the caller has not; everything is traced by default.
            environ: where AWS Lambda says, in `_X_AMZN_TRACE_ID`, which segment the function works in; it is read at
                every call, so it must be the process's own and no copy.
        """
        self.service: str = clean_name(service)
        self._send, self._sampler = send, sampler or Sampler()
        self._environ = environ

    def begin_segment(self, name: str = "", parent: Parent | None = None) -> Span:
        """Begin what a service does for one request; sampled as the caller says, else as the sampler does."""
        parent = parent or Parent(new_trace_id())
        is_sampled = self._sampler() if parent.is_sampled is None else parent.is_sampled
        return Span(
            self,
            clean_name(name) if name else self.service,
            parent.trace_id,
            parent.span_id,
            is_segment=True,
            is_sampled=is_sampled,
            state=parent.state,
            lineage=parent.lineage,
        )

    def begin_on_lambda(self, name: str, header: str | None, namespace: Namespace = "") -> Span | None:
        """Begin a span within the segment that Lambda itself keeps for the function; None where it names none."""
        parent = parse_xray(header)
        if parent is None or not parent.span_id:
            return None
        made = self.begin_segment(name, replace(parent, is_sampled=parent.is_sampled is True))
        made.is_segment, made.namespace, made.lineage = False, namespace, parent.lineage
        return made

    def begin_event(self, name: str, header: str | None) -> Span | None:
        """Begin the span of an event of Lambda's; None outside of Lambda.

        Where the header has a trace but neither a segment nor a decision (Lambda's tracing mode PassThrough), nothing
        is sent, and the trace's id goes along as it came.
        """
        made = self.begin_on_lambda(name, header)
        parent = parse_xray(header) if made is None else None
        if parent is None:
            return made
        made = self.begin_segment(name, replace(parent, is_sampled=bool(parent.is_sampled)))
        made.is_pass_through = parent.is_sampled is None
        return made

    def begin_in_function(self, name: str, namespace: Namespace = "") -> Span | None:
        """Begin a span within Lambda's segment of this event, which the environment names; None elsewhere."""
        return self.begin_on_lambda(name, self._lambda_header(), namespace)

    def begin_alone(self, name: str) -> Span:
        """Begin a span that is within none of this process: of Lambda's segment, or else a segment of its own."""
        return self.begin_event(name, self._lambda_header()) or self.begin_segment(name)

    def _lambda_header(self) -> str | None:
        return self._environ.get("_X_AMZN_TRACE_ID") if self._environ is not None else None

    def begin_child(self, parent: Span, name: str, namespace: Namespace = "") -> Span:
        """Begin a span within another, sampled as that is; the name is clean already."""
        return Span(
            self,
            name,
            parent.trace_id,
            parent.id,
            within=parent,
            namespace=namespace,
            is_sampled=parent.is_sampled,
        )

    def close(self, span: Span) -> None:
        """Send a span that has ended."""
        self._send(render_datagram(span))

    def flush(self) -> None:
        """Send what waits; with X-Ray nothing does."""
