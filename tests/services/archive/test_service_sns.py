"""Amazon SNS in front of the archive: signed messages are opened, unsigned ones are refused."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.amazon_sns import BODY, HOST, OWN, TOPIC, Amazon, amazon_sns

from carboy.clock import SYSTEM_CLOCK
from carboy.testing.http_server import LoopbackServer
from carboy.testing.processes import AwsServer

PATH = "/api/v1/s3/alert"
KEY = "webhooks/2017/01/17/13/51/a"
AMZ = "x-amz-sns-message-type"


@pytest.fixture
def amazon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Amazon]:
    with amazon_sns(tmp_path) as (stand_in, environ):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        yield stand_in


def post(gateway: Any, body: bytes, path: str = PATH, kind: str = "Notification", **more: str) -> Any:
    headers = {AMZ: kind, **more}
    return gateway.open("POST", f"{path}?wait=10", data=body, headers=headers, content_type="text/plain; charset=UTF-8")


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_notification_is_opened_and_kept_as_if_it_had_come_alone(serve: Any, amazon: Amazon, version: str) -> None:
    """Its `Message` is JSON in a string; the certificate is fetched once."""
    gateway = serve(sns_topic_arns=TOPIC)

    answers = [post(gateway, amazon.message(version=version)) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.get_json()["accepted"] for answer in answers] == [1, 0]
    assert gateway.kept() == [KEY]
    assert gateway.read(KEY) == b'{"id": "a", "created_at": "1484661060000"}'
    assert amazon.asked == [OWN]


REFUSED: dict[str, Callable[[Amazon], bytes]] = {
    "another topic": lambda sns: sns.message(TopicArn=TOPIC + "2"),
    "another's signature": lambda sns: Amazon().message(),
    "no signature": lambda sns: sns.message(Signature=""),
    "a changed message": lambda sns: sns.message().replace(b"1484661060000", b"1484661060001"),
    "another certificate": lambda sns: sns.message(SigningCertURL=f"https://evil.example.com{OWN}"),
    "a certificate beside": lambda sns: sns.message(SigningCertURL=f"https://{HOST}.evil.example.com{OWN}"),
    "plain http": lambda sns: sns.message(SigningCertURL=f"http://{HOST}{OWN}"),
    "an old message": lambda sns: sns.message(Timestamp="2020-01-01T00:00:00.000Z"),
    "no object": lambda sns: b"[]",
    "nothing of it": lambda sns: b"{}",
    "the bare alert": lambda sns: BODY.encode(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_proven_is_a_403_and_nothing_is_stored(serve: Any, amazon: Amazon, name: str) -> None:
    gateway = serve(sns_topic_arns=TOPIC)

    answer = post(gateway, REFUSED[name](amazon))

    assert (answer.status_code, answer.content_type) == (403, "application/problem+json")
    assert gateway.kept() == []


def test_without_topics_nothing_is_let_in(serve: Any, amazon: Amazon) -> None:
    assert post(serve(), amazon.message()).status_code == 403
    assert amazon.asked == []


def test_what_a_notification_holds_is_judged_as_any_webhook(serve: Any, amazon: Amazon) -> None:
    gateway = serve(sns_topic_arns=TOPIC)

    assert post(gateway, amazon.message(Message="not json")).status_code == 400
    answer = post(gateway, amazon.message(Message='{"alerts": [{"id": "../x"}]}'))
    assert answer.status_code == 422
    assert [one["pointer"] for one in answer.get_json()["errors"]] == ["/alerts/0/id", "/alerts/0/created_at"]
    assert post(gateway, b"not json").status_code == 400
    assert gateway.kept() == []


def test_a_certificate_that_cannot_be_fetched_now_is_a_503(serve: Any, amazon: Amazon, monkeypatch: Any) -> None:
    """SNS tries again: a network that fails is no forgery."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        answer = post(serve(sns_topic_arns=TOPIC), amazon.message())

    assert answer.status_code == 503
    assert "Retry-After" in answer.headers


def test_moto_publishes_to_us_and_a_subscription_is_confirmed(
    serve: Any, amazon: Amazon, moto: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed by another program from one end to the other; the subscription is confirmed through the SNS API."""
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    sns = moto.client("sns")
    amazon.moto = moto
    with LoopbackServer() as listener:
        topic = sns.create_topic(Name="published-to-us")["TopicArn"]
        arn = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=listener.url, ReturnSubscriptionArn=True)
        sns.publish(TopicArn=topic, Message=BODY)
        published = [request for request in listener.requests if b"Notification" in request.body][-1]
    gateway = serve(sns_topic_arns=topic)

    assert post(gateway, published.body).get_json()["archived"] == 1
    assert gateway.kept() == [KEY]

    asked = amazon.message("SubscriptionConfirmation", TopicArn=topic, Token=arn["SubscriptionArn"])
    assert post(gateway, asked, kind="SubscriptionConfirmation").status_code == 202
    attributes = sns.get_subscription_attributes(SubscriptionArn=arn["SubscriptionArn"])["Attributes"]
    assert attributes["ConfirmationWasAuthenticated"] == "true"
    assert post(gateway, amazon.message("UnsubscribeConfirmation", TopicArn=topic)).status_code == 202
    assert gateway.kept() == [KEY]


@pytest.mark.parametrize(("region", "endpoint"), [("eu-west-1", "http://127.0.0.1:9"), ("eu-west-2", "")])
def test_a_confirmation_that_fails_is_a_503(
    serve: Any, amazon: Amazon, moto: AwsServer, monkeypatch: pytest.MonkeyPatch, region: str, endpoint: str
) -> None:
    """The endpoint is unreachable, or does not know the token: SNS retries, and the log has the reason."""
    for name, value in {**moto.environment, "AWS_ENDPOINT_URL": endpoint or moto.url}.items():
        monkeypatch.setenv(name, value)
    topic = TOPIC.replace("us-east-1", region)  # clients are kept by region
    gateway = serve(sns_topic_arns=topic)

    answer = post(gateway, amazon.message("SubscriptionConfirmation", TopicArn=topic, Token="unknown"))

    assert answer.status_code == 503


def test_raw_delivery_is_let_in_with_a_key_or_a_path_token_only(serve: Any) -> None:
    """It has no signature: any client can write the headers."""
    gateway = serve(sns_topic_arns=TOPIC, toml='[default.archive.sources.threatstack]\ntokens = ["t0ken"]\n')
    raw = {"x-amz-sns-rawdelivery": "true", "x-amz-sns-topic-arn": TOPIC, "x-amz-sns-message-id": "m"}

    assert post(gateway, BODY.encode(), **raw).status_code == 401
    assert post(gateway, BODY.encode(), "/api/v1/webhooks/threatstack", **raw).status_code == 401
    assert post(gateway, BODY.encode(), "/api/v1/webhooks/threatstack/t0ke", **raw).status_code == 403
    assert gateway.kept() == []

    signed = {**raw, "Authorization": f"Bearer {gateway.key}"}
    assert post(gateway, BODY.encode(), **signed).get_json()["accepted"] == 1
    assert post(gateway, BODY.encode(), "/api/v1/webhooks/threatstack/t0ken", **raw).get_json()["duplicates"] == 1
    assert post(gateway, BODY.encode(), **{**signed, "x-amz-sns-topic-arn": TOPIC + "2"}).status_code == 403


def test_a_source_of_its_own_may_stand_behind_sns(serve: Any, amazon: Amazon) -> None:
    """What is kept is the message, not the envelope; its id is that of the message, if the source says so."""
    lines = '[default.archive.sources.cloud]\nverify = "sns"\nid = "header:x-amz-sns-message-id"\n'
    gateway = serve(sns_topic_arns=TOPIC, toml=lines, clock=SYSTEM_CLOCK)
    path = "/api/v1/webhooks/cloud"

    assert post(gateway, amazon.message(Message="<plain/>"), path).get_json()["ids"] == ["m-1"]
    assert post(gateway, Amazon().message(), path).status_code == 403
    assert gateway.open("POST", path, data=b"<plain/>").status_code == 403
    [key] = gateway.kept()
    assert key.startswith("webhooks/cloud/")
    assert gateway.read(key) == b"<plain/>"
