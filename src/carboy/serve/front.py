"""The way from granian's calls to a WSGI application (PEP 3333): one call per request."""

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from carboy.problems import CONTENT_TYPE, Problem, render_problem
from carboy.serve.deadlines import Deadlines
from carboy.serve.request_bodies import Body, length_of
from carboy.web.http.request_ids import choose_request_id

__all__ = ["Door", "Exchange"]

_AT_ONCE_BYTES = 1_048_576

Headers = list[tuple[str, str]]


class Exchange(Protocol):
    """Granian's side of one request. The first answer is sent; any further one is dropped."""

    def response_bytes(self, status: int, headers: Headers, body: bytes, /) -> None:
        """Send a whole answer."""

    def response_iter(self, status: int, headers: Headers, body: Any, /) -> None:
        """Send an answer piece by piece, then close what gives the pieces."""


class Door:
    """Calls the application, and knows how many requests are inside.

    Args:
        app: the WSGI application.
        body_timeout_s: how long a request may wait for its body.
        deadlines: who ends such a wait.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], body_timeout_s: float, deadlines: Deadlines) -> None:
        self._app, self._body_timeout_s, self._deadlines = app, body_timeout_s, deadlines
        self._inside = 0
        self._lock = threading.Lock()
        self._has_emptied = threading.Event()
        self._is_draining = False
        self._base: dict[str, Any] = {
            "SCRIPT_NAME": "",
            "SERVER_SOFTWARE": "carboy",
            "wsgi.errors": sys.stderr,
            "wsgi.input_terminated": True,
            "wsgi.multiprocess": False,
            "wsgi.multithread": True,
            "wsgi.run_once": False,
            "wsgi.version": (1, 0),
        }

    def __call__(self, exchange: Exchange, scope: dict[str, Any]) -> None:
        """Answer one request; called by granian in one of its threads."""
        with self._lock:
            self._inside += 1
        environ = {**self._base, **scope}
        try:
            self._answer(exchange, environ)
        except Exception:
            logging.getLogger(__name__).exception("request_failed")
            exchange.response_bytes(*_refuse(500, "the server failed to answer", environ))
        finally:
            with self._lock:
                self._inside -= 1
                if self._is_draining and not self._inside:
                    self._has_emptied.set()

    def begin_to_drain(self) -> None:
        """From now on ask every client to close its connection."""
        with self._lock:
            self._is_draining = True
            if not self._inside:
                self._has_emptied.set()

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Wait until no request is inside; return whether it came to that. Nobody comes in any more."""
        return self.is_empty or self._has_emptied.wait(timeout_s)

    @property
    def is_empty(self) -> bool:
        """Whether no request is inside."""
        return self._inside == 0

    def _answer(self, exchange: Exchange, environ: dict[str, Any]) -> None:
        if environ.get("HTTP_TRANSFER_ENCODING", "chunked").strip().lower() != "chunked":
            # hyper takes any list with `chunked` in it; a proxy in front may read another end of the body
            exchange.response_bytes(*_refuse(400, "the transfer coding is not `chunked` alone", environ))
            return

        def give_up() -> None:  # granian then closes the connection, and the thread that reads from it comes back
            exchange.response_bytes(*_refuse(408, "the body did not arrive in time", environ))

        environ["wsgi.input"] = Body(
            environ["wsgi.input"], length_of(environ), self._body_timeout_s, self._deadlines, give_up
        )
        answer = _Answer()
        parts = self._app(environ, answer.start)
        try:
            pieces = iter(parts)
            first = next(pieces, b"")  # a generator calls start_response only now
            if self._is_draining:
                answer.headers.append(("connection", "close"))
            if answer.length_bytes() <= _AT_ONCE_BYTES or isinstance(parts, list | tuple):
                exchange.response_bytes(answer.status, answer.headers, answer.written + first + b"".join(pieces))
            else:
                exchange.response_iter(answer.status, answer.headers, _Pieces(answer.written + first, pieces))
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()


class _Answer:
    """What `start_response` and `write` were told."""

    __slots__ = ("headers", "status", "written")

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.written = b""

    def start(self, status: str, headers: Headers, _exc_info: Any = None) -> Callable[[bytes], None]:
        self.status, self.headers = int(status[:3]), list(headers)
        return self._write

    def length_bytes(self) -> float:
        """Return what the application said about its length; infinity where it said nothing."""
        for name, value in self.headers:
            if name.lower() == "content-length":
                return int(value)
        return float("inf")

    def _write(self, data: bytes) -> None:
        self.written += data


class _Pieces:
    """The pieces of an answer as granian takes them."""

    __slots__ = ("_first", "_rest")

    def __init__(self, first: bytes, rest: Iterator[bytes]) -> None:
        self._first, self._rest = first, rest

    def __next__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        return next(self._rest)

    def close(self) -> None:
        """Do nothing: the door closes what the application returned."""


def _refuse(status: int, detail: str, environ: Mapping[str, Any]) -> tuple[int, Headers, bytes]:
    request_id = choose_request_id(environ.get("HTTP_X_REQUEST_ID"))
    headers = [("content-type", CONTENT_TYPE), ("x-request-id", request_id), ("connection", "close")]
    return status, headers, render_problem(Problem(status, detail), environ["PATH_INFO"], request_id)
