"""Limits of an attempt that hold for every kind, settings that change under a turn, retries by hand, expressions."""

import threading
import time
from asyncio import CancelledError
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event
from tests.services.archive.kit import Serve
from tests.services.archive.test_destination_attempts import attempts
from tests.services.archive.test_destinations import ALERT, ended, operator, table, until

from carboy import aws
from carboy.config import Profile
from carboy.errors import ConfigurationError, Unreachable
from carboy.jobs import Abandon, Later
from carboy.redact import Secret
from carboy.services.archive import on_archived
from carboy.services.archive.destinations import hooks, worker
from carboy.services.archive.destinations.config import DestinationConfig, make_destinations
from carboy.services.archive.destinations.expressions import compile_expression
from carboy.services.archive.destinations.messages import MessageDeliverer
from carboy.services.archive.destinations.senders import Senders, Surroundings
from carboy.services.archive.destinations.store import DeliveryStore
from carboy.services.archive.destinations.time_limit import TimeLimit
from carboy.services.archive.items import NewItem
from carboy.testing import Answer, Drip, LoopbackServer, ManualClock, Request
from carboy.web import runtime

HANGS = threading.Event()
CALLS: list[str] = []


def hang(event: Any) -> None:
    """Wait for what never comes."""
    CALLS.append(event.id)
    HANGS.wait(60)


@pytest.fixture
def hanging() -> Iterator[None]:
    HANGS.clear()
    CALLS.clear()
    yield
    HANGS.set()


@pytest.mark.slow
@pytest.mark.usefixtures("hanging")
def test_the_time_of_a_function_is_a_total_and_those_left_behind_are_few(serve: Serve) -> None:
    """The destination goes on; no more calls are left hanging than it may have in flight."""
    gateway = operator(serve(toml=table(f"{__name__}:hang", 'retry = ["0s"]\ntimeout_s = 0.3\nmax_in_flight = 2')))

    gateway.send(*({**ALERT, "id": f"a{at}"} for at in range(4)))
    failed = until(lambda: len(found := ended(gateway, "failed")()) == 4 and found)

    errors = [gateway.get(f"/api/v1/deliveries/{one['id']}").get_json()["attempts"][0]["error"] for one in failed]
    assert sorted(errors) == ["2 earlier calls have not returned"] * 2 + ["no response in time"] * 2
    assert len(CALLS) == 2


ENDINGS: list[BaseException] = [SystemExit(3), KeyboardInterrupt(), CancelledError(), GeneratorExit(), BaseException()]


def leave(event: Any) -> None:
    """End the process, or try to."""
    CALLS.append(event.id)
    raise ENDINGS[len(CALLS) % len(ENDINGS)]


@pytest.mark.slow
def test_a_function_that_would_end_the_process_fails_as_any_other(serve: Serve) -> None:
    """`sys.exit` and its like: each is an attempt with its reason, and the thread that made it goes on."""
    CALLS.clear()
    waits = '["0s", "0s", "0s", "0s"]'
    gateway = operator(serve(toml=table(f"{__name__}:leave", f"retry = {waits}\nmax_in_flight = 1", name="own")))

    gateway.send({**ALERT, "id": "a"})
    [delivery] = until(ended(gateway, "failed", name="own"))

    attempts = gateway.get(f"/api/v1/deliveries/{delivery['id']}").get_json()["attempts"]
    assert CALLS == ["a"] * 4
    assert [one["error"].partition(":")[0] for one in attempts] == [
        type(ENDINGS[number % len(ENDINGS)]).__name__ for number in range(1, 5)
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("hanging")
def test_a_hook_has_a_limit_of_its_own(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_HOOKS", {})
    on_archived("threatstack", timeout_s=0.3)(hang)
    gateway = operator(serve())
    [name] = hooks.hooks()

    gateway.send(ALERT)

    until(lambda: [one for one in ended(gateway, "waiting", name)() if one["attempts_made"]])


@pytest.mark.slow
@pytest.mark.parametrize(
    "url", ["sqs:http://127.0.0.1:9/123/alerts", "sqs:alerts", "sns:arn:aws:sns:eu-west-1:123:a", "eventbridge:bus"]
)
def test_the_time_of_an_attempt_at_aws_is_a_total(serve: Serve, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A response that comes a byte at a time never lets a read wait for long."""
    names = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-west-1"}
    with LoopbackServer(Drip(Answer(200, b"x" * 1000), every_s=0.1, headers_at_once=False)) as slow:
        for name, value in {**names, "AWS_ENDPOINT_URL": slow.url}.items():
            monkeypatch.setenv(name, value)
        aws.client.__globals__["forget"]()
        gateway = operator(serve(toml=table(url, 'retry = ["0s"]\ntimeout_s = 1.0')))
        gateway.send(ALERT)

        [attempt] = attempts(gateway, "failed")

        assert attempt["error"] == "no response in time"
        assert attempt["duration_ms"] < 10_000
    aws.client.__globals__["forget"]()


def test_a_call_within_its_limit_returns_and_raises_as_without() -> None:
    limit = TimeLimit(30.0, 1)
    assert limit.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        limit.run(lambda: 1 // 0)


def test_what_was_left_behind_counts_until_it_returns() -> None:
    limit, hung = TimeLimit(0.05, 1), threading.Event()
    with pytest.raises(Unreachable, match="no response in time"):
        limit.run(hung.wait)
    with pytest.raises(Unreachable, match="1 earlier calls have not returned"):
        limit.run(lambda: 7)
    hung.set()

    def works() -> int | None:
        try:
            return limit.run(lambda: 7)
        except Unreachable:
            return None

    assert until(works) == 7


@pytest.mark.slow
def test_a_turn_follows_secrets_that_change(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where turn follows turn without an end, as under load."""
    monkeypatch.setattr(worker, "_TURN_S", 0.2)
    token = tmp_path / "token"
    token.write_text("Bearer first-000")

    def answer(request: Request) -> Answer:
        if not refreshed:
            token.write_text("Bearer second-00")
            live = runtime(gateway.app).centre.live
            refreshed.append(live.refresh() if live else None)
        time.sleep(0.03)
        return Answer()

    refreshed: list[Any] = []
    with LoopbackServer(answer) as receiver:
        more = f'max_in_flight = 1\nheaders = {{Authorization = "file:{token}"}}'
        gateway = operator(serve(toml=table(receiver.url, more)))
        gateway.post("/api/v1/destinations/siem/pause")
        gateway.send(*({**ALERT, "id": f"a{at}"} for at in range(20)))
        gateway.post("/api/v1/destinations/siem/resume")
        until(lambda: len(ended(gateway)()) == 20, 60)

    used = [request.headers["authorization"] for request in receiver.requests]
    assert used[0] == "Bearer first-000"
    assert set(used[2:]) == {"Bearer second-00"}


@pytest.mark.slow
def test_a_retry_by_hand_does_not_wait_for_the_circuit_breaker(serve: Serve) -> None:
    """One delivery tests the receiver, then the others follow."""
    clock = ManualClock(sleep="waits")
    with LoopbackServer(Answer()) as receiver:
        receiver.script(*[Answer(500)] * 6)
        gateway = operator(serve(toml=table(receiver.url, 'retry = ["0s"]\nmax_in_flight = 1'), clock=clock))
        gateway.send(*({**ALERT, "id": f"a{at}"} for at in range(7)))
        until(lambda: len(ended(gateway, "failed")()) == 5)
        assert len(receiver.requests) == 5, "the breaker is open"

        gateway.post("/api/v1/destinations/siem/retry")
        until(lambda: len(receiver.requests) == 6)
        until(lambda: len(ended(gateway, "failed")()) == 1)
        assert len(receiver.requests) == 6, "the probe failed: it is open again"
        [failed] = ended(gateway, "failed")()
        gateway.post(f"/api/v1/deliveries/{failed['id']}/retry")

        until(lambda: len(ended(gateway)()) == 7)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("severty(@)", "no function `severty`"),
        ("length()", "`length` takes 1 arguments and has 0"),
        ("contains(tags)", "`contains` takes 2"),
        ("a && starts_with(b, c, d)", "`starts_with` takes 2"),
        ("not_null()", "at least 1"),
        ("tags[?nope(@)]", "no function `nope`"),
        ("{a: b, c: sort_by(d, &nope(@))}", "no function `nope`"),
        ("[a, upper(b)]", "no function `upper`"),
        ("a | nope(@) || b", "no function `nope`"),
        ("a[::2].nope(@)", "no function `nope`"),
        ("severity <= 2", "`2` is not expected at column 13; a number stands between backticks"),
        ("a =", "`=` is not expected at column 3"),
        ("a && || b", "`||` is not expected at column 6"),
        ("a[?b=='c'", "it ends too early"),
    ],
)
def test_expressions_and_their_functions_are_checked_before_any_event_comes(text: str, part: str) -> None:
    """JMESPath finds unknown functions only over a document: no event would ever match, without an error."""
    with pytest.raises(ValueError, match="does not compile") as caught:
        compile_expression(text)
    assert part in str(caught.value)
    url = "https://ok.example/"
    for config in (DestinationConfig(url, filter=text), DestinationConfig(url, body=text)):
        with pytest.raises(ConfigurationError):
            make_destinations({"d": config}, [], Profile("prod"))


def test_an_unknown_function_is_422_and_erases_nothing(serve: Serve) -> None:
    gateway = operator(serve(toml=table("https://10.255.255.1/")))
    body = {"from": "2017-01-01T00:00:00Z", "until": "2018-01-01T00:00:00Z", "filter": "nope(@)"}

    assert gateway.post("/api/v1/destinations/siem/replay", json=body).status_code == 422
    assert gateway.post("/api/v1/webhooks/threatstack/replay", json=body).status_code == 422
    listed = "/api/v1/webhooks/threatstack?start=2017-01-01T00:00:00Z&end=2018-01-01T00:00:00Z&filter=nope(@)"
    assert gateway.get(listed).status_code == 422


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
def test_a_user_in_the_address_and_a_header_that_says_another_are_a_fault(name: str) -> None:
    config = DestinationConfig("https://ann:secret@ok.example/x", headers={name: Secret("Bearer abc")})
    with pytest.raises(ConfigurationError, match="keep one of the two"):
        make_destinations({"d": config}, [], Profile("prod"))
    fine = DestinationConfig("https://ok.example/x?to=a@b", headers={name: Secret("Bearer abc")})
    assert make_destinations({"d": fine}, [], Profile("prod"))


class SlowClock(ManualClock):
    """Each look at it takes a while."""

    def monotonic_s(self) -> float:
        """Return the time, and let 10 ms pass."""
        self.advance(0.01)
        return super().monotonic_s()


def test_many_rows_are_not_counted_at_every_look(serve: Serve) -> None:
    gateway = operator(serve(toml=table("https://10.255.255.1/")))
    gateway.post("/api/v1/destinations/siem/pause")
    gateway.send(ALERT)
    counted: list[str] = []
    engine, clock = runtime(gateway.app).engine, SlowClock()

    @sqlalchemy_event.listens_for(engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "count(" in statement:
            counted.append(statement)

    store = DeliveryStore(engine, clock)
    assert store.counts("siem")[:2] == (1, 0)
    first = len(counted)
    gateway.send({**ALERT, "id": "second"})
    counted.clear()
    assert store.counts("siem")[:2] == (1, 0), "the count took long, and is not old yet"
    assert counted == []
    clock.advance(10)
    assert store.counts("siem")[:2] == (2, 0)
    assert len(counted) == first
    assert DeliveryStore(engine).counts("siem")[:2] == (2, 0)


def test_without_a_database_410_leaves_the_receiver_alone_for_an_hour(capfd: pytest.CaptureFixture[str]) -> None:
    """Its messages wait in the queue, an alarm is in the log; a changed table is tried again."""
    sent: list[tuple[Any, ...]] = []
    clock = ManualClock()
    around = Surroundings(threading.Lock, lambda: None, lambda: None)
    with LoopbackServer(Answer(410)) as receiver:
        tables = {"siem": DestinationConfig(receiver.url)}
        made = lambda: make_destinations(tables, ["it"], Profile("test"))  # noqa: E731
        deliverer = MessageDeliverer(made, Senders(clock, around), lambda _job, *calls: sent.extend(calls), clock)
        body = b'{"id": "a"}'
        item = NewItem("it", "a", b"d" * 32, b"s" * 32, 1, "webhooks/it/a", "application/json", body, type="push")
        deliverer.pass_on([item], 1)
        [call] = sent

        with pytest.raises(Abandon):
            deliverer.deliver(*call)
        assert "destination_paused" in "".join(capfd.readouterr())
        with pytest.raises(Later):
            deliverer.deliver(*call)
        assert len(receiver.requests) == 1
        clock.advance(3601)
        with pytest.raises(Abandon):
            deliverer.deliver(*call)
        tables["siem"] = DestinationConfig(receiver.url, timeout_s=5.0)
        with pytest.raises(Abandon):
            deliverer.deliver(*call)
        assert len(receiver.requests) == 3
