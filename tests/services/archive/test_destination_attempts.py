"""Single attempts: redirects, long and slow responses, what a receiver asks for, ids, bad tables."""

from typing import Any

import pytest
from tests.services.archive.kit import Gateway, Serve
from tests.services.archive.test_destinations import ALERT, ended, operator, table, until

from carboy.config import Profile
from carboy.errors import ConfigurationError
from carboy.redact import Secret
from carboy.services.archive.destinations.config import DestinationConfig, make_destinations
from carboy.testing import Answer, Drip, LoopbackServer, ManualClock, Stall
from carboy.testing.answers import Step


def attempts(gateway: Gateway, state: str = "delivered") -> list[dict[str, Any]]:
    [delivery] = until(ended(gateway, state))
    shown: list[dict[str, Any]] = gateway.get(f"/api/v1/deliveries/{delivery['id']}").get_json()["attempts"]
    return shown


@pytest.mark.slow
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(serve: Serve, status: int) -> None:
    with LoopbackServer(Answer()) as other, LoopbackServer() as receiver:
        receiver.script(Answer(status, b"", {"Location": f"{other.url}/elsewhere"}))
        gateway = operator(serve(toml=table(receiver.url, 'retry = ["0s"]')))
        gateway.send(ALERT)

        [attempt] = attempts(gateway, "failed")

        assert (attempt["status"], attempt["error"]) == (status, f"the receiver answered {status}")
        assert other.requests == []


def test_of_a_long_response_the_first_4_kib_are_kept(serve: Serve) -> None:
    with LoopbackServer(Answer(200, "é".encode() * 2_000_000)) as receiver:
        gateway = operator(serve(toml=table(receiver.url)))
        gateway.send(ALERT)

        [attempt] = attempts(gateway)

        assert len(attempt["response"].encode()) <= 4096 + 2
        assert set(attempt["response"].rstrip("�")) == {"é"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    [Stall(), Stall("headers"), Drip(Answer(200, b"x" * 1000), every_s=0.1, headers_at_once=False)],
    ids=["silent", "half of the headers", "a byte at a time"],
)
def test_the_time_of_an_attempt_is_a_total(serve: Serve, step: Step) -> None:
    with LoopbackServer(step) as receiver:
        gateway = operator(serve(toml=table(receiver.url, 'retry = ["0s"]\ntimeout_s = 0.5')))
        gateway.send(ALERT)

        [attempt] = attempts(gateway, "failed")

        assert (attempt["status"], attempt["error"]) == (None, "no response in time")


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "held_s"), [("120", 120), ("86400", 3600)])
@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_asks_for_it_is_left_alone_for_an_hour_at_most(
    serve: Serve, status: int, asked: str, held_s: int
) -> None:
    """That holds for all of its deliveries, the new ones too."""
    clock = ManualClock(sleep="waits")
    with LoopbackServer(Answer()) as receiver:
        receiver.script(Answer(status, b"", {"Retry-After": asked}))
        gateway = operator(serve(toml=table(receiver.url, 'retry = ["0s", "1s", "1s"]'), clock=clock))
        gateway.send(ALERT)
        until(lambda: [one for one in ended(gateway, "waiting")() if one["attempts_made"] == 1])
        gateway.send({**ALERT, "id": "second"})
        clock.advance(held_s - 5)
        gateway.send({**ALERT, "id": "third"})
        assert len(receiver.requests) == 1

        clock.advance(6)

        until(lambda: len(ended(gateway)()) == 3)
        assert [one["event"]["id"] for one in ended(gateway)()] == ["third", "second", ALERT["id"]]


@pytest.mark.slow
def test_the_id_is_the_same_at_each_attempt_and_another_for_a_replay(serve: Serve) -> None:
    with LoopbackServer(Answer()) as receiver:
        receiver.script(Answer(500), Answer(400), Answer(500))
        gateway = operator(serve(toml=table(receiver.url, 'retry = ["0s", "0s"]')))
        gateway.send(ALERT)
        [failed] = until(ended(gateway, "failed"))
        gateway.post(f"/api/v1/deliveries/{failed['id']}/retry")
        [delivered] = until(ended(gateway))

        assert delivered["id"] == failed["id"]
        assert [request.headers["webhook-id"] for request in receiver.requests] == [failed["id"]] * 4
        chosen = {"from": "2017-01-01T00:00:00Z", "until": "2018-01-01T00:00:00Z"}
        gateway.post("/api/v1/destinations/siem/replay", json=chosen)
        until(lambda: len(ended(gateway)()) == 2)
        assert receiver.requests[-1].headers["webhook-id"] != failed["id"]


@pytest.mark.slow
def test_deliveries_come_in_the_order_of_their_events_where_one_is_in_flight(serve: Serve) -> None:
    """Also after a pause, which gives back what was taken."""
    with LoopbackServer(Answer(delay_s=0.005)) as receiver:
        gateway = operator(serve(toml=table(receiver.url, "max_in_flight = 1")))
        gateway.post("/api/v1/destinations/siem/pause")
        gateway.send(*({**ALERT, "id": f"a{at:02}"} for at in range(40)))
        gateway.post("/api/v1/destinations/siem/resume")
        until(lambda: len(receiver.requests) > 5)
        gateway.post("/api/v1/destinations/siem/pause")
        until(lambda: not ended(gateway, "delivering")())
        gateway.post("/api/v1/destinations/siem/resume")
        until(lambda: len(ended(gateway)()) == 40)

        order = list(dict.fromkeys(request.json()["id"] for request in receiver.requests))
        assert order == sorted(order)


@pytest.mark.parametrize(
    ("table_", "pointer"),
    [
        (DestinationConfig(""), "d.url"),
        (DestinationConfig("HTTPS://"), "d.url"),
        (DestinationConfig("gopher://x/"), "d.url"),
        (DestinationConfig("file:///etc/passwd"), "d.url"),
        (DestinationConfig("https://ok.example/", sources=("nope", "threatstack")), "d.sources"),
        (DestinationConfig("https://ok.example/", filter="a ="), "d.filter"),
        (DestinationConfig("https://ok.example/", body="{a:"), "d.body"),
        (DestinationConfig("https://ok.example/", secret=(Secret("short"),)), "d.secret"),
        (DestinationConfig("https://ok.example/", secret=(Secret("whsec_****"),)), "d.secret"),
        (DestinationConfig("https://ok.example/", secret=(Secret(""),)), "d.secret"),
        (DestinationConfig("https://ok.example/", headers={"a b": Secret("x")}), "d.headers"),
        (DestinationConfig("https://ok.example/", headers={"Webhook-Id": Secret("x")}), "d.headers"),
        (DestinationConfig("https://ok.example/", headers={"X": Secret("a\r\nb: c")}), "d.headers"),
        (DestinationConfig("https://ok.example/", max_in_flight=0), "d.max_in_flight"),
        (DestinationConfig("https://ok.example/", timeout_s=float("nan")), "d.timeout_s"),
        (DestinationConfig("https://ok.example:99999/"), "d.url"),
        (DestinationConfig("https://user@10.0.0.1/"), "d.url"),
        (DestinationConfig("http://ok.example/"), "d.url"),
        (DestinationConfig("sqs:"), "d.url"),
        (DestinationConfig("sqs:http://169.254.169.254/123456789012/x"), "d.url"),
        (DestinationConfig("sns:topic"), "d.url"),
        (DestinationConfig("slack:", body="title"), "d.secret"),
        (DestinationConfig("slack:", body="title", secret=(Secret("https://10.0.0.1/x"),)), "d.secret"),
        (DestinationConfig("slack:", body="title", secret=(Secret("http://hooks.example/x"),)), "d.secret"),
        (DestinationConfig("sms:alert"), "d.to"),
        (DestinationConfig("sms:alert", to=("+491511234567",), params={"a": "b ="}), "d.params.a"),
        (DestinationConfig("no.such.module:deliver"), "d.url"),
        (DestinationConfig("os:no_such_function"), "d.url"),
    ],
    ids=lambda one: one if isinstance(one, str) else one.url[:30] or "empty",
)
def test_a_table_that_cannot_work_is_a_fault_with_its_place(table_: DestinationConfig, pointer: str) -> None:
    """One beside good ones: nothing is made, and the place is named."""
    good = DestinationConfig("https://good.example/")
    with pytest.raises(ConfigurationError) as caught:
        make_destinations({"good": good, "d": table_}, ["threatstack"], Profile("prod"))
    assert pointer in {fault.pointer for fault in caught.value.faults}
    assert not any(fault.pointer.startswith("good") for fault in caught.value.faults)
