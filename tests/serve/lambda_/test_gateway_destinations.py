"""Destinations on Lambda: deliveries are messages of the queue, or rows that messages name."""

import json
from collections.abc import Iterator

import pytest
from standardwebhooks.webhooks import Webhook
from tests.lab.migrated import migrated_server_url
from tests.serve.lambda_.queues import Trigger
from tests.serve.lambda_.test_gateway import (
    ALERT,
    SWEEP,
    Bucket,
    Make,
    _credentials,
    accept,
    ask,
    bucket,
    make,
    trigger,
)

from carboy.testing import Answer, LoopbackServer, ManualClock
from carboy.testing.events import LambdaContext, http_v2
from carboy.testing.processes import AwsServer, DatabaseServer

__all__ = ["_credentials", "bucket", "make", "trigger"]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def sink() -> Iterator[LoopbackServer]:
    with LoopbackServer(Answer()) as server:
        yield server


def table(url: str, more: str = "", name: str = "siem") -> str:
    return f'[default.archive.destinations.{name}]\nurl = "{url}"\n{more}\n'


def ids(server: LoopbackServer) -> list[str]:
    return [request.headers["webhook-id"] for request in server.requests]


# --- without a database ---


def test_an_event_is_delivered_signed_by_a_message_of_its_own(
    make: Make, trigger: Trigger, bucket: Bucket, sink: LoopbackServer
) -> None:
    """Each destination that wants it gets it once, as it came."""
    toml = table(sink.url, f'secret = "{SECRET}"') + table(sink.url, 'filter = "severity > `1`"', name="mild")
    handler = make(toml=toml)

    assert accept(handler, ALERT)[0] == 202
    assert trigger.run(handler) == []

    [request] = sink.requests
    assert Webhook(SECRET).verify(request.body, request.headers) == ALERT
    assert request.headers["content-type"] == "application/json"
    assert trigger.counts() == (0, 0, 0)


def test_a_repeat_has_the_same_id_also_of_a_webhook_that_comes_twice(
    make: Make, trigger: Trigger, sink: LoopbackServer
) -> None:
    """The queue brings a failed one again, and a message twice; the receiver knows it by its id."""
    sink.script(Answer(500))
    handler = make(toml=table(sink.url))
    accept(handler, ALERT)
    assert len(trigger.run(handler)) == 1

    again = handler({"Records": trigger.delivered}, LambdaContext())
    assert again == {"batchItemFailures": []}
    accept(handler, ALERT)
    trigger.run(handler)
    assert len(sink.requests) == 3
    assert len(set(ids(sink))) == 1

    accept(handler, {**ALERT, "severity": 2})
    trigger.run(handler)
    assert len(set(ids(sink))) == 2, "another content is another delivery"


@pytest.mark.parametrize("step", [Answer(503, b"", {"Retry-After": "1800"}), Answer(429, b"", {"Retry-After": "1800"})])
def test_a_receiver_that_asks_for_a_pause_gets_it(
    make: Make, trigger: Trigger, sink: LoopbackServer, step: Answer
) -> None:
    """The message is hidden for that long."""
    sink.script(step)
    handler = make(toml=table(sink.url))
    accept(handler, ALERT)

    assert len(trigger.run(handler)) == 1

    visible, hidden, delayed = trigger.counts()
    assert (visible, hidden + delayed) == (0, 1)
    assert len(sink.requests) == 1


def test_one_that_fails_takes_nothing_from_the_others(make: Make, trigger: Trigger, sink: LoopbackServer) -> None:
    with LoopbackServer(Answer(500)) as down:
        handler = make(toml=table(down.url, name="down") + table(sink.url))
        accept(handler, ALERT, {**ALERT, "id": "b"})
        trigger.run(handler)
    assert sorted(request.json()["id"] for request in sink.requests) == sorted([ALERT["id"], "b"])


def test_what_is_not_text_and_what_no_message_can_hold_is_delivered_as_it_came(
    make: Make, trigger: Trigger, bucket: Bucket, sink: LoopbackServer
) -> None:
    source = '[default.archive.sources.raw]\nverify = "none"\n'
    handler = make(toml=source + table(sink.url))
    for body in (b"\x00\xff\xfe" * 10, b"x" * 400_000):
        event = http_v2("POST", "/api/v1/webhooks/raw", headers=[("content-type", "application/x-thing")], body=body)
        assert handler(event, LambdaContext())["statusCode"] == 202
    assert trigger.run(handler) == []

    assert sorted(request.body for request in sink.requests) == sorted([b"\x00\xff\xfe" * 10, b"x" * 400_000])
    assert {request.headers["content-type"] for request in sink.requests} == {"application/x-thing"}
    assert [key for key in bucket() if key.startswith("messages/")] == []


def test_a_destination_that_is_not_enabled_keeps_what_waits(make: Make, trigger: Trigger, sink: LoopbackServer) -> None:
    handler = make(toml=table(sink.url))
    accept(handler, ALERT)
    off = make(toml=table(sink.url, "enabled = false"))

    assert trigger.run(off) == []
    assert sink.requests == []
    assert trigger.counts() == (0, 0, 1)


def test_what_is_for_no_destination_any_more_goes_to_the_dead_letters(
    make: Make, trigger: Trigger, sink: LoopbackServer
) -> None:
    handler = make(toml=table(sink.url))
    accept(handler, ALERT)

    assert len(trigger.run(make(toml=""))) == 1
    assert sink.requests == []


def test_a_queue_gets_it_from_a_queue(make: Make, trigger: Trigger, moto: AwsServer) -> None:
    target = moto.client("sqs").create_queue(QueueName="alerts-of-a-function")["QueueUrl"]
    handler = make(toml=table("sqs:alerts-of-a-function"))
    accept(handler, ALERT)
    assert trigger.run(handler) == []

    [message] = moto.client("sqs").receive_message(QueueUrl=target, MessageAttributeNames=["All"])["Messages"]
    assert json.loads(message["Body"]) == ALERT
    assert message["MessageAttributes"]["source"]["StringValue"] == "threatstack"


# --- with a database ---


def test_rows_are_delivered_by_messages_that_name_them(
    make: Make, trigger: Trigger, sink: LoopbackServer, postgres_server: DatabaseServer
) -> None:
    """A failure is tried again by the schedule, and the list of attempts is there."""
    url = migrated_server_url(postgres_server)
    clock = ManualClock()
    sink.script(Answer(500))
    handler = make(toml=table(sink.url, 'retry = ["0s", "1h"]'), clock=clock, database_url=url)
    accept(handler, ALERT)

    trigger.run(handler)
    assert len(sink.requests) == 1
    clock.advance(3601)
    handler(SWEEP, LambdaContext())
    trigger.run(handler)

    assert len(sink.requests) == 2
    assert len(set(ids(sink))) == 1
    _, page = ask(handler, "GET", "/api/v1/destinations/siem/deliveries")
    [delivery] = page["deliveries"]
    assert (delivery["state"], delivery["attempts_made"]) == ("delivered", 2)
    _, shown = ask(handler, "GET", f"/api/v1/deliveries/{delivery['id']}")
    assert [one["status"] for one in shown["attempts"]] == [500, 200]
