"""Servers that stall, reset, cut and lie: every call ends, in time, with what really happened."""

import io
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest
import requests
from urllib3 import Retry

from carboy import net
from carboy.errors import UsageError
from carboy.testing import (
    Answer,
    Cut,
    LoopbackServer,
    Raw,
    Stall,
    closed_port,
    come_back_later,
    deaf_port,
    redirect,
)
from carboy.testing.answers import Place
from carboy.testing.clock import ManualClock

ONCE = {"retries": 0}


@pytest.mark.parametrize("place", ["start", "headers", "body"])
def test_an_answer_that_stalls_ends_in_time(loopback: LoopbackServer, place: Place) -> None:
    """Wherever it stops; the call is over long before the server would be."""
    loopback.script(Stall(place))

    with pytest.raises((requests.Timeout, requests.ConnectionError)):
        net.get(loopback.url, timeout=0.1, retries=0)


def test_connecting_ends_in_time() -> None:
    """A server that takes no connection is given up after the time to connect, not after that to read."""
    with deaf_port() as port, pytest.raises(requests.ConnectTimeout):
        net.get(f"http://127.0.0.1:{port}", timeout=(0.1, 60), retries=0)


@pytest.mark.parametrize("place", ["start", "headers", "body"])
@pytest.mark.parametrize("reset", [False, True])
def test_an_answer_that_is_cut_is_an_error(loopback: LoopbackServer, place: Place, reset: bool) -> None:
    """And never an empty 200."""
    loopback.script(Cut(place, reset=reset))

    with pytest.raises(requests.exceptions.ChunkedEncodingError if place == "body" else requests.ConnectionError):
        net.get(loopback.url, retries=0)


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX-A: 1\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1"]
)
def test_headers_that_end_with_the_connection_are_an_error(loopback: LoopbackServer, head: bytes) -> None:
    """`http.client` alone takes them for whole: an empty 200, or a length of 1 where it was 17."""
    loopback.script(Raw(head))

    with pytest.raises(requests.ConnectionError):
        net.get(loopback.url, retries=0)


def test_what_is_no_http_is_an_error(loopback: LoopbackServer) -> None:
    """Not an answer with a strange status."""
    loopback.script(Raw())

    with pytest.raises(requests.ConnectionError):
        net.get(loopback.url, retries=0)


@pytest.mark.parametrize("step", [Cut("start", reset=True), Cut("headers"), Cut("body"), Stall("body")])
def test_a_get_is_tried_again_after_a_broken_answer(loopback: LoopbackServer, step: Cut | Stall) -> None:
    """The body belongs to the answer: one that was cut inside it is asked for again."""
    loopback.script(step).script(Answer(body=b"whole"))

    assert net.get(loopback.url, timeout=1).content == b"whole"
    assert len(loopback.requests) == 2


@pytest.mark.parametrize("step", [Cut("start"), Cut("headers"), Cut("body"), Stall("start"), come_back_later(503, 0)])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_post_is_not_repeated_after_bytes_were_sent(
    loopback: LoopbackServer, step: Answer | Cut | Stall, method: str
) -> None:
    """The server may have done it."""
    loopback.script(step)

    if isinstance(step, Answer):
        assert net.request(method, loopback.url, data=b"order", retries=3).status_code == 503
    else:
        with pytest.raises(requests.RequestException):
            net.request(method, loopback.url, data=b"order", timeout=0.1, retries=3)
    assert len(loopback.requests) == 1


def test_a_post_is_repeated_where_the_caller_says_that_it_may_be(loopback: LoopbackServer) -> None:
    """By urllib3's own rule for it; the body is sent again from its beginning."""
    loopback.script(Cut("start"), come_back_later(503, 0))

    answer = net.post(
        loopback.url,
        data=io.BytesIO(b"order"),
        retries={"total": 3, "allowed_methods": None, "status_forcelist": [503]},
    )

    assert answer.status_code == 200
    assert [request.body for request in loopback.requests] == [b"order"] * 3


def test_a_post_that_never_left_is_tried_again() -> None:
    """Nothing was sent as the port was closed."""
    clock = ManualClock()
    with closed_port() as port, pytest.raises(requests.ConnectionError):
        net.Session(retries={"total": 3, "backoff_factor": 1}, clock=clock).post(f"http://127.0.0.1:{port}", data=b"x")

    assert clock.waits == [0, 2, 4]


def test_a_body_that_cannot_be_rewound_is_sent_once(loopback: LoopbackServer) -> None:
    """A generator gives its parts only once."""
    loopback.script(Cut("start"))

    def parts() -> Iterator[bytes]:
        yield b"only once"

    with pytest.raises(requests.ConnectionError):
        net.put(loopback.url, data=parts())
    assert len(loopback.requests) == 1


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honoured_in_both_forms(loopback: LoopbackServer, as_date: bool) -> None:
    """Seconds, or a date."""
    clock = ManualClock()
    loopback.script(come_back_later(429, 7, as_date, now_s=clock.now_ms() / 1000))

    answer = net.Session(retries=1, clock=clock).get(loopback.url)

    assert answer.status_code == 200
    assert clock.waits == [7]


@pytest.mark.parametrize("value", ["soon", "-1", "1.5", formatdate(0, usegmt=True)])
def test_a_retry_after_that_says_nothing_is_no_wait(loopback: LoopbackServer, value: str) -> None:
    """Nor an error: urllib3 raises one."""
    clock = ManualClock()
    loopback.script(Answer(503, headers={"Retry-After": value}))

    assert net.Session(retries=1, clock=clock).get(loopback.url).status_code == 200
    assert clock.waits == [0]


def test_the_budget_holds_for_all_tries(loopback: LoopbackServer) -> None:
    """Nothing is begun that would exceed it."""
    clock = ManualClock()
    loopback.script(*[come_back_later(429, 20)] * 9)

    with pytest.raises(requests.exceptions.RetryError, match="budget of 50 s"):
        net.Session(retries={"total": 9}, budget_s=50, clock=clock).get(loopback.url)
    assert clock.waits == [20, 20]


def test_a_server_that_asks_for_more_than_the_budget_is_believed_at_once(loopback: LoopbackServer) -> None:
    """Who calls gets the answer, with its `Retry-After`, instead of a wait."""
    clock = ManualClock()
    loopback.script(come_back_later(429, 3600))

    answer = net.Session(retries=5, clock=clock).get(loopback.url)

    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "3600"
    assert clock.waits == []


def test_exhausted_retries_are_reported_where_they_were_requested(loopback: LoopbackServer) -> None:
    """As with urllib3's rules in requests."""
    net.set_default_retries(total=2, backoff_factor=0, status_forcelist=[503])
    loopback.script(*[Answer(503)] * 3)

    with pytest.raises(requests.exceptions.RetryError) as raised:
        net.get(f"{loopback.url}/a?key=secret")
    assert str(raised.value) == f"GET {loopback.url}/a: too many 503 error responses"
    assert raised.value.response is not None
    assert raised.value.response.status_code == 503
    assert len(loopback.requests) == 3


@pytest.mark.parametrize("wrong", ["3", 2.5, object()])
def test_retries_that_mean_nothing_are_refused(loopback: LoopbackServer, wrong: Any) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError, match="`retries` cannot be used"):
        net.get(loopback.url, retries=wrong)
    assert not loopback.requests


def test_an_error_names_what_requests_names() -> None:
    """Pools and connections have the names that people search for."""
    with pytest.raises(requests.exceptions.ConnectionError, match=r"^HTTPConnectionPool\(.*HTTPConnection\("):
        net.get("http://127.0.0.1:1/", retries=0)


def test_who_asked_for_nothing_gets_the_last_answer(loopback: LoopbackServer) -> None:
    """After the few tries that there always are."""
    clock = ManualClock()
    loopback.script(*[Answer(503)] * 3)

    assert net.Session(clock=clock).get(loopback.url).status_code == 503
    assert len(loopback.requests) == 3


def test_a_retry_object_is_taken_as_it_is(loopback: LoopbackServer) -> None:
    """Fleece left its variable unset for one."""
    loopback.script(*[Answer(502)] * 2)
    session = net.Session(retries=Retry(total=2, status_forcelist=[502], backoff_factor=0))

    assert session.get(loopback.url).status_code == 200
    assert session.get(loopback.url, retries=0).status_code == 200


@pytest.mark.parametrize("retries", [0, {"total": 0}, {"total": 0, "status_forcelist": [503]}, Retry(0), False])
def test_a_requests_own_value_wins(loopback: LoopbackServer, retries: "int | dict[str, object] | Retry") -> None:
    """Over the session's and the process's."""
    net.set_default_retries(total=5, backoff_factor=0)
    loopback.script(come_back_later(503, 0))

    assert net.Session(retries=4).get(loopback.url, retries=retries).status_code == 503
    assert len(loopback.requests) == 1


def test_redirects_in_a_circle_end(loopback: LoopbackServer) -> None:
    """After thirty."""
    loopback.script(*[redirect("/again")] * 40)

    with pytest.raises(requests.TooManyRedirects):
        net.get(f"{loopback.url}/again")
    assert len(loopback.requests) == 31


def test_a_timeout_of_none_is_no_way_around_the_limit(loopback: LoopbackServer) -> None:
    """In requests it waits for ever."""
    net.set_default_timeout(0.1)
    loopback.script(*[Stall()] * 3)
    started = time.monotonic()

    for timeout in (None, (None, None), (1, None)):
        with pytest.raises(requests.ReadTimeout):
            net.get(loopback.url, timeout=timeout, retries=0)
    assert time.monotonic() - started < 30
