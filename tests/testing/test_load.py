import json
import threading
from itertools import repeat

import pytest
from tests.lab.load import Call, alert_calls, load_process, run_load

from carboy.testing.answers import Answer, Cut, Raw, Request, Stall, Step
from carboy.testing.http_server import LoopbackServer, closed_port


def test_every_call_is_answered_once_over_kept_connections() -> None:
    """As many connections as were asked for, no more."""
    with LoopbackServer(Answer(202)) as server:
        report = run_load(server.url, alert_calls(amount=200), connections=8)

    sent = [json.loads(request.body)["alerts"][0]["id"] for request in server.requests]
    assert len(set(sent)) == 200
    assert set(report.keys_answered(202)) == set(sent)
    assert (report.statuses, server.connections) == ({202: 200}, 8)


def test_the_last_status_of_each_key_is_kept() -> None:
    """So a journey knows what was acknowledged."""

    def answer(request: Request) -> Step:
        return Answer(503 if request.path == "/b" else 200)

    with LoopbackServer(answer) as server:
        report = run_load(server.url, [Call("a", target="/a"), Call("b", target="/b")], connections=1)

    assert report.answers == {"a": 200, "b": 503}
    assert report.summary()["statuses"] == {"200": 1, "503": 1}


@pytest.mark.parametrize("step", [Cut("start"), Cut("body"), Cut(reset=True), Raw(b"SSH-2.0\r\n\r\n")], ids=str)
def test_a_call_whose_connection_fails_is_tried_again(step: Step) -> None:
    """As often as was said, over a new connection."""
    with LoopbackServer(Answer(202)) as server:
        server.script(step, step)
        report = run_load(server.url, [Call("a")], connections=1, tries=3)

    assert report.answers == {"a": 202}
    assert sum(report.errors.values()) == 2


def test_a_call_that_is_never_answered_is_recorded_as_such() -> None:
    """It may or may not have been carried out."""
    with LoopbackServer(Answer(202)) as server:
        server.script(Cut(), Stall())
        report = run_load(server.url, [Call("a"), Call("b"), Call("c")], connections=1, timeout_s=0.1)

    assert report.answers == {"a": 0, "b": 0, "c": 202}
    assert report.errors == {"EOFError": 1, "TimeoutError": 1}


def test_a_server_that_is_not_there_is_no_answer() -> None:
    """Until the time is over."""
    with closed_port() as port:
        report = run_load(f"http://127.0.0.1:{port}", repeat(Call("a")), connections=2, seconds=0.1)

    assert report.answers == {"a": 0}
    assert set(report.errors) == {"ConnectionRefusedError"}


def test_answers_are_read_in_every_framing() -> None:
    """By length, in chunks, until the end, without a body."""
    chunked = {"Transfer-Encoding": "chunked"}
    steps: list[Step] = [
        Answer(200, b"3\r\nabc\r\n0\r\n\r\n", chunked),
        Raw(b"HTTP/1.0 201 Created\r\n\r\nuntil the end"),
        Answer(204),
        Answer(203, b"abc", {"Connection": "close"}),
    ]
    with LoopbackServer() as server:
        server.script(*steps)
        report = run_load(server.url, [Call(str(number)) for number in range(5)], connections=1)

    assert list(report.answers.values()) == [200, 201, 204, 203, 200]
    assert not report.errors


def test_latencies_are_measured_from_sending_to_the_whole_answer() -> None:
    """And every percentile lies between the least and the most."""
    with LoopbackServer(Answer(delay_s=0.05)) as server:
        report = run_load(server.url, repeat(Call("a"), 10), connections=5)

    assert 0.05 <= report.latency_s(0) <= report.latency_s(50) <= report.latency_s(99.9)


@pytest.mark.server
def test_it_runs_in_a_process_of_its_own_until_it_is_asked_to_stop() -> None:
    """And gives back what was answered."""
    has_begun = threading.Event()

    def answer(_: Request) -> Step:
        has_begun.set()
        return Answer(202)

    with LoopbackServer(answer) as server, load_process(server.url, "--connections", "4") as load:
        assert has_begun.wait(30)
        summary, answers = load.finish(now=True)

    assert summary["statuses"] == {"202": len(answers)}
    assert {json.loads(request.body)["alerts"][0]["id"] for request in server.requests} == set(answers)
