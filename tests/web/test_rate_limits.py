"""Never more than allowed in any window, for every caller, in bounded memory."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from carboy.config import Rate
from carboy.testing.clock import ManualClock
from carboy.web import require, runtime
from carboy.web.http.rate_limits import RateLimiter

_GAPS = st.lists(st.floats(0.0, 4.0, allow_nan=False), min_size=1, max_size=200)


@pytest.mark.slow
@given(_GAPS, st.integers(1, 8), st.sampled_from([0.5, 1.0, 7.0]))
def test_no_window_ever_holds_more_than_the_rate(gaps: list[float], count: int, period_s: float) -> None:
    """Wherever the window begins, and however the requests are spread."""
    clock = ManualClock()
    limiter = RateLimiter(Rate(count, period_s), clock=clock)
    taken: list[float] = []
    for gap in gaps:
        clock.advance(gap)
        if not limiter.take("a"):
            taken.append(clock.monotonic_s())

    for first in taken:
        assert sum(first <= at < first + period_s for at in taken) <= count


@pytest.mark.slow
@given(_GAPS, st.integers(1, 8))
def test_a_caller_that_waits_as_asked_is_let_in(gaps: list[float], count: int) -> None:
    """`Retry-After` is no guess, and never much longer than the period."""
    clock = ManualClock()
    limiter = RateLimiter(Rate(count, 1.0), clock=clock)
    for gap in gaps:
        clock.advance(gap)
        wait_s = limiter.take("a")
        assert wait_s <= 13 / 12 + 0.001
        if wait_s:
            clock.advance(wait_s + 0.000_001)
            assert limiter.take("a") == 0.0


def test_callers_are_counted_apart() -> None:
    """A client that asks too often affects no other client."""
    limiter = RateLimiter(Rate(1, 60.0), clock=ManualClock())

    assert [bool(limiter.take(caller)) for caller in ("a", "b", "a", "b")] == [False, False, True, True]


def test_a_scan_costs_no_memory_and_frees_no_key() -> None:
    """A million addresses are as many as the limit; who goes on asking stays limited."""
    limiter = RateLimiter(Rate(1, 3600.0), max_callers=100, clock=ManualClock())
    limiter.take("loud")
    for number in range(10_000):
        limiter.take(f"scan-{number}")
        if number % 50 == 0:
            assert limiter.take("loud") > 0

    assert len(limiter) == 100


@pytest.mark.slow
def test_threads_together_get_no_more_than_the_rate() -> None:
    """Counting is exact under concurrency."""
    limiter = RateLimiter(Rate(500, 60.0), clock=ManualClock())

    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(limiter.take, ["a"] * 2000))

    assert sum(wait == 0.0 for wait in waits) == 500


def _register(app: Flask) -> None:
    @app.get("/")
    def index() -> str:
        return "x"

    @app.get("/mine")
    @require("archive:read")
    def mine() -> str:
        return "x"


def test_too_many_requests_are_a_429_that_says_when(make_app: Any) -> None:
    """And afterwards the caller is let in again."""
    clock = ManualClock()
    client = make_app(_register, rate_limit="2/60s", clock=clock).test_client()

    answers = [client.get("/") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].content_type == "application/problem+json"
    assert 60 <= int(answers[2].headers["Retry-After"]) <= 66
    clock.advance(int(answers[2].headers["Retry-After"]))
    assert client.get("/").status_code == 200


def test_health_is_never_limited(make_app: Any) -> None:
    """A load balancer that probes often must not kill the service."""
    client = make_app(_register, rate_limit="1/h").test_client()

    assert [client.get("/livez").status_code for _ in range(5)] == [200] * 5


def test_addresses_behind_a_proxy_are_counted_apart(make_app: Any) -> None:
    """And an address of IPv6 with its neighbours."""
    client = make_app(_register, rate_limit="1/h", trusted_proxies=1).test_client()

    def ask(address: str) -> int:
        return int(client.get("/", headers={"X-Forwarded-For": f"9.9.9.9, {address}"}).status_code)

    assert [ask("1.1.1.1"), ask("1.1.1.2"), ask("1.1.1.1")] == [200, 200, 429]
    assert [ask("2001:db8::1"), ask("2001:db8::2"), ask("2001:db8:0:1::1")] == [200, 429, 200]


def test_a_key_is_limited_from_wherever_it_is_used(make_app: Any) -> None:
    """Many addresses with one key are one caller."""
    app = make_app(_register, rate_limit="2/h", trusted_proxies=1)
    _, text = runtime(app).keys.store.create("one", ["archive:read"])

    statuses = [
        app.test_client()
        .get("/mine", headers={"Authorization": f"Bearer {text}", "X-Forwarded-For": f"1.1.1.{number}"})
        .status_code
        for number in range(3)
    ]

    assert statuses == [200, 200, 429]


@pytest.mark.parametrize("authorization", [None, "Bearer junk"])
def test_failed_authentication_counts_too(make_app: Any, authorization: str | None) -> None:
    """Guessing keys is limited as any other request."""
    client = make_app(_register, rate_limit="3/h").test_client()
    headers = {} if authorization is None else {"Authorization": authorization}

    assert [client.get("/mine", headers=headers).status_code for _ in range(4)] == [401, 401, 401, 429]
