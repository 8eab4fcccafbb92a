"""Outgoing webhooks: signatures, attempts, and what follows from them."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from carboy.net import AddressGuard
from carboy.testing import Answer, LoopbackServer
from carboy.testing.answers import Cut, Raw, Step
from carboy.webhooks import RETRY_SCHEDULE_S, Attempt, Progress, WebhookClient, advance, next_wait_s, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
Serve = Callable[[Step], LoopbackServer]
_HEADERS = {"Content-Type": "application/json"}


def test_the_specification_s_library_verifies_each_secret() -> None:
    """While a secret is being replaced, a receiver that knows either of the two can verify."""
    now_s = int(time.time())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now_s)}
    headers["webhook-signature"] = sign([SECRET, OTHER], "msg_1", now_s, b'{"a":1}')

    assert Webhook(SECRET).verify(b'{"a":1}', headers) == {"a": 1}
    assert Webhook(OTHER).verify(b'{"a":1}', headers) == {"a": 1}


def test_the_schedule_is_that_of_standard_webhooks() -> None:
    waits = [next_wait_s(made, jitter=lambda: 0.0) for made in range(11)]

    assert waits == [0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400, None]
    assert next_wait_s(1, retry_after_s=7.0) == 7.0
    assert next_wait_s(1, retry_after_s=1e9) == 3600.0


@given(st.integers(0, 9), st.floats(0, 1))
def test_jitter_only_shortens_a_wait_by_a_tenth(made: int, jitter: float) -> None:
    wait_s = next_wait_s(made, jitter=lambda: jitter)

    assert wait_s is not None
    assert RETRY_SCHEDULE_S[made] * 0.9 <= wait_s <= RETRY_SCHEDULE_S[made]


@pytest.fixture
def served() -> Iterator[Serve]:
    """Starts a receiver with a standing answer."""
    with ExitStack() as stack:
        yield lambda step: stack.enter_context(LoopbackServer(step))


def failed(at_ms: int = 0, **more: object) -> Attempt:
    return replace(Attempt(at_ms, 10, 500, "the receiver answered 500"), **more)  # type: ignore[arg-type]


def test_the_circuit_opens_after_five_failures_for_30_s_and_then_for_longer() -> None:
    progress = Progress()
    for _ in range(4):
        progress = advance(progress, failed())
    assert progress.open_until is None

    progress = advance(progress, failed())
    assert progress.open_until == 10 + 30_000
    assert advance(progress, failed(31_000)).open_until == 31_010 + 60_000
    assert advance(progress, Attempt(31_000, 5, 200)) == Progress()


def test_failures_in_flight_do_not_open_it_for_longer() -> None:
    progress = Progress()
    for _ in range(8):
        progress = advance(progress, failed())

    assert progress.open_until == 30_010
    assert advance(progress, failed(31_000)).open_until == 31_010 + 60_000
    late = advance(progress, failed(0, duration_ms=40_000))
    assert late.open_until == 30_010, "it began before the breaker opened"
    assert advance(late, failed(41_000)).open_until == 41_010 + 60_000


def test_what_is_under_way_when_the_circuit_opens_still_pauses_and_holds() -> None:
    progress = Progress()
    for _ in range(5):
        progress = advance(progress, failed())

    assert "410" in advance(progress, failed(status=410)).paused
    assert advance(progress, failed(status=503, retry_after_s=600.0)).hold_until == 600_010
    assert advance(progress, Attempt(0, 5, 200)) == Progress()


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"HTTP/1.1 2a0 OK\r\n\r\n",
        b"HTTP/1.1 000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ],
)
def test_what_is_not_http_is_a_failure_that_says_so(served: Serve, sent: bytes) -> None:
    attempt = WebhookClient(served(Raw(sent)).url, guard=None, timeout_s=5.0).post(b"{}", {}, webhook_id="1")

    assert (attempt.status, attempt.error) == (None, "no whole response came: the response is not valid HTTP")


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints", b"199 Odd"])
@pytest.mark.parametrize("times", [1, 3])
def test_the_final_status_counts_and_not_an_interim_one(served: Serve, interim: bytes, times: int) -> None:
    """RFC 9110, 15.2: a client reads past responses of 1xx that it did not expect."""
    head = b"HTTP/1.1 " + interim + b"\r\nLink: </style.css>; rel=preload\r\n\r\n"
    final = b"HTTP/1.1 %d X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"  # as this server does after it
    http_server = served(Answer())
    http_server.script(Raw(head * times + final % 200), Raw(head * times + final % 503), Raw(head))
    client = WebhookClient(http_server.url, guard=None, timeout_s=5.0)

    attempts = [client.post(b"{}", _HEADERS, webhook_id="1") for _ in range(3)]

    assert [(one.status, one.response) for one in attempts] == [(200, b"ok"), (503, b"ok"), (None, b"")]
    assert [one.is_delivered for one in attempts] == [True, False, False]


def test_a_protocol_that_was_not_asked_for_is_a_failure_and_ends_the_connection(served: Serve) -> None:
    upgrade = Answer(101, b"", {"Upgrade": "websocket", "Connection": "upgrade"})
    http_server = served(Answer())
    http_server.script(upgrade)
    client = WebhookClient(http_server.url, guard=None)

    attempts = [client.post(b"{}", _HEADERS, webhook_id="1") for _ in range(2)]

    assert [one.status for one in attempts] == [101, 200]
    assert [request.connection for request in http_server.requests] == [1, 2]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://nowhere.invalid/", "the host's name was not found"),
        ("http://127.0.0.1:{closed}/", "the server refused the connection"),
        ("https://127.0.0.1:{signed}/", "the server's certificate is not valid: "),
        ("http://127.0.0.1:{cut}/", "the server ended the connection"),
        ("http://127.0.0.1:{reset}/", "the server ended the connection"),
    ],
)
def test_an_attempt_without_a_response_says_why(served: Serve, url: str, words: str) -> None:
    """And not with the class of an exception, which is the same for all of these."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    with LoopbackServer(Answer(), tls=tls) as signed, socket.create_server(("127.0.0.1", 0)) as closed:
        ports = {"signed": signed.port, "closed": closed.getsockname()[1]}
        ports |= {"cut": served(Cut()).port, "reset": served(Cut(reset=True)).port}
        closed.close()

        attempt = WebhookClient(url.format(**ports), guard=None, timeout_s=5.0).post(b"{}", {}, webhook_id="1")

        assert attempt.status is None
        assert words in attempt.error


def test_410_and_five_days_of_failure_pause() -> None:
    assert "410" in advance(Progress(), failed(status=410)).paused
    first = advance(Progress(), failed())
    assert not advance(first, failed(5 * 86_400_000 - 1)).paused
    assert "five days" in advance(first, failed(5 * 86_400_000)).paused


def test_retry_after_holds_for_an_hour_at_most() -> None:
    assert advance(Progress(), failed(status=503, retry_after_s=60.0)).blocked_until() == 60_010
    assert advance(Progress(), failed(status=429, retry_after_s=1e9)).blocked_until() == 3_600_010


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_2xx_is_taken(served: Serve, status: int) -> None:
    http_server = served(Answer(status))

    attempt = WebhookClient(http_server.url, guard=None).post(b"{}", _HEADERS, webhook_id="1", secrets=[SECRET])

    assert attempt.is_delivered
    assert attempt.status == status
    [request] = http_server.requests
    names = {name.lower() for name in request.headers}
    assert {"webhook-id", "webhook-timestamp", "webhook-signature", "traceparent"} <= names


def test_a_redirect_is_a_failure_and_is_not_followed(served: Serve) -> None:
    http_server = served(Answer(307, headers={"Location": "/elsewhere"}))

    attempt = WebhookClient(http_server.url, guard=None).post(b"{}", _HEADERS, webhook_id="1")

    assert attempt.error == "the receiver answered 307"
    assert len(http_server.requests) == 1


def test_an_echo_of_the_secrets_is_masked_and_cut(served: Serve) -> None:
    http_server = served(Answer(500, f"x {SECRET} {SECRET[6:]} user:pa55word ".encode() + b"y" * 9000))
    url = http_server.url.replace("://", "://user:pa55word@")

    attempt = WebhookClient(url, guard=None).post(b"{}", _HEADERS, webhook_id="1", secrets=[SECRET])

    assert len(attempt.response) == 4096
    assert SECRET[6:].encode() not in attempt.response
    assert b"pa55word" not in attempt.response


def test_a_forbidden_address_is_an_attempt_that_failed(served: Serve) -> None:
    http_server = served(Answer())

    attempt = WebhookClient(http_server.url, guard=AddressGuard()).post(b"{}", _HEADERS, webhook_id="1")

    assert attempt.status is None
    assert "not an address on the public internet" in attempt.error
    assert http_server.requests == []
