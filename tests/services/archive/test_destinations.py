"""Destinations: who gets what, signed, by schedule, with every attempt kept."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from tests.services.archive.kit import Gateway, Serve

from carboy.errors import ConfigurationError
from carboy.testing import Answer, LoopbackServer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ALERT = {"id": "587c0159a907346eccb84004", "created_at": 1484653401000, "severity": 1, "title": "sudo"}

OK = Answer()
Sink = Callable[..., LoopbackServer]


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Starts a receiver with a standing answer."""
    with ExitStack() as stack:
        yield lambda step=OK: stack.enter_context(LoopbackServer(step))


def table(url: str, more: str = "", name: str = "siem") -> str:
    return f'[default.archive.destinations.{name}]\nurl = "{url}"\n{more}\n'


def until(found: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait for something that is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
    return result


def operator(gateway: Gateway) -> Gateway:
    gateway.key = gateway.make_key(
        "archive:write", "archive:read", "jobs:admin", "destinations:read", "destinations:write"
    )
    return gateway


def ended(gateway: Gateway, state: str = "delivered", name: str = "siem") -> Callable[[], Any]:
    return lambda: gateway.get(f"/api/v1/destinations/{name}/deliveries?state={state}").get_json()["deliveries"]


@pytest.mark.slow
def test_an_alert_is_delivered_signed_and_as_it_came(serve: Serve, sink: Sink) -> None:
    receiver = sink()
    gateway = operator(serve(toml=table(receiver.url, f'secret = "{SECRET}"')))

    gateway.send(ALERT)
    [delivery] = until(ended(gateway))

    [request] = receiver.requests
    assert Webhook(SECRET).verify(request.body, request.headers) == ALERT
    assert request.headers["webhook-id"] == delivery["id"]
    assert request.headers["content-type"] == "application/json"
    assert delivery["event"] == {"source": "threatstack", "id": ALERT["id"], "type": "alert"}
    shown = gateway.get(f"/api/v1/deliveries/{delivery['id']}").get_json()
    assert [one["status"] for one in shown["attempts"]] == [200]
    described = gateway.get("/api/v1/destinations/siem").get_json()
    assert described["state"] == "active"
    assert described["waiting"] == described["failed"] == 0
    assert described["success_rate"] == 1.0


@pytest.mark.slow
def test_a_failure_is_tried_again_with_the_same_id(serve: Serve, sink: Sink) -> None:
    receiver = sink()
    receiver.script(Answer(500, b"not now"), Answer(503, b"", {"Retry-After": "1"}))
    gateway = operator(serve(toml=table(receiver.url, 'retry = ["0s", "0s", "0s"]')))

    gateway.send(ALERT)
    [delivery] = until(ended(gateway))

    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    attempts = gateway.get(f"/api/v1/deliveries/{delivery['id']}").get_json()["attempts"]
    assert [one["status"] for one in attempts] == [500, 503, 200]
    assert attempts[0]["response"] == "not now"
    assert receiver.requests[2].at_s - receiver.requests[1].at_s >= 1.0
    assert delivery["attempts_made"] == 3


@pytest.mark.slow
def test_a_failed_delivery_is_shown_and_can_be_retried(serve: Serve, sink: Sink) -> None:
    receiver = sink()
    receiver.script(Answer(400))
    gateway = operator(serve(toml=table(receiver.url, 'retry = ["0s"]')))
    gateway.send(ALERT)
    until(ended(gateway, "failed"))
    assert gateway.get("/api/v1/destinations/siem").get_json()["failed"] == 1

    answer = gateway.post("/api/v1/destinations/siem/retry", json={"state": "failed"})

    assert (answer.status_code, answer.get_json()["deliveries"]) == (202, 1)
    until(ended(gateway))


@pytest.mark.slow
def test_410_pauses_and_resume_goes_on(serve: Serve, sink: Sink) -> None:
    receiver = sink()
    receiver.script(Answer(410))
    gateway = operator(serve(toml=table(receiver.url)))
    gateway.send(ALERT)
    until(ended(gateway, "failed"))
    assert gateway.get("/api/v1/destinations/siem").get_json()["state"] == "paused"

    gateway.send({**ALERT, "id": "second"})
    time.sleep(0.3)
    assert len(receiver.requests) == 1
    assert gateway.post("/api/v1/destinations/siem/resume").get_json()["state"] == "active"

    [delivery] = until(ended(gateway))
    assert delivery["event"]["id"] == "second"


@pytest.mark.slow
def test_only_what_a_destination_wants_is_delivered(serve: Serve, sink: Sink) -> None:
    receiver = sink()
    body = "body = \"{text: title, who: _source}\"\nfilter = 'severity <= `2`'"
    toml = table(receiver.url, f'sources = ["threatstack"]\nevents = ["al*"]\n{body}')
    gateway = operator(serve(toml=toml + table(receiver.url, 'events = ["push"]', name="other")))

    gateway.send(ALERT, {**ALERT, "id": "mild", "severity": 3})
    until(ended(gateway))

    rows = gateway.get("/api/v1/destinations/siem/deliveries").get_json()["deliveries"]
    assert [row["event"]["id"] for row in rows] == [ALERT["id"]]
    assert gateway.get("/api/v1/destinations/other/deliveries").get_json()["deliveries"] == []
    [request] = receiver.requests
    assert request.json() == {"text": "sudo", "who": "threatstack"}


def test_test_sends_a_sample_now_and_answers_with_the_attempt(serve: Serve, sink: Sink) -> None:
    receiver = sink(Answer(200, f"thanks for {SECRET}".encode()))
    gateway = operator(serve(toml=table(receiver.url, f'secret = "{SECRET}"')))

    answer = gateway.post("/api/v1/destinations/siem/test").get_json()

    assert (answer["status"], answer["response"]) == (200, "thanks for ***")


@pytest.mark.slow
def test_replay_makes_a_new_delivery_for_each_event_of_the_range(serve: Serve, sink: Sink) -> None:
    receiver = sink()
    gateway = operator(serve(toml=table(receiver.url)))
    gateway.send(ALERT, {**ALERT, "id": "later", "created_at": 1484653461000})
    until(lambda: len(ended(gateway)()) == 2)
    wanted = {"from": "2017-01-17T11:43:00Z", "until": "2017-01-17T11:44:00Z"}

    dry = gateway.post("/api/v1/destinations/siem/replay", json={**wanted, "dry_run": True})
    assert (dry.status_code, dry.get_json()["events"]) == (202, 1)
    assert gateway.post("/api/v1/destinations/siem/replay", json=wanted).get_json()["events"] == 1

    until(lambda: len(ended(gateway)()) == 3)
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert len(set(ids)) == 3
    chosen = {**wanted, "until": "2018-01-01T00:00:00Z", "filter": "_id == 'later'", "dry_run": True}
    assert gateway.post("/api/v1/destinations/siem/replay", json=chosen).get_json()["events"] == 1


def test_bad_tables_are_refused_all_at_once(serve: Serve) -> None:
    toml = (
        table("ftp://x", name="a")
        + table("https://10.0.0.1/x", 'allow_private = false\nsources = ["nope"]', name="b")
        + table("https://example.com", 'filter = "a ="\nsecret = "whsec_?"', name="c")
        + table("no.such.module:deliver", name="d")
        + table("http://example.com", "allow_http = false", name="e")
    )
    with pytest.raises(ConfigurationError) as caught:
        serve(toml=toml)

    text = " ".join(one.detail for one in caught.value.faults)
    for part in ("a.url", "b.url", "b.sources", "c.filter", "c.secret", "d.url", "e.url"):
        assert f"`{part}`" in text


def test_no_route_is_open_without_its_scope(serve: Serve, sink: Sink) -> None:
    gateway = serve(toml=table(sink().url))

    assert gateway.get("/api/v1/destinations").status_code == 403
    gateway.key = gateway.make_key("destinations:read")
    assert gateway.get("/api/v1/destinations").status_code == 200
    assert gateway.post("/api/v1/destinations/siem/pause").status_code == 403
    gateway.key = gateway.make_key("destinations:write")
    assert gateway.post("/api/v1/destinations/nope/pause").status_code == 404


@pytest.mark.slow
def test_a_replay_counts_what_it_then_makes(serve: Serve, sink: Sink) -> None:
    """By types, sources and time, in the index alone; by a filter, with what is in the events."""
    sources = "".join(
        f'[default.archive.sources.{name}]\nverify = "none"\nid = "/id"\nevents = "/kind"\n' for name in ("it", "other")
    )
    toml = table(sink().url, 'sources = ["it"]\nevents = ["push", "x*"]') + sources
    gateway = operator(serve(toml=toml))
    for source in ("it", "other"):
        for at, kind in enumerate(["push", "pull", "xa", "xb", None]):
            body = {"id": f"e{at}", **({"kind": kind} if kind else {})}
            assert gateway.open("POST", f"/api/v1/webhooks/{source}?wait=20", json=body).status_code == 200
    until(lambda: len(ended(gateway)()) == 3)
    everything = {"from": "2017-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}

    def replay(path: str, **more: Any) -> int:
        count: int = gateway.post(f"/api/v1/{path}/replay", json={**everything, **more}).get_json()["events"]
        return count

    assert replay("webhooks/it", dry_run=True) == replay("webhooks/other", dry_run=True) == 5
    assert replay("destinations/siem", source="other", dry_run=True) == 0
    assert replay("destinations/siem", until="2018-01-01T00:00:00Z", dry_run=True) == 0
    assert replay("destinations/siem", filter="_type == 'xa' || kind == 'pull'", dry_run=True) == 1
    assert replay("destinations/siem") == 3
    until(lambda: len(ended(gateway)()) == 6)
    unknown = gateway.get("/api/v1/destinations/siem/deliveries?event=nosuch").get_json()
    assert (unknown["deliveries"], unknown["next"]) == ([], None)
