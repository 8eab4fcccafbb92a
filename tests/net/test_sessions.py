"""What a session keeps, and what goes along with its requests."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.forks import exit_code, start_child

from carboy import logs, net, trace
from carboy.errors import UsageError
from carboy.net.defaults import fill_timeout
from carboy.testing import Answer, LoopbackServer, make_ca
from carboy.testing.answers import Hold


def test_it_is_a_session_of_requests(loopback: LoopbackServer) -> None:
    """What is known of it holds: answers, headers, cookies, hooks."""
    with net.Session() as session:
        session.headers["X-Team"] = "a"
        answer = session.post(loopback.url, json={"a": 1}, params={"q": "ü"})

    assert isinstance(session, requests.Session)
    assert isinstance(answer, requests.Response)
    sent = loopback.requests[0]
    assert (sent.json(), sent.query, sent.headers["x-team"]) == ({"a": 1}, {"q": "ü"}, "a")


@pytest.mark.parametrize("method", ["get", "options", "head", "post", "put", "patch", "delete"])
def test_every_method_is_a_function(loopback: LoopbackServer, method: str) -> None:
    """As in requests; they share one session, so that the connection is kept."""
    assert getattr(net, method)(loopback.url).status_code == 200
    assert net.request(method.upper(), loopback.url).status_code == 200
    assert [request.method for request in loopback.requests] == [method.upper()] * 2
    assert loopback.connections == 1


def test_single_calls_keep_no_cookies(loopback: LoopbackServer) -> None:
    """One caller's session is not another's; the answer still shows them."""
    loopback.script(Answer(headers={"Set-Cookie": "session=alice"}))

    assert net.get(loopback.url).cookies["session"] == "alice"
    net.get(loopback.url)

    assert "cookie" not in loopback.requests[1].headers


def test_cookies_last_for_the_redirects_of_a_call(loopback: LoopbackServer) -> None:
    """As a login that redirects needs it."""
    loopback.script(Answer(302, headers={"Location": "/in", "Set-Cookie": "session=alice"}))

    net.get(loopback.url)

    assert loopback.requests[1].headers["cookie"] == "session=alice"


def test_it_can_be_pickled(loopback: LoopbackServer) -> None:
    """As one of requests: it is what it was, with connections of its own."""
    session = pickle.loads(pickle.dumps(net.Session(timeout=3, retries={"total": 1}, budget_s=9)))  # noqa: S301

    assert session.get(loopback.url).status_code == 200
    assert (session.timeout, session.retries, session.budget_s) == (3, {"total": 1}, 9)


def test_the_pool_is_bounded(loopback: LoopbackServer) -> None:
    """Forty calls at once open forty connections, and leave no more than the pool's."""
    session = net.Session(pool_size=4)
    release = threading.Event()
    loopback.script(*[Hold(release)] * 40)
    with ThreadPoolExecutor(40) as pool:
        calls = [pool.submit(session.get, loopback.url) for _ in range(40)]
        while len(loopback.requests) < 40:
            release.wait(0.005)
        release.set()
        assert {call.result().status_code for call in calls} == {200}
    for _ in range(500):
        if loopback.open_connections <= 4:
            break
        threading.Event().wait(0.01)

    assert loopback.open_connections <= 4


@pytest.mark.slow
def test_threads_share_it(loopback: LoopbackServer) -> None:
    """Each gets its own answer."""
    with LoopbackServer(lambda request: Answer(body=request.target.encode())) as server:

        def ask(number: int) -> bool:
            return net.get(f"{server.url}/{number}").content == f"/{number}".encode()

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(200)))
        assert server.connections <= 8


def test_a_forked_child_opens_connections_of_its_own(loopback: LoopbackServer) -> None:
    """On the parent's, the two would read each other's answers."""
    net.get(loopback.url)

    assert exit_code(start_child(lambda: net.get(loopback.url).status_code == 200)) == 0
    net.get(loopback.url)
    assert loopback.requests[0].connection == loopback.requests[2].connection != loopback.requests[1].connection


def test_the_request_id_goes_along(loopback: LoopbackServer) -> None:
    """So that two services' logs are read together; the caller's own stays."""
    with logs.request_context(request_id="r-1"):
        net.get(loopback.url)
        net.get(loopback.url, headers={"x-request-id": "mine"})
    net.get(loopback.url)

    assert [request.headers.get("x-request-id") for request in loopback.requests] == ["r-1", "mine", None]


def test_the_trace_goes_along(loopback: LoopbackServer) -> None:
    """In both forms; a trace that the caller has put there himself stays."""
    trace.setup("xray")
    try:
        with trace.span("order") as span:
            net.get(loopback.url)
            net.get(loopback.url, headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    finally:
        trace.reset()

    first, second = (request.headers for request in loopback.requests)
    assert first["x-amzn-trace-id"].startswith(f"Root={span.trace_id};Parent=")
    assert first["traceparent"].startswith(f"00-{span.trace_id[2:].replace('-', '')}-")
    assert "x-amzn-trace-id" not in second


def test_proxies_are_honoured(loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the environment, of the session and of the call; and `NO_PROXY`."""
    monkeypatch.setenv("HTTP_PROXY", loopback.url)
    monkeypatch.setenv("NO_PROXY", "inside.test")
    net.get("http://outside.test/a")
    net.Session().get("http://inside.test/b", proxies={"http": loopback.url, "no_proxy": ""})

    assert [request.target for request in loopback.requests] == ["http://outside.test/a", "http://inside.test/b"]


def test_ca_bundles_are_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the environment and that of the call; without one the server is not believed, and not asked again."""
    authority = make_ca(tmp_path)
    with LoopbackServer(tls=authority.issue("localhost").server_context()) as server:
        with pytest.raises(requests.exceptions.SSLError):
            net.get(server.url)
        assert server.connections <= 1
        assert net.get(server.url, verify=str(authority.path)).status_code == 200
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.path))
        assert net.get(server.url).status_code == 200


def test_timeouts_are_filled_from_the_nearest_that_says_something() -> None:
    """The call, then the session, then the process."""
    assert fill_timeout(None, None) == (5, 30)
    assert fill_timeout(2, 9) == (2, 2)
    assert fill_timeout((None, 3), (1, None)) == (1, 3)
    net.set_default_timeout(15)
    assert fill_timeout((None, 3), None) == (15, 3)
    net.set_default_timeout(connect_timeout=1)
    assert fill_timeout(None) == (1, 30)


@pytest.mark.parametrize("value", [0, -1, "5", True, float("nan"), float("inf")])
def test_an_invalid_default_timeout_is_refused(value: float) -> None:
    """At the start, where it is set, and not at some call."""
    with pytest.raises(ValueError, match="default"):
        net.set_default_timeout(value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"total": -1},
        {"total": "5"},
        {"total": True},
        {"total": 1.5},
        {"backoff_factor": -1},
        {"backoff_factor": "1"},
        {"status_forcelist": [1000]},
        {"status_forcelist": "503"},
        {"status_forcelist": 503},
        {"budget_s": 0},
    ],
)
def test_default_retries_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    """With the argument's name."""
    with pytest.raises(ValueError, match=next(iter(wrong))) as raised:
        net.set_default_retries(**wrong)  # type: ignore[arg-type]
    assert isinstance(raised.value, UsageError)


def test_default_retries_take_no_second_argument_by_place() -> None:
    """Fleece took any number silently."""
    with pytest.raises(TypeError):
        net.set_default_retries(1, 2, 3)  # type: ignore[call-arg,arg-type]
    with pytest.raises(TypeError):
        net.set_default_retries(totl=3)


def test_a_default_that_is_refused_changes_nothing(loopback: LoopbackServer) -> None:
    """The one before holds."""
    net.set_default_retries(1, backoff_factor=0, status_forcelist=[500])
    with pytest.raises(TypeError):
        net.set_default_retries(5, wrong=1)
    loopback.script(Answer(500))

    assert net.get(loopback.url).status_code == 200


@pytest.mark.parametrize("budget_s", [float("nan"), "1", True])
def test_a_budget_that_is_no_number_is_refused(budget_s: Any) -> None:
    """NaN would be no limit at all."""
    with pytest.raises(ValueError, match="budget_s"):
        net.get("http://127.0.0.1:9/", budget_s=budget_s)
    with pytest.raises(ValueError, match="budget_s"):
        net.Session(budget_s=budget_s).get("http://127.0.0.1:9/")
