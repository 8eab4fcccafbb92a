"""What an application answers reaches the client with all its bytes and headers, in the form that the event wants."""

import gzip
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.serve.lambda_.apps import Pairs, Recorder, answered

from carboy.serve import lambda_handler
from carboy.testing import events

HTTP: dict[str, Any] = {
    "rest-v1": events.rest_v1,
    "http-v1": events.http_v1,
    "http-v2": events.http_v2,
    "url": events.function_url,
    "alb": events.alb,
    "alb-multi": lambda *args, **rest: events.alb(*args, multi_value=True, **rest),
}


@pytest.fixture(params=list(HTTP))
def make(request: pytest.FixtureRequest) -> Any:
    """Every HTTP event in turn."""
    return HTTP[request.param]


def sent_body(answer: dict[str, Any]) -> bytes:
    """Return the bytes that the platform sends."""
    body: str = answer["body"]
    return b64decode(body) if answer["isBase64Encoded"] else body.encode()


def sent_headers(answer: dict[str, Any]) -> Pairs:
    """Return the headers that the platform sends, in lower case."""
    pairs = [(name, value) for name, value in answer.get("headers", {}).items()]
    pairs += [(name, value) for name, values in answer.get("multiValueHeaders", {}).items() for value in values]
    pairs += [("set-cookie", value) for value in answer.get("cookies", [])]
    return [(name.lower(), value) for name, value in pairs]


@pytest.mark.parametrize(
    ("content_type", "body", "is_base64"),
    [
        ("text/plain; charset=utf-8", "grüße".encode(), False),
        ("text/html", b"<p>", False),
        ("application/json", b"{}", False),
        ("application/problem+json", b"{}", False),
        ("application/vnd.api+json; charset=utf-8", b"{}", False),
        ("application/javascript", b"1;", False),
        ("image/svg+xml", b"<svg/>", False),
        ("application/xml", b"<a/>", False),
        ("text/plain; charset=iso-8859-1", b"gr\xfc\xdfe", True),
        ("text/plain; charset=iso-8859-1", b"plain", False),
        ("text/plain; charset=utf-16", "hi".encode("utf-16"), True),
        ("text/plain", b"\xff\xfe", True),
        ("image/png", b"\x89PNG", True),
        ("application/octet-stream", b"\x00\x01", True),
    ],
)
def test_every_body_keeps_its_bytes(make: Any, content_type: str, body: bytes, is_base64: bool) -> None:
    """Text goes as text, all else in base64: also where the charset is not UTF-8, and on REST APIs."""
    answer = answered(make(), Recorder(headers=[("Content-Type", content_type)], body=body))

    assert sent_body(answer) == body
    assert answer["isBase64Encoded"] is is_base64


def test_what_is_compressed_is_base64(make: Any) -> None:
    body = gzip.compress(b"{}")
    headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")]

    answer = answered(make(), Recorder(headers=headers, body=body))

    assert answer["isBase64Encoded"] is True
    assert sent_body(answer) == body


def test_every_cookie_arrives(make: Any) -> None:
    headers = [
        ("Content-Type", "text/plain"),
        ("Set-Cookie", "a=1; Path=/"),
        ("Set-Cookie", "b=2"),
        ("set-cookie", "c=3"),
    ]

    answer = answered(make(), Recorder(headers=headers))

    assert [value for name, value in sent_headers(answer) if name == "set-cookie"] == ["a=1; Path=/", "b=2", "c=3"]


def test_other_repeated_headers_arrive(make: Any) -> None:
    headers = [("Content-Type", "text/plain"), ("Link", "<a>"), ("Link", "<b>")]

    answer = answered(make(), Recorder(headers=headers))

    values = [value for name, value in sent_headers(answer) if name == "link"]
    assert ", ".join(values) == "<a>, <b>"


def test_each_form_has_its_own_place_for_cookies() -> None:
    headers = [("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]

    forms = {kind: answered(make(), Recorder(headers=headers)) for kind, make in HTTP.items()}

    assert forms["http-v2"]["cookies"] == forms["url"]["cookies"] == ["a=1", "b=2"]
    assert forms["rest-v1"]["multiValueHeaders"]["Set-Cookie"] == ["a=1", "b=2"]
    assert forms["alb-multi"]["multiValueHeaders"]["Set-Cookie"] == ["a=1", "b=2"]
    assert "multiValueHeaders" not in forms["alb"]
    assert "headers" not in forms["alb-multi"]


def test_a_load_balancer_gets_a_description_of_the_status() -> None:
    assert answered(events.alb(), Recorder("418 I'm a Teapot"))["statusDescription"] == "418 I'm a Teapot"
    assert lambda_handler(Recorder("404 "))(events.alb())["statusDescription"] == "404 Not Found"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_without_body_gets_neither_body_nor_type(make: Any, status: str) -> None:
    answer = answered(make(), Recorder(status, [("ETag", '"1"')], b""))

    assert answer["statusCode"] == int(status[:3])
    assert answer["body"] == ""
    assert not answer["isBase64Encoded"]
    assert sent_headers(answer) == [("etag", '"1"')]


def test_head_has_no_body_but_its_length(make: Any) -> None:
    """Also when the application forgot that HEAD has none."""
    answer = lambda_handler(Recorder(body=b"x" * 12))(make("HEAD"))

    assert answer["body"] == ""
    assert ("content-length", "12") in sent_headers(answer)


def test_header_values_in_utf_8_arrive_as_text(make: Any) -> None:
    headers = [("Content-Type", "text/plain"), ("X-Name", "é".encode().decode("latin-1"))]

    assert ("x-name", "é") in sent_headers(answered(make(), Recorder(headers=headers)))


def test_what_was_written_comes_before_what_is_returned(make: Any) -> None:
    def application(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"first, ")
        return [b"second"]

    assert sent_body(answered(make(), application)) == b"first, second"


def test_a_streamed_body_is_whole_and_closed(make: Any) -> None:
    class Stream:
        is_closed = False

        def __iter__(self) -> Iterator[bytes]:
            yield from (b"a", b"", b"b")

        def close(self) -> None:
            self.is_closed = True

    stream = Stream()

    def application(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return stream

    assert sent_body(answered(make(), application)) == b"ab"
    assert stream.is_closed


def test_an_application_may_start_its_answer_with_the_first_chunk(make: Any) -> None:
    def application(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"late"

    assert sent_body(answered(make(), application)) == b"late"


def test_an_error_reported_late_replaces_the_answer(make: Any) -> None:
    """Nothing has been sent yet, so the client gets a whole error and no half answer."""

    def application(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"half"
        try:
            raise ValueError("broken")
        except ValueError:
            start_response("503 Service Unavailable", [("Content-Type", "text/plain")], sys.exc_info())
        yield b"sorry"

    answer = answered(make(), application)

    assert (answer["statusCode"], sent_body(answer)) == (503, b"sorry")


def test_a_body_is_closed_when_it_breaks() -> None:
    class Broken:
        is_closed = False

        def __iter__(self) -> Iterator[bytes]:
            raise RuntimeError("broken")

        def close(self) -> None:
            self.is_closed = True

    body = Broken()

    def application(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [])
        return body

    answer = lambda_handler(application)(events.http_v2())

    assert answer["statusCode"] == 500
    assert body.is_closed


@pytest.mark.parametrize("calls", [0, 2])
def test_an_application_that_breaks_pep_3333_is_an_error(calls: int) -> None:
    def application(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        for _ in range(calls):
            start_response("200 OK", [])
        return []

    assert lambda_handler(application)(events.rest_v1())["statusCode"] == 500
