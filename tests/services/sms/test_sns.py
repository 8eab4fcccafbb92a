"""Two-way SMS and events of AWS, in the envelope of Amazon SNS, through the public routes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.amazon_sns import TOPIC, Amazon, amazon_sns
from tests.lab.sms_providers import SmsProvider
from tests.services.sms.kit import TEMPLATES, MakeService, Service

StandIn = Callable[..., SmsProvider]
NUMBER = "+14255550182"
NOW = "2026-01-01T00:00:00.000Z"  # of the service's clock
DOCUMENTED = {
    "originationNumber": NUMBER,
    "destinationNumber": "+12125550101",
    "messageKeyword": "JOIN",
    "messageBody": "STOP",
    "inboundMessageId": "cae173d2-66b9-564c-8309-21f858e9fb84",
    "previousPublishedMessageId": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}
"""Source: docs.aws.amazon.com, "Example of a two-way SMS message payload for Amazon SNS topics"."""


@pytest.fixture
def amazon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Amazon]:
    with amazon_sns(tmp_path) as (stand_in, environ):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        yield stand_in


@pytest.fixture
def aws(stand_in: StandIn, make_service: MakeService) -> Service:
    templates = {**TEMPLATES, "offer": {"kind": "marketing", "params": [], "text": "New"}}
    return make_service(
        stand_in("aws"), stand_in("twilio"), aws_sms_topic_arns=TOPIC, sms_templates=templates, auth="on"
    )


def post(service: Service, body: bytes, path: str = "/api/sms/inbound/aws", kind: str = "Notification") -> Any:
    """Post as SNS does."""
    headers = {"x-amz-sns-message-type": kind, "x-amz-sns-topic-arn": TOPIC}
    return service.client.post(path, data=body, content_type="text/plain; charset=UTF-8", headers=headers)


def kept(service: Service) -> list[tuple[str, str, str]]:
    with service.held.engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT sender, text, keyword FROM sms_inbound").all()
    return [(row[0], row[1], row[2]) for row in found]


def opted_out(service: Service) -> list[str]:
    with service.held.engine.connect() as connection:
        return [row[0] for row in connection.exec_driver_sql("SELECT receiver FROM sms_opt_outs")]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_stop_arrives_in_a_signed_envelope(aws: Service, amazon: Amazon, version: str) -> None:
    """SNS repeats a message under one id, or with a new one; the message that a person wrote is one."""
    for envelope in ("m-1", "m-1", "m-2"):
        body = amazon.message(version=version, Message=json.dumps(DOCUMENTED), Timestamp=NOW, MessageId=envelope)
        assert post(aws, body).status_code == 200
    assert kept(aws) == [(NUMBER, "STOP", "stop")]
    assert opted_out(aws) == [NUMBER]
    again = {**DOCUMENTED, "messageBody": "Start", "inboundMessageId": "2"}
    assert post(aws, amazon.message(Message=json.dumps(again), Timestamp=NOW)).status_code == 200
    assert opted_out(aws) == []


REFUSED: dict[str, Callable[[Amazon, str], bytes]] = {
    "another topic": lambda sns, text: sns.message(Message=text, Timestamp=NOW, TopicArn=f"{TOPIC}2"),
    "another's signature": lambda sns, text: Amazon().message(Message=text, Timestamp=NOW),
    "no signature": lambda sns, text: sns.message(Message=text, Timestamp=NOW, Signature=""),
    "a changed message": lambda sns, text: sns.message(Message=text, Timestamp=NOW).replace(b"5550182", b"5550183"),
    "an old message": lambda sns, text: sns.message(Message=text, Timestamp="2025-12-31T22:00:00.000Z"),
    "no envelope": lambda sns, text: text.encode(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_an_envelope_that_does_not_prove_itself_opts_no_number_out(aws: Service, amazon: Amazon, name: str) -> None:
    assert post(aws, REFUSED[name](amazon, json.dumps(DOCUMENTED))).status_code == 403
    assert (kept(aws), opted_out(aws)) == ([], [])


def test_the_content_without_its_envelope_needs_a_key_or_a_token(aws: Service) -> None:
    """Raw delivery is not signed."""
    answer = aws.client.post("/api/sms/inbound/aws", json=DOCUMENTED)
    assert answer.status_code == 401
    assert opted_out(aws) == []


@pytest.mark.slow
@pytest.mark.parametrize("text", ["plain words", "[]", "{}", json.dumps({**DOCUMENTED, "originationNumber": ""})])
def test_what_is_no_message_is_refused_after_its_signature(aws: Service, amazon: Amazon, text: str) -> None:
    assert post(aws, amazon.message(Message=text, Timestamp=NOW)).status_code == 422
    assert kept(aws) == []


@pytest.mark.slow
def test_an_event_of_a_message_settles_it(aws: Service, amazon: Amazon) -> None:
    """The event of End User Messaging is in the envelope, too."""
    from carboy.services.sms.requests import read_send

    body = {"receivers": NUMBER, "template": "notice", "params": {"name": "Li", "day": "Monday"}}
    row = aws.gateway.submit(read_send(body, aws.gateway.rules), "").row
    aws.run_jobs()
    [message] = aws.gateway.records.request(row)[1]  # type: ignore[index]
    assert (message.state, message.provider) == ("sent", "aws")
    event = {
        "eventType": "TEXT_DELIVERED", "eventVersion": "1.0", "eventTimestamp": 1767225601000, "isFinal": True,
        "originationPhoneNumber": "+14155550100", "destinationPhoneNumber": NUMBER, "isoCountryCode": "US",
        "messageId": message.provider_id, "messageRequestTimestamp": 1767225600000, "messageEncoding": "GSM",
        "messageType": "TRANSACTIONAL", "messageStatus": "DELIVERED", "totalMessageParts": 1,
        "messageStatusDescription": "Message has been accepted by phone", "context": {"message_id": str(message.id)},
    }  # fmt: skip
    assert (
        post(aws, amazon.message(Message=json.dumps(event), Timestamp=NOW), "/api/sms/receipts/aws").status_code == 200
    )
    assert aws.gateway.records.message(message.id).state == "delivered"
