"""SNS messages: those of the account's topics are opened, all others are refused, with any signature."""

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from carboy.errors import Missing, Refused, Throttled, Unreachable
from carboy.net import Limits
from carboy.problems import Problem
from carboy.services.archive.alerts import parse_alerts
from carboy.testing.answers import Answer, Cut, Drip, Stall, redirect
from carboy.testing.clock import ManualClock
from carboy.testing.http_server import LoopbackServer, closed_port
from carboy.testing.processes import AwsServer
from carboy.webhooks import Certificates, SnsEndpoint, Unverified, fetch_url
from carboy.webhooks.sns import (
    Notification,
    SubscriptionConfirmation,
    UnsubscribeConfirmation,
    Verifier,
    is_certificate_url,
    is_raw_delivery,
    is_sns_url,
    read_raw,
    region_of,
    string_to_sign,
)

NOW_MS = 1_700_000_000_000
NOW = "2023-11-14T22:13:20.000Z"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alerts"
URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123.pem"
SUBSCRIBE_URL = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"


@cache
def key(number: int = 0) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def certificate(private: Any, from_ms: int = NOW_MS - 86_400_000, days: int = 2) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    begins = datetime.fromtimestamp(from_ms / 1000, UTC)
    return (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .sign(private, SHA256())
        .public_bytes(Encoding.PEM)
    )


@cache
def pem() -> bytes:
    return certificate(key())


def message(
    kind: str = "Notification", version: str = "2", private: rsa.RSAPrivateKey | None = None, **changes: Any
) -> bytes:
    """Return a message that is signed as SNS signs; None leaves a field out."""
    fields: dict[str, Any] = {
        "Type": kind,
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Message": '{"alerts": [{"id": "a", "created_at": 1}]}',
        "Timestamp": NOW,
        "SignatureVersion": version,
        "SigningCertURL": URL,
    }
    if kind != "Notification":
        fields |= {"Token": "t0ken", "SubscribeURL": SUBSCRIBE_URL}
    fields = {name: value for name, value in {**fields, **changes}.items() if value is not None}
    if "Signature" not in fields:
        algorithm = SHA1() if version == "1" else SHA256()  # noqa: S303 (what version 1 is)
        signature = (private or key()).sign(string_to_sign(fields), PKCS1v15(), algorithm)
        fields["Signature"] = base64.b64encode(signature).decode()
    return json.dumps(fields).encode()


def verifier(fetched: list[str] | None = None, **options: Any) -> Verifier:
    def fetch(url: str) -> bytes:
        if fetched is not None:
            fetched.append(url)
        return pem()

    clock = ManualClock(NOW_MS)
    return Verifier([TOPIC], Certificates(fetch, clock), clock=clock, **options)


def is_opened(body: bytes, **options: Any) -> bool:
    try:
        verifier(**options).open(body)
    except Unverified:
        return False
    return True


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", [None, "", "An alert"])
def test_a_notification_is_opened(version: str, subject: str | None) -> None:
    """By SHA-1 and by SHA-256, with and without a subject; its message is a webhook in a string."""
    opened = verifier().open(message(version=version, Subject=subject))

    assert isinstance(opened, Notification)
    assert (opened.topic_arn, opened.subject, opened.published_at_ms) == (TOPIC, subject, NOW_MS)
    assert [alert.id for alert in parse_alerts(opened.message.encode())] == ["a"]


def test_a_subject_that_is_null_is_not_signed() -> None:
    """As SNS sends it for some messages."""
    fields = json.loads(message())

    assert is_opened(json.dumps({**fields, "Subject": None}).encode())


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_asks_for_a_confirmation_is_opened(version: str) -> None:
    """Token and address are signed with it."""
    told = ("22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", TOPIC, "t0ken", SUBSCRIBE_URL)

    opened = [
        verifier().open(message(kind, version)) for kind in ("SubscriptionConfirmation", "UnsubscribeConfirmation")
    ]

    assert opened == [SubscriptionConfirmation(*told), UnsubscribeConfirmation(*told)]


def test_what_is_signed_is_spelt_as_amazon_does() -> None:
    """Name and value each on a line, in the order of the names."""
    fields = {"Type": "Notification", "Message": "m", "MessageId": "i", "Timestamp": "t", "TopicArn": "a", "Other": "x"}

    assert string_to_sign(fields) == b"Message\nm\nMessageId\ni\nTimestamp\nt\nTopicArn\na\nType\nNotification\n"
    assert b"\nSubject\ns\nTimestamp\n" in string_to_sign({**fields, "Subject": "s"})


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["Notification", "SubscriptionConfirmation"]), st.sampled_from(["1", "2"]), st.data())
def test_a_change_anywhere_is_refused(kind: str, version: str, data: st.DataObject) -> None:
    """In any signed field, in the signature, or the field taken away."""
    fields = json.loads(message(kind, version, Subject="s"))
    name = data.draw(
        st.sampled_from(sorted(fields.keys() - {"SigningCertURL"} - ({"Subject"} if "Token" in fields else set())))
    )
    change = data.draw(st.sampled_from(["x{}", "{}x", "{} ", "", None]))
    fields[name] = change and change.format(fields[name])
    if change is None:
        del fields[name]

    assert not is_opened(json.dumps(fields).encode())


def test_a_message_of_another_type_is_refused() -> None:
    """A notification's signature does not confirm a subscription."""
    fields = json.loads(message())
    assert not is_opened(json.dumps({**fields, "Type": "SubscriptionConfirmation", "Token": "t"}).encode())
    assert not is_opened(json.dumps({**fields, "Type": "Other"}).encode())


def test_a_topic_that_is_not_carboys_is_refused_before_anything_is_fetched() -> None:
    """Any account can have Amazon sign its own messages."""
    fetched: list[str] = []
    with pytest.raises(Unverified, match="topic"):
        verifier(fetched).open(message(TopicArn="arn:aws:sns:eu-west-1:999999999999:alerts"))

    assert fetched == []


def test_another_key_is_refused() -> None:
    """A valid message that Amazon did not sign."""
    assert not is_opened(message(private=key(1)))


@pytest.mark.parametrize(
    ("timestamp", "is_in"),
    [
        *(("2023-11-14T21:13:20.000Z", True), ("2023-11-14T23:13:20.000Z", True), ("2023-11-14T22:13:20Z", True)),
        *(("2023-11-14T21:13:19.999Z", False), ("2023-11-14T23:13:20.001Z", False)),
        *(("2023-11-14T22:13:20.000", False), ("", False), ("yesterday", False), ("0001-01-01T00:00:00+23:59", False)),
    ],
)
def test_an_old_message_is_refused(timestamp: str, is_in: bool) -> None:
    """An hour either way."""
    assert is_opened(message(Timestamp=timestamp)) is is_in


def test_sha1_can_be_refused() -> None:
    """`require_v2` takes SHA-256 only; other versions are never taken."""
    assert is_opened(message(version="2"), require_v2=True)
    assert not is_opened(message(version="1"), require_v2=True)
    assert not is_opened(message(version="3"))


def test_a_lambda_spells_the_address_its_own_way() -> None:
    """`SigningCertUrl`."""
    fields = json.loads(message())
    fields["SigningCertUrl"] = fields.pop("SigningCertURL")

    assert is_opened(json.dumps(fields).encode())


EVIL_URLS = [
    "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.eu-west-1.amazonaws.com.evil.com/SimpleNotificationService-1.pem",
    "https://evil.com/sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.eu-west-1.amazonaws.com@evil.com/SimpleNotificationService-1.pem",
    "https://user@sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.eu-west-1.amazonaws.com:443/SimpleNotificationService-1.pem",
    "https://sns.eu-west-1.amazonaws.com:8080/SimpleNotificationService-1.pem",
    "https://sns.s3-eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.s3-accelerate.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.eu-west-1.amazonaws.com.cn/SimpleNotificationService-1.pem",
    "https://evilsns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.evil.s3.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.eu.amazonaws.com.cn.evil.com/SimpleNotificationService-1.pem",
    "https://snsXeu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.eu-west-1.amazonaws.com\\@evil.com/SimpleNotificationService-1.pem",
    "https://sns.eu-west-1.amazonaws.com\n.evil.com/SimpleNotificationService-1.pem",
    "https://sns.eu-west-1.amazonaws.com .evil.com/SimpleNotificationService-1.pem",
    "https://sns.eu-west-1.amazonaws.com\t/SimpleNotificationService-1.pem",
    "https://[sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https://ſns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    "ftp://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    "//sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https:sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    "file:///etc/passwd.pem",
    "",
]


def no_credentials(region: str) -> Any:
    """Make boto3's client as it is on a machine without credentials."""
    import boto3

    session = boto3.Session(botocore_session=_without_credentials())
    return session.client("sns", region_name=region)


def _without_credentials() -> Any:
    import botocore.credentials
    import botocore.session

    found = botocore.session.Session()
    found.register_component("credential_provider", botocore.credentials.CredentialResolver([]))
    return found


def endpoint(make_client: Any, fetched: list[str]) -> SnsEndpoint:
    def fetch(url: str) -> bytes:
        fetched.append(url)
        return b""

    return SnsEndpoint([TOPIC], fetch=fetch, make_client=make_client)


@pytest.mark.parametrize("url", EVIL_URLS)
def test_a_certificate_from_anywhere_else_is_not_fetched(url: str) -> None:
    """Nor is a subscription confirmed there."""
    fetched: list[str] = []
    assert not is_certificate_url(url, TOPIC)
    assert not is_sns_url(url, TOPIC)
    with pytest.raises(Unverified):
        verifier(fetched).open(message(SigningCertURL=url))
    with pytest.raises(Unverified):
        endpoint(no_credentials, fetched).confirm(SubscriptionConfirmation("i", TOPIC, "t", url))

    assert fetched == []


def test_amazons_own_addresses_are_known() -> None:
    """In China, too; a certificate is a `.pem` without a query."""
    assert is_certificate_url(URL, TOPIC)
    china = "arn:aws-cn:sns:cn-north-1:123456789012:alerts"
    assert is_certificate_url("https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-1.pem", china)
    assert not is_certificate_url("https://sns.cn-north-1.amazonaws.com/SimpleNotificationService-1.pem", china)
    assert is_sns_url(SUBSCRIBE_URL, TOPIC)
    for url in (SUBSCRIBE_URL, URL.replace(".pem", ".pem?x"), URL.replace(".pem", ".pem#x"), URL.replace(".pem", "")):
        assert not is_certificate_url(url, TOPIC)


def test_a_certificate_is_fetched_once_in_a_while() -> None:
    """Kept by its URL for its time, and few of them."""
    fetched: list[str] = []
    clock = ManualClock(NOW_MS)

    def fetch(url: str) -> bytes:
        fetched.append(url)
        return pem()

    certificates = Certificates(fetch, clock, ttl_s=60, size=2)
    for url in ("a", "a", "b", "a", "c", "c"):
        certificates.key(url)
    assert fetched == ["a", "b", "c"]
    certificates.key("a")  # had to make room
    clock.advance(60)
    certificates.key("c")
    assert fetched == ["a", "b", "c", "a", "c"]


@pytest.mark.parametrize(("from_days", "is_valid"), [(-1, True), (-3, False), (1, False)])
def test_a_certificate_must_be_valid_now(from_days: int, is_valid: bool) -> None:
    """Not before its time, not after it, and not once it runs out while we keep it."""
    clock = ManualClock(NOW_MS)
    made = certificate(key(), NOW_MS + from_days * 86_400_000, days=2)
    certificates = Certificates(lambda url: made, clock, ttl_s=1e9)
    if is_valid:
        certificates.key("u")
        clock.advance(2 * 86_400)
    with pytest.raises(Refused, match="valid"):
        certificates.key("u")


@pytest.mark.parametrize("given", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(given: bytes) -> None:
    """Nor is one of another kind of key."""
    clock = ManualClock(NOW_MS)
    with pytest.raises(Refused):
        Certificates(lambda url: given, clock).key("u")
    with pytest.raises(Refused, match="RSA"):
        Certificates(lambda url: certificate(ec.generate_private_key(ec.SECP256R1())), clock).key("u")


@pytest.mark.parametrize(
    ("error", "seen"),
    [(Unreachable, Unreachable), (Throttled, Throttled), (Refused, Unverified), (Missing, Unverified)],
)
def test_a_certificate_that_cannot_be_had_now_is_no_forgery(error: type[Exception], seen: type[Exception]) -> None:
    """SNS retries later; but an unreachable address proves nothing."""

    def fetch(url: str) -> bytes:
        raise error("a", "b", "c")

    clock = ManualClock(NOW_MS)
    with pytest.raises(seen):
        Verifier([TOPIC], Certificates(fetch, clock), clock=clock).open(message())


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", Problem),
        (b"{", Problem),
        (b"[]", Unverified),
        (b"7", Unverified),
        (b"{}", Unverified),
        (b'{"a":1,"a":1}', Problem),
    ],
)
def test_what_is_no_message_is_refused(body: bytes, error: type[Exception]) -> None:
    """400 where it is not JSON, 403 for the rest."""
    with pytest.raises(error):
        verifier().open(body)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(json.loads(message("UnsubscribeConfirmation", Subject="s")))),
        st.none() | st.text() | st.integers() | st.just(TOPIC) | st.just(NOW) | st.just(URL),
    )
)
def test_nonsense_is_refused_and_nothing_worse(fields: Mapping[str, object]) -> None:
    """With any fields."""
    assert not is_opened(json.dumps(fields).encode())


def test_a_subscription_is_confirmed_by_the_api() -> None:
    """In the topic's region, so that only who has our credentials can end it."""
    calls: list[object] = []

    class Client:
        def confirm_subscription(self, **arguments: str) -> None:
            calls.append(arguments)

    def make_client(region: str) -> Client:
        calls.append(region)
        return Client()

    asked = SubscriptionConfirmation("i", TOPIC, "t0ken", SUBSCRIBE_URL)

    assert endpoint(make_client, []).confirm(asked) == "api"
    assert calls == ["eu-west-1", {"TopicArn": TOPIC, "Token": "t0ken", "AuthenticateOnUnsubscribe": "true"}]


def test_without_credentials_a_subscription_is_confirmed_by_its_address() -> None:
    """Under the rule for addresses."""
    fetched: list[str] = []
    asked = SubscriptionConfirmation("i", TOPIC, "t", SUBSCRIBE_URL)

    assert endpoint(no_credentials, fetched).confirm(asked) == "url"
    assert fetched == [SUBSCRIBE_URL]


def test_a_topics_region_is_in_its_arn() -> None:
    """In every partition; what is no ARN has none."""
    assert region_of("arn:aws-cn:sns:cn-north-1:123456789012:x.fifo") == "cn-north-1"
    for arn in ("", "arn:aws:sqs:eu-west-1:123456789012:x", "arn:aws:sns:evil.com/:123456789012:x", f"{TOPIC}\n"):
        with pytest.raises(Unverified):
            region_of(arn)


def test_raw_delivery_is_known_and_names_its_topic() -> None:
    """Nothing signs it: the caller has authorised the request by a key or a token."""
    headers = {"x-amz-sns-rawdelivery": "true", "x-amz-sns-topic-arn": TOPIC, "x-amz-sns-message-id": "i"}

    assert is_raw_delivery(headers)
    assert not is_raw_delivery({"x-amz-sns-message-type": "Notification"})
    assert read_raw(headers, b'{"x": "\xc3\xa9"}', [TOPIC]) == Notification('{"x": "é"}', "i", TOPIC)
    with pytest.raises(Unverified):
        read_raw({**headers, "x-amz-sns-topic-arn": "other"}, b"", [TOPIC])
    with pytest.raises(Problem):
        read_raw(headers, b"\xff", [TOPIC])


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as running:
        yield running


def test_a_certificate_is_fetched_within_limits(server: LoopbackServer) -> None:
    """No redirect is followed, nothing huge is read, nothing that is cut is taken."""
    server.script(
        Answer(200, b"PEM"), redirect(server.url), Answer(404), Answer(500), Answer(200, b"x" * 65_537),
        Cut("body", Answer(200, b"0123456789")), Cut("headers", Answer(200, b"PEM")), Cut("start", reset=True), Stall(),
    )  # fmt: skip
    assert fetch_url(server.url) == b"PEM"
    for error in (Refused, Refused, Unreachable, Refused, *[Unreachable] * 4):
        with pytest.raises(error):
            fetch_url(server.url, Limits(1, 0.2, 5, 65_536))
    with closed_port() as port, pytest.raises(Unreachable):
        fetch_url(f"http://127.0.0.1:{port}/")
    assert len(server.requests) == 9


def test_a_slow_certificate_does_not_hold_the_caller(server: LoopbackServer) -> None:
    """A byte now and then is not an answer."""
    server.script(Drip(Answer(200, b"x" * 1000), every_s=0.05))

    with pytest.raises(Unreachable):
        fetch_url(server.url, Limits(total_s=0.3))


def test_what_moto_signs_is_opened(moto: AwsServer) -> None:
    """A whole server publishes over HTTP to a listener here, with a key and a certificate of its own."""
    with LoopbackServer() as listener:
        sns = moto.client("sns")
        topic = sns.create_topic(Name="alerts")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"{listener.url}/api/v1/s3/alert")
        sns.publish(TopicArn=topic, Message='{"alerts": [{"id": "a", "created_at": "1"}]}')
        published = [request for request in listener.requests if b"Notification" in request.body][-1]

    seen: list[str] = []

    def fetch(url: str) -> bytes:
        seen.append(url)
        connection = HTTPConnection("127.0.0.1", moto.port, timeout=5)
        scope = "AWS4-HMAC-SHA256 Credential=x/20231114/us-east-1/sns/aws4_request, SignedHeaders=x, Signature=x"
        connection.request("GET", urlsplit(url).path, headers={"Authorization": scope})  # how moto knows the service
        return connection.getresponse().read()

    opened = Verifier([topic], Certificates(fetch), require_v2=True).open(published.body)

    assert isinstance(opened, Notification)
    assert parse_alerts(opened.message.encode())[0].id == "a"
    assert all(is_certificate_url(url, topic) for url in seen)
    with pytest.raises(Unverified):
        Verifier([topic], Certificates(fetch)).open(published.body.replace(b"alerts\\", b"alerty\\"))


def test_a_fetch_that_failed_is_remembered_and_fetches_are_limited() -> None:
    """Forged messages name certificates; each name costs one fetch, and all of them few a minute."""
    fetched: list[str] = []
    clock = ManualClock(NOW_MS)

    def fetch(url: str) -> bytes:
        fetched.append(url)
        raise Refused("a certificate was not accepted", "404", "")

    certificates = Certificates(fetch, clock, max_per_minute=3)
    for url in ("a", "a", "b", "c", "a"):
        with pytest.raises(Refused):
            certificates.key(url)
    with pytest.raises(Unreachable):
        certificates.key("d")
    clock.advance(61)
    with pytest.raises(Refused):
        certificates.key("d")

    assert fetched == ["a", "b", "c", "d"]


def test_a_certificate_that_cannot_be_fetched_again_stays_in_use() -> None:
    """Its own dates say how long it is good."""
    clock = ManualClock(NOW_MS)
    answers = [pem()]

    def fetch(url: str) -> bytes:
        if not answers:
            raise Unreachable("a certificate could not be fetched", "no answer", "")
        return answers.pop()

    certificates = Certificates(fetch, clock, ttl_s=60)
    first = certificates.key("a")
    clock.advance(120)

    assert certificates.key("a") == first
