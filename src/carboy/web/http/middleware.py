"""WSGI middleware around every request: request id, limits, log line, metrics, trace.

It is WSGI middleware and not Flask hooks, so that responses that Flask makes before or after its hooks have the same
headers, are logged and counted; and because it costs a fifth of what hooks do.
"""

import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from carboy.logs import BoundLogger, bind_request_id, get_logger, reset_request_id
from carboy.problems import CONTENT_TYPE, Problem, render_problem
from carboy.web.http.client_address import bucket_of, client_address, set_prefix, set_scheme
from carboy.web.http.problem_responses import INTERNAL, too_many
from carboy.web.http.rate_limits import RateLimiter
from carboy.web.http.request_ids import choose_request_id
from carboy.web.metrics.registry import Counter, Histogram

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from carboy.trace import Span

log: BoundLogger = get_logger("carboy.request")

Headers = list[tuple[str, str]]
Probe = Callable[[], tuple[bytes, int, Mapping[str, str]] | None]
"""Returns the body, status and headers of a probe; None where the application answers it."""

_OF_MACHINES = frozenset({"/livez", "/readyz"})  # called every few seconds: never refused, never traced
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_READING = frozenset({"GET", "HEAD"})
_PROBLEM_HEADERS: Headers = [("Content-Type", CONTENT_TYPE)]


class Limits(NamedTuple):
    """Limits of requests.

    Attributes:
        max_body_bytes: of a path; by `Content-Length`, or of a body without one as it is read.
        rate: counts by client address; None for no limit.
        takes_compressed: whether compressed bodies are read at a path.
    """

    max_body_bytes: Callable[[str], int]
    rate: RateLimiter | None
    takes_compressed: Callable[[str], bool]


class RequestTracing(Protocol):
    """Begins and ends the span of each request."""

    def begin(self, environ: "WSGIEnvironment") -> "Span":
        """Return the span of a request, begun."""
        ...

    def end(self, span: "Span", environ: "WSGIEnvironment", status: int, path: str, size_bytes: int) -> None:
        """End the span of a request that was answered."""
        ...


@dataclass(slots=True)
class RequestMiddleware:
    """WSGI middleware around an application; each part of it can be left out.

    Attributes:
        inner: the application.
        trusted_proxies: how many proxies append to `X-Forwarded-For`.
        trusts_prefix: whether one of them replaces `X-Forwarded-Prefix` with the prefix that it removed from the path.
        limits: those that are checked before the application.
        requests: counts by method, route and status.
        durations: of each method and route.
        is_logged: whether each request gets a line.
        sends_request_id: whether each response carries `X-Request-Id`.
        replaces_request_id: whether it does so in place of the application's own.
        forbids_sniffing: whether each response carries `X-Content-Type-Options: nosniff`.
        probes: answered by path, before any limit and the application.
        show_path: masks secrets in a path.
        tracing: begins and ends the span of each request.
        propagates: whether an exception of the application is raised again, for a debugger or a test client.
        passes_refusals: whether a refused request goes through the application's `after_request` functions and error
            handlers, with the refusal as `carboy.refusal` of the environ.
        error_page: returns an error as HTML with its headers, for a client that asks for it.
    """

    inner: "WSGIApplication"
    trusted_proxies: int = 0
    trusts_prefix: bool = False
    limits: Limits | None = None
    requests: Counter | None = None
    durations: Histogram | None = None
    is_logged: bool = False
    sends_request_id: bool = True
    replaces_request_id: bool = True
    forbids_sniffing: bool = True
    probes: dict[str, Probe] = field(default_factory=dict)
    show_path: Callable[[str], str] = str
    tracing: "RequestTracing | None" = None
    propagates: "Callable[[WSGIEnvironment], bool]" = bool
    passes_refusals: "Callable[[WSGIEnvironment], bool]" = lambda _environ: False
    error_page: "Callable[[Mapping[str, Any], Problem], tuple[bytes, Mapping[str, str]] | None] | None" = None

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request."""
        exchange = _Exchange(self, environ, start_response)
        token = bind_request_id(exchange.request_id)
        span = exchange.span
        inside = None if span is None else span.enter()
        try:
            body = self._answer(environ, exchange)
            if exchange.size_bytes < 0:  # a stream: it ends when it was read
                return _Stream(body, exchange)
            exchange.end()
            return body
        finally:
            if span is not None:
                span.leave(inside)
            reset_request_id(token)

    def _answer(self, environ: "WSGIEnvironment", exchange: "_Exchange") -> Iterable[bytes]:
        probe = self.probes.get(environ.get("PATH_INFO", "")) if environ["REQUEST_METHOD"] in _READING else None
        result = None if probe is None else probe()
        if result is not None:
            return exchange.answer_probe(*result)
        refusal = self.refusal(environ)
        if refusal is not None:
            if not self.passes_refusals(environ):
                return exchange.answer_problem(refusal)
            environ["carboy.refusal"] = refusal
        elif self.limits is not None and not environ.get("CONTENT_LENGTH") and "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input"] = _AtMost(environ["wsgi.input"], environ["carboy.max_body_bytes"])
        try:
            return self.inner(environ, exchange.start)
        except Exception as error:
            if exchange.span is not None:
                exchange.span.fail(error)
            if self.propagates(environ):
                exchange.end()
                raise
            log.error("request_failed", exc_info=error)
            if exchange.status:  # the head is out: the server must cut the connection
                exchange.end()
                raise
            return exchange.answer_problem(Problem(500, INTERNAL))

    def refusal(self, environ: "WSGIEnvironment") -> Problem | None:
        """Return why a request is refused; None when it is accepted."""
        limits = self.limits
        if limits is None:
            return None
        if limits.rate is not None and environ.get("PATH_INFO") not in _OF_MACHINES:
            wait_s = limits.rate.take(bucket_of(environ["REMOTE_ADDR"]))
            if wait_s:
                return too_many(wait_s)
        encoding = environ.get("HTTP_CONTENT_ENCODING")
        is_compressed = encoding is not None and encoding.strip().lower() not in {"", "identity"}
        if is_compressed and not limits.takes_compressed(environ.get("PATH_INFO", "")):
            return Problem(
                415, "a compressed body is not read: send it as it is", headers={"Accept-Encoding": "identity"}
            )
        length, coding = environ.get("CONTENT_LENGTH"), environ.get("HTTP_TRANSFER_ENCODING")
        if (not length or length == "0") and coding is None:
            return None
        limit = environ["carboy.max_body_bytes"] = limits.max_body_bytes(environ.get("PATH_INFO", ""))
        if length and length.isdecimal() and int(length[:20]) > limit:
            return Problem(413, f"the body is larger than {limit} bytes")
        return None


class _AtMost(io.RawIOBase):
    """A body of unknown length: 413 where it is larger than allowed, where werkzeug would truncate it silently."""

    def __init__(self, stream: Any, limit_bytes: int) -> None:
        super().__init__()
        self._stream, self._left_bytes = stream, limit_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._stream.read(min(len(view), self._left_bytes))
        self._left_bytes -= len(data)
        if self._left_bytes == 0 and self._stream.read(1):
            from werkzeug.exceptions import RequestEntityTooLarge

            raise RequestEntityTooLarge
        view[: len(data)] = data
        return len(data)


class _Exchange:
    """One request and its response."""

    __slots__ = (
        "_environ",
        "_middleware",
        "_start_response",
        "_started",
        "request_id",
        "route",
        "size_bytes",
        "span",
        "status"
    )  # fmt: skip

    def __init__(
        self, middleware: RequestMiddleware, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> None:
        self._started = time.perf_counter()
        self._middleware, self._environ, self._start_response = middleware, environ, start_response
        self.status = self.route = ""
        self.size_bytes = -1
        self.request_id = environ["carboy.request_id"] = choose_request_id(environ.get("HTTP_X_REQUEST_ID"))
        peer = environ.get("REMOTE_ADDR") or ""
        if middleware.trusted_proxies:
            peer = client_address(peer, environ.get("HTTP_X_FORWARDED_FOR"), middleware.trusted_proxies)
            set_scheme(environ, middleware.trusted_proxies)
            if middleware.trusts_prefix:
                set_prefix(environ, middleware.trusted_proxies)
        environ["REMOTE_ADDR"] = peer
        tracing = None if environ.get("PATH_INFO") in _OF_MACHINES else middleware.tracing
        self.span: Span | None = None if tracing is None else tracing.begin(environ)

    def start(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
        """Begin the answer, as WSGI's `start_response`."""
        self.status = status
        self.size_bytes = -1
        request = self._environ.get("werkzeug.request")  # Flask removes it when the request ends
        rule = getattr(request, "url_rule", None)
        if rule is not None:
            self.route = rule.rule.replace("<carboy_", "<")  # our converters by what they take
        size = None
        middleware = self._middleware
        sends_request_id, forbids_sniffing = middleware.sends_request_id, middleware.forbids_sniffing
        for name, value in headers:
            lower = name.lower()
            if lower == "content-length":
                size = value
            elif lower == "x-content-type-options":
                forbids_sniffing = False  # it is there
            elif lower == "x-request-id" and not middleware.replaces_request_id:
                sends_request_id = False
            elif lower == "x-request-id":
                headers = [one for one in headers if one[0].lower() != "x-request-id"]
        if self._environ["REQUEST_METHOD"] == "HEAD" or status.startswith(("204", "304")):
            self.size_bytes = 0
        elif size is not None and size.isdecimal():
            self.size_bytes = int(size)
        if sends_request_id:
            headers.append(("X-Request-Id", self.request_id))
        if forbids_sniffing:
            headers.append(("X-Content-Type-Options", "nosniff"))
        return self._start_response(status, headers, exc_info) if exc_info else self._start_response(status, headers)

    def answer_probe(self, body: bytes, status: int, headers: Mapping[str, str]) -> list[bytes]:
        """Answer a probe, which the application did not see."""
        self.route = self._environ["PATH_INFO"]
        self.start(f"{status} {HTTPStatus(status).phrase}", [*headers.items(), ("Content-Length", str(len(body)))])
        return [] if self._environ["REQUEST_METHOD"] == "HEAD" else [body]

    def answer_problem(self, problem: Problem) -> list[bytes]:
        """Answer with an error that the application did not see."""
        make_page = self._middleware.error_page
        page = make_page(self._environ, problem) if make_page is not None else None
        body = page[0] if page else render_problem(problem, self.path(), self.request_id)
        kind = list(page[1].items()) if page else _PROBLEM_HEADERS
        head = [*kind, ("Content-Length", str(len(body))), *problem.headers.items()]
        self.start(f"{problem.status} {problem.what}", head)
        return [] if self._environ["REQUEST_METHOD"] == "HEAD" else [body]

    def path(self) -> str:
        """Return the path as it may be shown."""
        environ = self._environ
        path = self._middleware.show_path(_text(environ.get("PATH_INFO", "")))
        root = environ.get("SCRIPT_NAME")
        return _text(root) + path if root else path

    def end(self) -> None:
        """Count and log the request."""
        middleware, environ = self._middleware, self._environ
        took_s = time.perf_counter() - self._started
        method = environ["REQUEST_METHOD"]
        code = self.status[:3] or "500"
        if middleware.requests is not None and middleware.durations is not None:
            labels = (method if method in _METHODS else "other", self.route)
            middleware.requests.inc((*labels, code))
            middleware.durations.observe(took_s, labels)
        if middleware.is_logged:
            log.info(
                "request",
                method=method,
                path=self.path(),
                status=int(code),
                duration_ms=round(took_s * 1000, 3),
                bytes=max(self.size_bytes, 0),
                client=environ["REMOTE_ADDR"],
            )
        if self.span is not None and middleware.tracing is not None:
            middleware.tracing.end(self.span, environ, int(code), self.path(), self.size_bytes)


class _Stream:
    """A body of unknown length: counted while it is read, over when it is closed."""

    __slots__ = ("_body", "_exchange", "_is_over")

    def __init__(self, body: Iterable[bytes], exchange: _Exchange) -> None:
        self._body, self._exchange, self._is_over = body, exchange, False

    def __iter__(self) -> Iterator[bytes]:
        exchange = self._exchange
        exchange.size_bytes = 0
        chunks = iter(self._body)
        while True:
            token = bind_request_id(exchange.request_id)  # generators log too
            inside = None if exchange.span is None else exchange.span.enter()
            try:
                chunk = next(chunks)
            except StopIteration:
                return
            except Exception as error:
                log.error("stream_failed", exc_info=error)
                if exchange.span is not None:
                    exchange.span.fail(error)
                raise
            finally:
                if exchange.span is not None:
                    exchange.span.leave(inside)
                reset_request_id(token)
            exchange.size_bytes += len(chunk)
            yield chunk

    def close(self) -> None:
        """End the request; servers call it whether or not the body was read to its end."""
        token = bind_request_id(self._exchange.request_id)
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            if not self._is_over:
                self._is_over = True
                self._exchange.end()
            reset_request_id(token)


def _text(path: str) -> str:
    """Return a WSGI path, whose bytes are Latin-1 characters, as text."""
    return path if path.isascii() else path.encode("latin-1", "replace").decode("utf-8", "replace")
