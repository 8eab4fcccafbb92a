"""Calls to one address that share what is prepared once are the same requests as those that do not."""

import pytest

from carboy.net import CallFailed, Limits, fetch, make_session, prepare_call
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
