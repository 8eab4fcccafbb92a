"""AWS as receiver, by stand-ins that speak its protocols: what it refuses, throttles and cannot do, and its words."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.services.archive.kit import Gateway, Serve
from tests.services.archive.test_destinations import ALERT, ended, operator, table, until

from carboy import aws
from carboy.testing import Answer, LoopbackServer, Request

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alerts"
Decide = Callable[[list[dict[str, Any]]], Answer]


def error_of(code: str, status: int = 400, words: str = "said AWS") -> Answer:
    """Return an error in both protocols: JSON, as SQS and Kinesis have it, and XML, as SNS has it."""
    return Answer(status, json.dumps({"__type": f"com.amazonaws#{code}", "message": words}).encode(),
                  {"Content-Type": "application/x-amz-json-1.0", "x-amzn-query-error": f"{code};Sender"})  # fmt: skip


@contextmanager
def stand_in(monkeypatch: pytest.MonkeyPatch, decide: Decide) -> Iterator[LoopbackServer]:
    """Run SQS; `decide` gets the entries of each batch."""

    def answer(request: Request) -> Answer:
        if request.headers["x-amz-target"].endswith("GetQueueUrl"):
            return Answer(200, json.dumps({"QueueUrl": f"{server.url}/123456789012/alerts"}).encode())
        return decide(request.json()["Entries"])

    with LoopbackServer(answer) as server:
        names = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "eu-west-1"}
        for name, value in {**names, "AWS_ENDPOINT_URL": server.url}.items():
            monkeypatch.setenv(name, value)
        aws.client.__globals__["forget"]()
        yield server
    aws.client.__globals__["forget"]()


def taken(entries: list[dict[str, Any]], *failed: dict[str, Any]) -> Answer:
    good = [{"Id": one["Id"], "MessageId": "m", "MD5OfMessageBody": ""} for one in entries]
    good = [one for one in good if one["Id"] not in {each["Id"] for each in failed}]
    return Answer(200, json.dumps({"Successful": good, "Failed": list(failed)}).encode())


def batches(server: LoopbackServer) -> list[int]:
    return [len(one.json()["Entries"]) for one in server.requests if "Entries" in one.json()]


def send_ten(gateway: Gateway) -> None:
    gateway.post("/api/v1/destinations/siem/pause")
    gateway.send(*({**ALERT, "id": f"a{at}"} for at in range(10)))
    gateway.post("/api/v1/destinations/siem/resume")


def attempts_of(gateway: Gateway, state: str) -> list[dict[str, Any]]:
    return [
        gateway.get(f"/api/v1/deliveries/{one['id']}").get_json()["attempts"][-1] for one in ended(gateway, state)()
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error_of("RequestThrottled"), "come back later"),
        (error_of("ThrottlingException"), "come back later"),
        (error_of("InvalidClientTokenId", 403), "credentials"),
        (error_of("AccessDenied", 403, "not authorized to perform: sqs:sendmessage"), "AccessDenied"),
        (error_of("QueueDoesNotExist"), "is not there"),
        (error_of("InternalFailure", 500), ""),
        (error_of("KmsDisabled"), ""),
        (Answer(503, b"<html>busy</html>"), ""),
        (Answer(200, b"{not json"), "does not confirm"),
        (Answer(200, b"<html>sign in</html>"), "does not confirm"),
        (Answer(200, b"{}"), "does not confirm"),
        (Answer(200, b'{"Successful": [], "Failed": []}'), "does not confirm"),
    ],
    ids=[
        "throttled",
        "throttling",
        "credentials",
        "denied",
        "missing",
        "internal",
        "kms",
        "html",
        "garbage",
        "page",
        "empty",
        "none",
    ],
)
def test_what_concerns_all_of_a_batch_is_asked_once_and_fails_all(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, answer: Answer, words: str
) -> None:
    """Ten deliveries cost one call and not eleven; each waits for its next attempt, with the reason and no secret."""
    with stand_in(monkeypatch, lambda _: answer) as server:
        gateway = operator(serve(toml=table("sqs:alerts", 'retry = ["0s", "1h"]')))
        send_ten(gateway)
        until(lambda: sum(one["attempts_made"] for one in ended(gateway, "waiting")()) == 10)

        assert batches(server) == [10]
        found = attempts_of(gateway, "waiting")
        assert len(found) == 10
        assert all(words in one["error"] for one in found)
        assert SECRET not in json.dumps(found)


@pytest.mark.slow
def test_of_a_batch_only_what_is_refused_fails(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def decide(entries: list[dict[str, Any]]) -> Answer:
        failed = []
        for one in entries:
            at = json.loads(one["MessageBody"])["id"]
            if at == "a3":
                failed.append({"Id": one["Id"], "SenderFault": True, "Code": "InvalidMessageContents", "Message": "no"})
            if at == "a5" and len(server.requests) < 4:
                failed.append({"Id": one["Id"], "SenderFault": False, "Code": "InternalError", "Message": "later"})
        return taken(entries, *failed)

    with stand_in(monkeypatch, decide) as server:
        gateway = operator(serve(toml=table("sqs:alerts", 'retry = ["0s", "0s", "0s", "0s"]')))
        send_ten(gateway)
        until(lambda: len(ended(gateway)()) == 9)

        [failed] = ended(gateway, "failed")()
        assert failed["event"]["id"] == "a3"
        assert failed["attempts_made"] == 1


@pytest.mark.slow
def test_an_id_that_a_message_attribute_cannot_have_is_written_without_those_characters(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQS and SNS take what XML can hold; the body, JSON, has such characters escaped."""
    with stand_in(monkeypatch, taken) as server:
        toml = table("sqs:alerts", 'sources = ["it"]') + '[default.archive.sources.it]\nverify = "none"\nid = "/id"\n'
        gateway = operator(serve(toml=toml))
        event_id = "a\x00\x01b\x0bc\ufffe\ud7ff\tü\U0001f600"
        answer = gateway.open("POST", "/api/v1/webhooks/it?wait=20", json={"id": event_id})
        assert answer.status_code == 200, answer.get_data()
        until(ended(gateway))

        [entry] = next(one.json()["Entries"] for one in server.requests if "Entries" in one.json())
        assert entry["MessageAttributes"]["id"]["StringValue"] == "abc\ud7ff\tü\U0001f600"
        assert json.loads(entry["MessageBody"])["id"] == event_id
