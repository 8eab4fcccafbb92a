"""Destinations that are not https: queues, topics, buses, Slack, SMS and functions of one's own."""

import json
from typing import Any

import pytest
from tests.lab.migrated import migrated_server_url
from tests.services.archive.kit import Gateway, Serve
from tests.services.archive.test_destinations import ALERT, ended, operator, table, until

from carboy import aws
from carboy.services.archive import on_archived
from carboy.services.archive.destinations import hooks
from carboy.testing import Answer, LoopbackServer
from carboy.testing.processes import AwsServer, DatabaseServer

SEEN: list[Any] = []


def deliver(event: Any) -> str:
    SEEN.append((event.source, event.id, event.json["title"]))
    return "thanks"


@pytest.fixture
def cloud(moto: AwsServer, monkeypatch: pytest.MonkeyPatch) -> AwsServer:
    moto.reset()
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    aws.client.__globals__["forget"]()
    return moto


def test_queues_get_attributes_and_fifo_ids(serve: Serve, cloud: AwsServer) -> None:
    sqs = cloud.client("sqs")
    plain = sqs.create_queue(QueueName="alerts")["QueueUrl"]
    fifo = sqs.create_queue(QueueName="alerts.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    toml = table("sqs:alerts") + table("sqs:alerts.fifo", name="ordered")
    gateway = operator(serve(toml=toml))

    gateway.send(ALERT)
    [delivery] = until(ended(gateway))
    until(ended(gateway, name="ordered"))

    [message] = sqs.receive_message(QueueUrl=plain, MessageAttributeNames=["All"])["Messages"]
    values = {name: one["StringValue"] for name, one in message["MessageAttributes"].items()}
    assert json.loads(message["Body"]) == ALERT
    assert values == {"source": "threatstack", "type": "alert", "id": ALERT["id"], "delivery": delivery["id"]}
    [ordered] = sqs.receive_message(QueueUrl=fifo, AttributeNames=["All"])["Messages"]
    assert ordered["Attributes"]["MessageGroupId"] == "threatstack"


def test_a_bus_a_topic_and_a_stream_get_each_event(serve: Serve, cloud: AwsServer) -> None:
    topic = cloud.client("sns").create_topic(Name="alerts")["TopicArn"]
    cloud.client("events").create_event_bus(Name="alerts")
    cloud.client("kinesis").create_stream(StreamName="alerts", ShardCount=1)
    toml = table(f"sns:{topic}", name="topic") + table("eventbridge:alerts", name="bus")
    gateway = operator(serve(toml=toml + table("kinesis:alerts", name="stream")))

    gateway.send(ALERT)

    for name in ("topic", "bus", "stream"):
        until(ended(gateway, name=name))


def test_a_queue_that_is_not_there_is_a_failed_attempt(serve: Serve, cloud: AwsServer) -> None:
    gateway = operator(serve(toml=table("sqs:nowhere", 'retry = ["0s"]')))

    gateway.send(ALERT)
    [delivery] = until(ended(gateway, "failed"))

    [attempt] = gateway.get(f"/api/v1/deliveries/{delivery['id']}").get_json()["attempts"]
    assert attempt["status"] is None
    assert attempt["error"]


def test_slack_gets_a_text_and_a_function_the_event(serve: Serve) -> None:
    SEEN.clear()
    with LoopbackServer(Answer()) as slack:
        own = table(f"{__name__}:deliver", name="own")
        toml = own + table("slack:", f'secret = "{slack.url}/T0/B0/xyz"\nbody = "title"', name="chat")
        gateway = operator(serve(toml=toml))

        gateway.send(ALERT)
        until(ended(gateway, name="chat"))
        until(ended(gateway, name="own"))

        assert slack.requests[0].json() == {"text": "sudo"}
        assert [("threatstack", ALERT["id"], "sudo")] == SEEN


def test_on_archived_runs_code_for_each_event(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    SEEN.clear()
    monkeypatch.setattr(hooks, "_HOOKS", {})
    on_archived("threatstack")(deliver)
    gateway = operator(serve())

    gateway.send(ALERT)

    until(lambda: SEEN)
    [described] = gateway.get("/api/v1/destinations").get_json()["destinations"]
    assert described["kind"] == "function"


def test_an_alert_reaches_the_engineer_on_call_once(serve: Serve, tmp_path: Any) -> None:
    toml = (
        table("sms:alert", 'to = ["+4915112345678"]\nparams = {title = "title"}', name="oncall")
        + '[default.sms.templates.alert]\nparams = ["title"]\ntext = "Severity 1: {title}"\n'
    )
    outbox = tmp_path / "outbox.jsonl"
    modules = "carboy.services.archive,carboy.services.sms"
    gateway = operator(serve(toml=toml, modules=modules, sms_outbox=str(outbox), sms_countries="DE"))

    gateway.send(ALERT)
    until(ended(gateway, name="oncall"))

    until(lambda: outbox.exists() and outbox.read_text())
    assert len(outbox.read_text().splitlines()) == 1


@pytest.mark.parametrize("server", ["postgres_server", "mariadb_server"])
def test_deliveries_retries_and_retention_work_on_servers(
    request: pytest.FixtureRequest, serve: Serve, server: str
) -> None:

    database: DatabaseServer = request.getfixturevalue(server)
    url = migrated_server_url(database)
    with LoopbackServer(Answer()) as receiver:
        receiver.script(Answer(500), Answer(400))
        toml = table(receiver.url, 'retry = ["0s", "0s"]')
        gateway: Gateway = operator(serve(toml=toml, database_url=url))

        gateway.send(ALERT)
        until(ended(gateway, "failed"))
        assert gateway.post("/api/v1/destinations/siem/retry").status_code == 202
        until(ended(gateway))
        gateway.post("/api/v1/destinations/siem/pause")
        gateway.send({**ALERT, "id": "second"})
        gateway.post("/api/v1/destinations/siem/resume")
        until(lambda: len(ended(gateway)()) == 2)

        items = gateway.archive.index.versions("threatstack", "second")
        gateway.archive.upkeep.delete(items, "keep")
        assert len(ended(gateway)()) == 1
        gateway.archive.upkeep.run()


def test_a_message_that_is_refused_takes_no_other_with_it(serve: Serve, cloud: AwsServer) -> None:
    """Batches are no longer than a message may be; one that is too long alone fails at once, and alone."""
    sqs = cloud.client("sqs")
    queue = sqs.create_queue(QueueName="alerts")["QueueUrl"]
    gateway = operator(serve(toml=table("sqs:alerts"), max_body_bytes=8_000_000))
    gateway.post("/api/v1/destinations/siem/pause")
    sizes = [150_000] * 8 + [1_200_000, 100, 10]

    answer = gateway.send(*({**ALERT, "id": f"a{at}", "text": "x" * size} for at, size in enumerate(sizes)))
    assert answer.get_json()["accepted"] == len(sizes)
    gateway.post("/api/v1/destinations/siem/resume")
    [failed] = until(ended(gateway, "failed"))
    until(lambda: len(ended(gateway)()) == len(sizes) - 1)

    assert failed["event"]["id"] == "a8"
    assert failed["attempts_made"] == 1
    assert gateway.get("/api/v1/destinations/siem").get_json()["state"] == "active"
    got: set[str] = set()
    while some := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        got |= {json.loads(one["Body"])["id"] for one in some}
    assert got == {f"a{at}" for at in range(len(sizes))} - {"a8"}


@pytest.mark.parametrize("kind", ["https", "sqs", "slack"])
def test_an_expression_that_fails_over_one_event_fails_that_one_alone(
    serve: Serve, cloud: AwsServer, kind: str
) -> None:
    """It is shown with the reason, is not tried again, and says nothing about the destination."""
    cloud.client("sqs").create_queue(QueueName="alerts")
    with LoopbackServer(Answer()) as receiver:
        more = "body = \"{text: join(',', tags)}\""
        tables = {
            "https": table(receiver.url, more),
            "sqs": table("sqs:alerts", more),
            "slack": table("slack:", f'{more}\nsecret = "{receiver.url}/T0"'),
        }
        gateway = operator(serve(toml=tables[kind]))
        bad = [{**ALERT, "id": f"bad{at}"} for at in range(6)]

        gateway.send(*bad, {**ALERT, "id": "good", "tags": ["a", "b"]})
        until(ended(gateway))
        until(lambda: len(ended(gateway, "failed")()) == len(bad))

        [failed, *_] = ended(gateway, "failed")()
        [attempt] = gateway.get(f"/api/v1/deliveries/{failed['id']}").get_json()["attempts"]
        assert "`body` cannot be computed" in attempt["error"]
        assert gateway.get("/api/v1/destinations/siem").get_json()["state"] == "active"
