"""Follow what a request does: its segment, and what is called while it is answered; only loaded where `TRACE` is on."""

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from flask import got_request_exception

from carboy import trace
from carboy.config.environ import live_environ
from carboy.trace import Parent, Sampler, Span, Tracer, choose_parent, current_span
from carboy.trace.headers import TRACEPARENT, TRACESTATE, XRAY

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from flask import Flask

    from carboy.web.runtime import Runtime

_HEADERS = {XRAY: "HTTP_X_AMZN_TRACE_ID", TRACEPARENT: "HTTP_TRACEPARENT", TRACESTATE: "HTTP_TRACESTATE"}


def add_tracing(app: "Flask", runtime: "Runtime") -> "Requests | None":
    """Begin to trace as the settings say, and follow AWS, HTTP and threads; return what follows the requests."""
    web = runtime.web
    tracer = trace.setup(
        web.trace,
        service=str(runtime.settings["APP"]),
        daemon_address=web.aws_xray_daemon_address,
        sampler=Sampler(web.trace_sample),
        environ=live_environ(),
    )
    if tracer is None:
        return None
    trace.instrument_threads()
    if find_spec("requests") is not None:
        trace.instrument_requests()
    if find_spec("botocore") is not None:
        trace.instrument_boto3()
        known = sys.modules.get("carboy.aws.clients")
        if known is not None:
            known.forget()  # the session that read the settings was made before
    got_request_exception.connect(_note_failure, app)
    return Requests(tracer)


class Requests:
    """Begins a span for each request, and says at its end what was answered."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(self, environ: "WSGIEnvironment") -> Span:
        """Begin the segment of a request; on Lambda a span within the function's own."""
        tracer = self._tracer
        span = tracer.begin_event(tracer.service, environ.get("lambda.trace_id"))
        return span or tracer.begin_segment("", _parent(environ))

    def end(self, span: Span, environ: "WSGIEnvironment", status: int, path: str, size_bytes: int) -> None:
        """End the span of a request that was answered."""
        if span.is_sampled:
            more: dict[str, Any] = {
                "client_ip": environ.get("REMOTE_ADDR"),
                "user_agent": environ.get("HTTP_USER_AGENT"),
            }
            if environ.get("HTTP_X_FORWARDED_FOR"):
                more["x_forwarded_for"] = True
            url = f"{environ['wsgi.url_scheme']}://{_host(environ)}{path}"
            span.add_request(environ["REQUEST_METHOD"], url, **{name: value for name, value in more.items() if value})
            span.add_response(status, **({"content_length": size_bytes} if size_bytes >= 0 else {}))
            span.annotate(request_id=environ["carboy.request_id"])
        span.end()
        if "lambda.event" in environ:  # Lambda stops the clock after the answer: nothing must wait
            self._tracer.flush()


def _parent(environ: "WSGIEnvironment") -> Parent | None:
    given = {name: environ[key] for name, key in _HEADERS.items() if key in environ}
    return choose_parent(given) if given else None


def _host(environ: "WSGIEnvironment") -> str:
    return str(environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}")


def _note_failure(_app: "Flask", exception: Exception, **_: Any) -> None:
    span = current_span()
    if span is not None:
        span.fail(exception)
