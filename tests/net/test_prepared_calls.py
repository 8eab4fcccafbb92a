"""Calls to one address that share what is prepared once are the same requests as those that do not."""

import socket
from typing import Any

import pytest
from tests.forks import exit_code, start_child

from carboy.logs import request_context
from carboy.net import AddressGuard, CallFailed, ForbiddenAddress, Limits, fetch, make_session, prepare_call
from carboy.testing import LoopbackServer

LIMITS = Limits()


@pytest.mark.parametrize("body", [b"{}", b"", None])
@pytest.mark.parametrize("user", ["", "ann:p%2Fw@"])
@pytest.mark.parametrize("path", ["/", "/a%2Fb?x=1&y=ü", "/ä b"])
def test_a_prepared_call_sends_the_same_request(path: str, user: str, body: bytes | None) -> None:
    with LoopbackServer() as server:
        url = server.url.replace("://", f"://{user}") + path
        session = make_session(url)
        common = prepare_call(session, "POST", url)
        headers = {"content-type": "application/json", "User-Agent": "X", "webhook-id": "1"}
        if user:
            headers["Authorization"] = "Bearer of-nobody"
        for given in (None, common, common):
            fetch(session, url, headers, LIMITS, what="it", method="POST", body=body, common=given)

        sent = [(one.method, one.target, dict(one.headers), one.body) for one in server.requests]
        assert sent[0] == sent[1] == sent[2]


def test_no_header_of_one_call_is_in_the_next() -> None:
    with LoopbackServer() as server:
        session = make_session(server.url)
        common = prepare_call(session, "POST", server.url)
        fetch(session, server.url, {"X-One": "1"}, LIMITS, what="it", method="POST", body=b"{}", common=common)
        fetch(session, server.url, {}, LIMITS, what="it", method="POST", common=common)

        assert "x-one" not in server.requests[1].headers
        assert server.requests[1].headers["content-length"] == "0"


@pytest.mark.parametrize("headers", [{"X": "a\r\nb: c"}, {"a b": "c"}, {"X": "a\nb"}])
def test_headers_that_cannot_be_sent_are_refused_all_the_same(headers: dict[str, str]) -> None:
    with LoopbackServer() as server:
        session = make_session(server.url)
        common = prepare_call(session, "POST", server.url)
        outcomes = []
        for given in (None, common):
            try:
                fetch(session, server.url, headers, LIMITS, what="it", method="POST", common=given)
                outcomes.append("sent")
            except CallFailed as error:
                outcomes.append(str(error))
        assert outcomes[0] == outcomes[1]


def test_a_prepared_call_keeps_its_connection_and_a_forked_child_opens_its_own() -> None:
    with LoopbackServer() as server:
        session = make_session(server.url)
        common = prepare_call(session, "GET", server.url)

        def call() -> bool:
            return fetch(session, server.url, {}, LIMITS, what="it", common=common).status == 200

        call()
        assert exit_code(start_child(call)) == 0
        call()

        parent, child, again = (one.connection for one in server.requests)
        assert parent == again != child


def test_a_prepared_call_goes_through_the_proxy_of_its_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not where `NO_PROXY` names the host."""
    with LoopbackServer() as proxy, LoopbackServer() as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        for url in ("http://outside.test/x", server.url):
            session = make_session(url)
            fetch(session, url, {}, LIMITS, what="it", common=prepare_call(session, "GET", url))

        assert [one.target for one in proxy.requests] == ["http://outside.test/x"]
        assert len(server.requests) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "http://2130706433:{port}/", "http://inside.test:{port}/"])
def test_a_prepared_call_is_guarded_at_each_attempt(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **options: real("127.0.0.1", *more, **options))
    with LoopbackServer() as server:
        url = url.format(port=server.port)
        session = make_session(url, guard=AddressGuard())
        common = prepare_call(session, "POST", url)
        for _ in range(2):
            with pytest.raises(ForbiddenAddress):
                fetch(session, url, {}, LIMITS, what="it", method="POST", body=b"{}", common=common)

        assert not server.connections


def test_the_request_id_goes_along_and_a_given_one_stays() -> None:
    with LoopbackServer() as server, request_context(request_id="r-1"):
        session = make_session(server.url)
        common = prepare_call(session, "GET", server.url)
        for headers in ({}, {"x-request-id": "mine"}):
            fetch(session, server.url, headers, LIMITS, what="it", common=common)

        assert [one.headers["x-request-id"] for one in server.requests] == ["r-1", "mine"]


def test_a_session_that_was_closed_connects_again() -> None:
    with LoopbackServer() as server:
        session = make_session(server.url)
        common = prepare_call(session, "GET", server.url)
        for _ in range(2):
            fetch(session, server.url, {}, LIMITS, what="it", common=common)
            session.close()

        assert server.connections == 2


@pytest.mark.parametrize("size", [0, 10, 60_000])
def test_headers_and_a_small_body_are_sent_in_one_piece(size: int) -> None:
    """Two would wake the server twice."""
    sent: list[int] = []

    class Counting(socket.socket):
        def sendall(self, data: Any, *flags: int) -> None:
            sent.append(len(data))
            super().sendall(data, *flags)

    with LoopbackServer() as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", Counting)
        session = make_session(server.url)
        fetch(session, server.url, {}, LIMITS, what="it", method="POST", body=b"x" * size)

        assert server.requests[0].body == b"x" * size
        assert len(sent) == 1
