"""Spans: operations with start, end and parent; and the current span of this context."""

import os
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from dataclasses import KW_ONLY, InitVar, dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self
from urllib.parse import urlsplit

from carboy.redact import mask_text
from carboy.trace.exceptions import describe_failure
from carboy.trace.sanitize import clean_key, clean_name, clean_value

Namespace = Literal["", "aws", "remote"]

_current: ContextVar["Span | None"] = ContextVar("carboy_span", default=None)
current_span: Callable[[], "Span | None"] = _current.get
"""Return the span that this code works in; None outside of one."""
set_current: Callable[["Span | None"], Token["Span | None"]] = _current.set

_MAX_ANNOTATIONS = 50


def new_span_id() -> str:
    """Return 16 hexadecimal digits, from the kernel: a fork or a restored snapshot does not repeat them."""
    return os.urandom(8).hex()


def new_trace_id() -> str:
    """Return the id of a trace that begins now."""
    return f"1-{int(time.time()):08x}-{os.urandom(12).hex()}"


class Sink(Protocol):
    """What spans come from and are handed to when they end: a tracer."""

    def close(self, span: "Span") -> None:
        """Send a span that has ended."""
        ...

    def begin_child(self, parent: "Span", name: str, namespace: Namespace = "") -> "Span":
        """Begin a span within another; the name is clean already."""
        ...


@dataclass(slots=True, eq=False, repr=False)
class Span:
    """One operation; in a `with` block it is the current span.

    Attributes:
        tracer: who sends it.
        within: the span that it is within, if that is one of this process.
        root: the first span of this trace in this process: the segment; itself, where it is that.
        id: 16 hexadecimal digits.
        parent_id: of the span that it is within; empty where it has none.
        name: cleaned.
        namespace: `aws` or `remote` for a call to another service.
        is_segment: whether it is a service's own piece; else it is a subsegment, within one.
        trace_id: in X-Ray's form.
        is_sampled: whether it is sent.
        state: `tracestate` of the caller; only the root's counts.
        lineage: AWS Lambda's `Lineage`, by which AWS finds functions that call themselves; only the root's counts.
        is_pass_through: whether no service has decided about sampling, so that only the id is propagated; the root's
            counts.
        is_over: whether it has ended.
        facts: the further blocks of its document: `http`, `aws`, `sql`, `cause`, `error`, `fault`, `throttle`.
        annotations: what traces are searched by.
        metadata: what is only shown.
    """

    tracer: Sink
    name: str
    trace_id: str
    parent_id: str = ""
    _: KW_ONLY
    within: InitVar["Span | None"] = None
    root: "Span" = field(init=False)
    namespace: Namespace = ""
    is_segment: bool = False
    is_sampled: bool = True
    state: str = ""
    lineage: str = ""
    is_pass_through: bool = field(default=False, init=False)
    id: str = field(default_factory=new_span_id, init=False)
    is_over: bool = field(default=False, init=False)
    facts: dict[str, Any] | None = field(default=None, init=False)
    annotations: dict[str, str | int | float | bool] | None = field(default=None, init=False)
    metadata: dict[str, Any] | None = field(default=None, init=False)
    failure: tuple[BaseException, str] | None = field(default=None, init=False)
    start_s: float = field(default_factory=time.time, init=False)
    end_s: float = field(default=0.0, init=False)
    _tokens: list[Any] | None = field(default=None, init=False)

    def __post_init__(self, within: "Span | None") -> None:
        self.root = self if within is None else within.root

    def enter(self) -> Any:
        """Make it the span that this context works in; give the token to `leave`."""
        return _current.set(self)

    def leave(self, token: Any) -> None:
        """Go back to the span before; a generator may do so in another context than the one it entered."""
        try:
            _current.reset(token)
        except (ValueError, RuntimeError):
            if _current.get() is self:
                _current.set(None if token.old_value is Token.MISSING else token.old_value)

    def end(self) -> None:
        """End and send it, once; later changes are not sent."""
        if self.is_over:
            return
        self.is_over = True
        if self.is_sampled:
            self.end_s = time.time()
            try:  # noqa: SIM105 (on every traced call: `suppress` takes 5 % of its time)
                self.tracer.close(self)
            except Exception:  # noqa: BLE001, S110 (what cannot be shown of the work must not fail it)
                pass
        self.failure = None

    def __enter__(self) -> Self:
        if self._tokens is None:
            self._tokens = []
        self._tokens.append(self.enter())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tokens:
            self.leave(self._tokens.pop())
        if error is not None:
            self.fail(error)
        self.end()

    def add(self, **facts: Any) -> None:
        """Put blocks of X-Ray's document on it, such as `http` or `aws`."""
        self.facts = {**self.facts, **facts} if self.facts else facts

    def annotate(self, **facts: object) -> None:
        """Add annotations, by which traces are searched: at most 50, cleaned to what X-Ray accepts."""
        if not self.is_sampled:
            return
        kept = self.annotations if self.annotations is not None else {}
        self.annotations = kept
        for key, value in facts.items():
            cleaned = clean_key(key)
            if cleaned and (cleaned in kept or len(kept) < _MAX_ANNOTATIONS):
                kept[cleaned] = clean_value(cleaned, value)

    def add_metadata(self, **facts: Any) -> None:
        """Add metadata; it is dropped first where the document is too large."""
        if self.is_sampled:
            self.metadata = {**(self.metadata or {}), **facts}

    def add_request(self, method: str, url: str, **more: Any) -> None:
        """Set the HTTP request; credentials, query and fragment of the URL are dropped, secrets in its path masked."""
        self._add_http(request={"method": method.upper(), "url": mask_text(bare_url(url)), **more})

    def add_response(self, status: int, **more: Any) -> None:
        """Set the HTTP response: 4xx is an error, 429 a throttle, 5xx a fault."""
        self._add_http(response={"status": status, **more})
        if status == 429:
            self.add(error=True, throttle=True)
        elif 400 <= status < 500:
            self.add(error=True)
        elif status >= 500:
            self.add(fault=True)

    def fail(self, error: BaseException, flags: Mapping[str, bool] | None = None) -> None:
        """Record the error that ended the span; one that an inner span has recorded is only referred to.

        Args:
            error: an Exception; others, such as the end of a generator, are no failures.
            flags: `error`, `throttle` or `fault`; a fault by default.
        """
        if not self.is_sampled or not isinstance(error, Exception):
            return
        recorded = self.root.failure
        self.add(**(flags or {"fault": True}))
        if recorded is not None and recorded[0] is error:
            self.add(cause=recorded[1])
        else:
            cause = describe_failure(error, new_span_id)
            self.root.failure = error, cause["exceptions"][0]["id"]
            self.add(cause=cause)

    def child(self, name: str, namespace: Namespace = "") -> "Span":
        """Begin a span within this one."""
        return self.tracer.begin_child(self, clean_name(name), namespace)

    def _add_http(self, **block: Any) -> None:
        known = self.facts.get("http", {}) if self.facts else {}
        self.add(http={**known, **block})


def bare_url(url: str) -> str:
    """Return a URL without credentials, query and fragment."""
    bare = url.partition("?")[0].partition("#")[0]
    if "@" not in bare:
        return bare
    parts = urlsplit(bare)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
