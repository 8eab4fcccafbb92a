"""The budget is a total: over redirects, dripping bodies, look-ups of names and slow readers."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from carboy import net
from carboy.net import CallFailed, Limits, ResponseTooLarge, TimedOut, fetch, make_session
from carboy.testing import Answer, Cut, Drip, LoopbackServer, Stall, closed_port, come_back_later, deaf_port, redirect
from carboy.testing.clock import ManualClock

LONG = Answer(200, b"x" * 400)


class _Late:
    """A handler whose every response costs a second of a clock."""

    def __init__(self, clock: ManualClock, answer: Callable[[int], Answer]) -> None:
        self.clock, self.answer, self.calls = clock, answer, 0

    def __call__(self, request: object) -> Answer:
        self.calls += 1
        self.clock.sleep(1)
        return self.answer(self.calls)


def test_the_budget_holds_over_redirects() -> None:
    """A chain of slow redirects ends with the budget, not with the thirtieth."""
    clock = ManualClock()
    late = _Late(clock, lambda number: redirect(f"/{number}"))
    with LoopbackServer(late) as server, pytest.raises(requests.Timeout, match=r"budget of 3 s"):
        net.Session(clock=clock).get(server.url, budget_s=3)
    assert late.calls == 3


@pytest.mark.parametrize("stream", [False, True])
def test_the_budget_holds_for_a_body_that_drips(loopback: LoopbackServer, stream: bool) -> None:
    """A byte now and then keeps the time between two reads, and not the total."""
    loopback.script(*[Drip(LONG, every_s=0.05)] * 3)
    started = time.monotonic()

    with pytest.raises(requests.RequestException):
        _ = net.get(loopback.url, budget_s=0.4, stream=stream).content
    assert time.monotonic() - started < 10  # the body takes 20 s


def test_a_streamed_body_is_read_at_the_callers_pace(loopback: LoopbackServer) -> None:
    """Without a budget of its own: the default one ends where reading begins."""
    clock = ManualClock()
    with net.Session(clock=clock).get(loopback.url, stream=True) as response:
        clock.sleep(600)
        assert response.content == b""


def test_headers_that_drip_end_with_the_budget() -> None:
    """Each byte is a read, and each is soon enough."""
    over = threading.Event()

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000:
                if over.wait(0.05):
                    return
                connection.sendall(bytes([byte]))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        with pytest.raises(requests.Timeout, match="budget"):
            net.get(f"http://127.0.0.1:{server.getsockname()[1]}", budget_s=0.4)
        over.set()
        thread.join()


def test_a_look_up_that_hangs_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver may try three servers for five seconds each."""
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: release.wait(30))
    started = time.monotonic()

    with pytest.raises(requests.ConnectTimeout):
        net.get("http://slow.test/", timeout=0.2, retries=0)
    release.set()
    assert time.monotonic() - started < 10


def test_a_silent_address_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch, loopback: LoopbackServer) -> None:
    """The time to connect is for all addresses of a name together."""
    with deaf_port() as deaf:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (deaf, loopback.port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: found)

        assert net.get("http://two.test/", timeout=4, retries=0).status_code == 200


def test_a_server_that_does_not_read_ends_in_time() -> None:
    """Sending is within the budget as well."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(requests.RequestException):
            net.post(f"http://127.0.0.1:{port}/", data=b"x" * 50_000_000, budget_s=0.5)
        assert time.monotonic() - started < 15


def test_a_large_body_arrives_whole(loopback: LoopbackServer) -> None:
    """It is written in pieces, so that each is limited."""
    body = bytes(range(256)) * 1_000

    net.post(loopback.url, data=body)

    assert loopback.requests[0].body == body


@pytest.mark.parametrize("status", [307, 308])
def test_a_generator_is_not_sent_twice_by_a_redirect(loopback: LoopbackServer, status: int) -> None:
    """The second request would have an empty body, and a 200 would come back."""
    loopback.script(Answer(status, headers={"Location": "/next"}))

    def parts() -> Iterator[bytes]:
        yield b"only once"

    with pytest.raises(requests.exceptions.UnrewindableBodyError, match="only once"):
        net.post(loopback.url, data=parts())
    assert [request.body for request in loopback.requests] == [b"only once"]


def test_a_generator_is_not_needed_after_a_303(loopback: LoopbackServer) -> None:
    """Which asks for a GET."""
    loopback.script(Answer(303, headers={"Location": "/next"}))

    assert net.post(loopback.url, data=iter([b"once"])).status_code == 200
    assert [request.method for request in loopback.requests] == ["POST", "GET"]


@pytest.mark.parametrize("by_session", [False, True])
def test_a_number_of_repeats_in_vain_is_an_error(loopback: LoopbackServer, by_session: bool) -> None:
    """As a dict or a `Retry`: who asks for repeats learns that they were in vain."""
    clock = ManualClock()
    loopback.script(*[come_back_later(503, 0)] * 3)
    session = net.Session(retries=2 if by_session else None, clock=clock)

    with pytest.raises(requests.exceptions.RetryError):
        session.get(loopback.url, **({} if by_session else {"retries": 2}))
    assert len(loopback.requests) == 3


class TestFetch:
    def call(self, url: str, limits: Limits = Limits(0.5, 0.3, 1, 1000), **options: Any) -> net.Reply:  # noqa: B008
        with make_session(url) as session:
            return fetch(session, url, {"X-A": "1"}, limits, what="it failed", **options)

    def test_it_sends_any_method_and_follows_nothing(self, loopback: LoopbackServer) -> None:
        loopback.script(redirect("/next"))

        reply = self.call(loopback.url, method="POST", body=b"hello")

        assert (reply.status, reply.headers["location"]) == (302, "/next")
        sent = loopback.requests[0]
        assert (sent.method, sent.body, sent.headers["x-a"]) == ("POST", b"hello", "1")

    @pytest.mark.parametrize("step", [Stall(), Stall("headers"), Stall("body"), Drip(LONG, every_s=0.05)])
    def test_what_takes_too_long_was_sent(self, loopback: LoopbackServer, step: Stall | Drip) -> None:
        loopback.script(step)

        with pytest.raises(TimedOut) as raised:
            self.call(loopback.url, method="POST", body=b"x")
        assert raised.value.was_sent

    @pytest.mark.parametrize("step", [Cut("start"), Cut("start", reset=True), Cut("headers"), Cut("body")])
    def test_what_breaks_after_sending_was_sent(self, loopback: LoopbackServer, step: Cut) -> None:
        loopback.script(step)

        with pytest.raises(CallFailed) as raised:
            self.call(loopback.url, method="POST", body=b"x")
        assert raised.value.was_sent

    @pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "http://no-such-host.invalid/", "ftp://a/", "http://"])
    def test_what_did_not_connect_was_not_sent(self, url: str) -> None:
        with closed_port() as port, pytest.raises(CallFailed) as raised:
            self.call(url.format(port=port), method="POST", body=b"x")
        assert not raised.value.was_sent

    def test_a_connection_that_is_not_taken_is_late_and_not_sent(self) -> None:
        with deaf_port() as port, pytest.raises(TimedOut) as raised:
            self.call(f"http://127.0.0.1:{port}", Limits(0.1, 5, 5, 100))
        assert not raised.value.was_sent

    def test_a_proxy_that_ends_the_tunnel_was_not_sent_to(
        self, loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`CONNECT` is for the proxy: the server behind it has read nothing."""
        monkeypatch.setenv("HTTPS_PROXY", loopback.url)
        loopback.script(Answer(502))

        with pytest.raises(CallFailed) as raised:
            self.call("https://outside.test/", method="POST", body=b"x")
        assert not raised.value.was_sent
        assert loopback.requests[0].method == "CONNECT"

    def test_a_plain_proxy_that_breaks_may_have_passed_it_on(
        self, loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It has the whole request."""
        monkeypatch.setenv("HTTP_PROXY", loopback.url)
        loopback.script(Cut("start"))

        with pytest.raises(CallFailed) as raised:
            self.call("http://outside.test/", method="POST", body=b"x")
        assert raised.value.was_sent

    def test_the_size_is_that_of_the_decompressed_body(self, loopback: LoopbackServer) -> None:
        import gzip

        loopback.script(
            Answer(200, b"x" * 1001), Answer(200, gzip.compress(b"x" * 10**6), {"Content-Encoding": "gzip"})
        )

        for _ in range(2):
            with pytest.raises(ResponseTooLarge):
                self.call(loopback.url)

    def test_its_error_can_be_pickled(self) -> None:
        import pickle

        error = pickle.loads(pickle.dumps(TimedOut("a", "b", "c", was_sent=False)))  # noqa: S301
        assert (type(error), error.was_sent, str(error)) == (TimedOut, False, "a: b")


@pytest.mark.parametrize("is_proxy", [False, True])
def test_a_tls_handshake_that_never_ends_ends_with_the_budget(is_proxy: bool) -> None:
    """A server, or a proxy, that takes the connection and says nothing; the time to connect is longer."""
    server = socket.create_server(("127.0.0.1", 0))  # the kernel takes connections, nobody reads them
    url = f"https://127.0.0.1:{server.getsockname()[1]}/"
    started = time.monotonic()

    with server, pytest.raises(requests.Timeout):
        net.get("https://example.test" if is_proxy else url, proxies={"https": url} if is_proxy else {}, budget_s=0.3)
    assert time.monotonic() - started < 4  # the default time to connect is 5 s


def test_a_tls_handshake_that_never_ends_was_not_sent() -> None:
    """So that a message may be sent elsewhere."""
    server = socket.create_server(("127.0.0.1", 0))
    url = f"https://127.0.0.1:{server.getsockname()[1]}/"

    with server, pytest.raises(TimedOut) as caught:
        fetch(make_session(url), url, {}, Limits(total_s=0.3), what="it")
    assert caught.value.was_sent is False
