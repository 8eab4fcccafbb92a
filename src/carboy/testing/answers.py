"""Requests and responses of a server on loopback as values, with every kind of fault.

Sending them is left to `http_server`.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cached_property
from http.client import responses
from threading import Event
from typing import Any, Literal
from urllib.parse import parse_qsl

Place = Literal["start", "headers", "body"]
"""How far an answer gets: nothing of it, half of its headers, or its headers and half of its body."""

_FRAMING = {"content-length", "transfer-encoding"}


@dataclass(frozen=True)
class Request:
    """A request as it arrived.

    Attributes:
        method: in the caller's own case.
        target: path and query, still percent-encoded.
        headers: by lower-case name; repeated ones joined by a comma and a space.
        body: the bytes, freed of chunks.
        at_s: when it was complete, by the monotonic clock.
        connection: which connection brought it, from 1.
    """

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    at_s: float = 0.0
    connection: int = 1

    @property
    def path(self) -> str:
        """Return the target without its query, still percent-encoded."""
        return self.target.partition("?")[0]

    @cached_property
    def query(self) -> dict[str, str]:
        """Return the query's parameters, decoded; of repeated ones the last."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    def json(self) -> Any:
        """Return the body, decoded from JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it should be; `Content-Length` is added where `headers` have none.

    Attributes:
        status: 200 to 599.
        body: the bytes as they are sent.
        headers: name to value, sent in this order.
        delay_s: how long to wait before the first byte.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Stall:
    """Send the answer up to a place, then nothing more, and keep the connection open."""

    at: Place = "start"
    answer: Answer = Answer(body=b"half of this is never sent")


@dataclass(frozen=True, slots=True)
class Cut:
    """Send the answer up to a place, then close the connection, or reset it (the peer reads `ECONNRESET`)."""

    at: Place = "start"
    answer: Answer = Answer(body=b"half of this is never sent")
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Drip:
    """Send the answer whole, but `size` bytes every `every_s` seconds; only the body with `headers_at_once`."""

    answer: Answer
    every_s: float = 0.01
    size: int = 1
    headers_at_once: bool = True


@dataclass(frozen=True, slots=True)
class Raw:
    """Send bytes that need not be HTTP at all, then close the connection."""

    data: bytes = b"\x16\x03garbage\r\nnot: http\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Hold:
    """Answer when the test sets the event: for tests of what happens meanwhile."""

    until: Event
    answer: Answer = Answer()


Step = Answer | Stall | Cut | Drip | Raw | Hold


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer whose body is a value as JSON."""
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})


def come_back_later(status: int = 429, after_s: int = 1, as_date: bool = False, now_s: float | None = None) -> Answer:
    """Return a 429 or 503 with `Retry-After`.

    Args:
        status: 429, 503 or any other.
        after_s: the seconds to wait.
        as_date: send an HTTP date instead of seconds.
        now_s: the wall clock to count the date from, seconds since the epoch; None for the machine's own.

    Source: RFC 9110, section 10.2.3.
    """
    if not as_date:
        return Answer(status, headers={"Retry-After": str(after_s)})
    date = formatdate(after_s + (now_s if now_s is not None else time.time()), usegmt=True)
    return Answer(status, headers={"Retry-After": date})


def redirect(location: str, status: int = 302) -> Answer:
    """Return a redirect; one whose location is the path it answers goes in circles."""
    return Answer(status, headers={"Location": location})


def render(answer: Answer, method: str = "GET") -> tuple[bytes, bytes]:
    """Return the head and the body of an answer as they go over the wire."""
    lines = [f"HTTP/1.1 {answer.status} {responses.get(answer.status, '')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    has_body = answer.status >= 200 and answer.status not in {204, 304}
    if has_body and not any(name.lower() in _FRAMING for name in answer.headers):
        lines.append(f"Content-Length: {len(answer.body)}")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head, answer.body if has_body and method != "HEAD" else b""


def render_until(answer: Answer, place: Place, method: str = "GET") -> bytes:
    """Return the bytes of an answer up to a place within it."""
    head, body = render(answer, method)
    match place:
        case "start":
            return b""
        case "headers":
            return head[: len(head) // 2]
        case "body":
            return head + body[: len(body) // 2]
