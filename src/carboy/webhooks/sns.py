"""Amazon SNS messages over HTTP: who signed them, and what is in them.

What is signed, and which addresses are Amazon's, are pure functions. `Verifier` fetches certificates by what it is
given, such as `certificates.fetch_url`.

Source: docs.aws.amazon.com/sns/latest/dg, "Verifying the signatures of Amazon SNS messages".
"""

import base64
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import Missing, Refused
from carboy.extras import extra
from carboy.http_values import parse_time
from carboy.problems import Problem
from carboy.strict_json import parse_json
from carboy.webhooks.certificates import Certificates
from carboy.webhooks.verification import Unverified

_CERTIFICATE = re.compile(r"/SimpleNotificationService-[A-Za-z0-9_-]{1,128}\.pem")
_ARN = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]{1,64}):\d{12}:[A-Za-z0-9_.-]{1,256}")
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}


@dataclass(frozen=True, slots=True)
class Notification:
    """What was published to a topic.

    Attributes:
        message: as it was published; what a webhook would have posted.
        message_id: the same for every delivery of it.
        topic_arn: where.
        subject: of the message; None without one.
        published_at_ms: milliseconds since the epoch; None for raw delivery, which does not say.
        attributes: the message attributes, each a mapping with `Type` and `Value`; they are not signed.
    """

    message: str
    message_id: str
    topic_arn: str
    subject: str | None = None
    published_at_ms: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SubscriptionConfirmation:
    """A topic asks whether we want its messages."""

    message_id: str
    topic_arn: str
    token: str
    subscribe_url: str


@dataclass(frozen=True, slots=True)
class UnsubscribeConfirmation:
    """A topic has stopped sending to us; to be logged. Its token would subscribe us again."""

    message_id: str
    topic_arn: str
    token: str
    subscribe_url: str


SnsMessage = Notification | SubscriptionConfirmation | UnsubscribeConfirmation


class Verifier:
    """Opens messages that one of our topics has signed.

    Args:
        topic_arns: the topics that may post; any AWS account can sign messages of its own.
        certificates: the keys by the URL of each certificate.
        max_age_s: how far a message's time may be from now, both ways; SNS tries for an hour to deliver, and what is
            sent again from a dead-letter queue is older.
        require_v2: refuse signature version 1, which is SHA-1.
        is_trusted_url: whether a certificate may be fetched from a URL, given the topic's ARN.
    """

    def __init__(
        self,
        topic_arns: Collection[str],
        certificates: Certificates,
        *,
        clock: Clock = SYSTEM_CLOCK,
        max_age_s: float = 3600.0,
        require_v2: bool = False,
        is_trusted_url: Callable[[str, str], bool] | None = None,
    ) -> None:
        self._topic_arns = frozenset(topic_arns)
        self._certificates, self._clock = certificates, clock
        self._max_age_s, self._require_v2 = max_age_s, require_v2
        self._is_trusted_url = is_trusted_url or is_certificate_url

    def open(self, body: bytes) -> SnsMessage:
        """Return what is in a message, once its topic, time and signature are right, in this order.

        The headers that came with it are not looked at: they are not signed.

        Raises:
            Problem: 400, the body is not JSON.
            Unverified: anything about it is wrong.
            Unreachable: the certificate could not be fetched now.
        """
        fields = parse_json(body)
        if not isinstance(fields, dict):
            raise Unverified("the body is no SNS message")
        topic_arn = _field(fields, "TopicArn")
        if topic_arn not in self._topic_arns:
            raise Unverified("the topic is not one of `SNS_TOPIC_ARNS`", "topic")
        published_at_ms = parse_time(_field(fields, "Timestamp"))
        if published_at_ms is None:
            raise Unverified("the message's time cannot be read")
        if abs(self._clock.now_ms() - published_at_ms) > self._max_age_s * 1000:
            raise Unverified(f"the message is not from within {self._max_age_s:g} s", "time")
        self._verify(fields)
        message_id = _field(fields, "MessageId")
        if fields["Type"] == "Notification":
            attributes = fields.get("MessageAttributes")
            return Notification(
                _field(fields, "Message"),
                message_id,
                topic_arn,
                fields.get("Subject"),
                published_at_ms,
                attributes if isinstance(attributes, dict) else {},
            )
        kind = SubscriptionConfirmation if fields["Type"] == "SubscriptionConfirmation" else UnsubscribeConfirmation
        return kind(message_id, topic_arn, _field(fields, "Token"), _field(fields, "SubscribeURL"))

    def _verify(self, fields: Mapping[str, Any]) -> None:
        with extra("archive"):
            from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
            from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
            from cryptography.hazmat.primitives.hashes import SHA1, SHA256

        signed = string_to_sign(fields)
        version = _field(fields, "SignatureVersion")
        if version not in ({"2"} if self._require_v2 else {"1", "2"}):
            raise Unverified("the signature's version is not accepted")
        url = _field(fields, "SigningCertURL" if "SigningCertURL" in fields else "SigningCertUrl")
        if not self._is_trusted_url(url, _field(fields, "TopicArn")):
            raise Unverified("the certificate is not at an address of Amazon SNS")
        try:
            key = self._certificates.key(url)
            signature = base64.b64decode(_field(fields, "Signature"), validate=True)
            key.verify(signature, signed, PKCS1v15(), SHA256() if version == "2" else SHA1())  # noqa: S303 (version 1)
        except (Refused, Missing) as error:
            raise Unverified(error.why) from error
        except (InvalidSignature, ValueError) as error:  # binascii.Error is a ValueError
            raise Unverified("the signature is wrong") from error
        except UnsupportedAlgorithm as error:
            raise Unverified("this system's cryptography has no SHA-1; have the topic sign with version 2") from error


def string_to_sign(fields: Mapping[str, Any]) -> bytes:
    """Return what the signature of a message is over: name and value, each on its line; an absent subject is left out.

    Raises:
        Unverified: the type is unknown, or a field is missing or no text.
    """
    names = _SIGNED.get(_field(fields, "Type"))
    if names is None:
        raise Unverified("the message's type is unknown")
    used = [name for name in names if name != "Subject" or fields.get(name) is not None]
    return "".join(f"{name}\n{_field(fields, name)}\n" for name in used).encode()


def is_certificate_url(url: str, topic_arn: str) -> bool:
    """Return whether a URL is of a certificate of Amazon SNS in the topic's region.

    Other hosts of the form `sns.….amazonaws.com` may be buckets of S3, which anyone can make.
    """
    if not is_sns_url(url, topic_arn) or "?" in url or "#" in url:
        return False
    return _CERTIFICATE.fullmatch(urlsplit(url).path) is not None


def is_sns_url(url: str, topic_arn: str) -> bool:
    """Return whether a URL is of Amazon SNS in the topic's region: https, its host, no port and no user."""
    if not url.isascii() or not url.isprintable() or "\\" in url or " " in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    suffix = "amazonaws.com.cn" if topic_arn.startswith("arn:aws-cn:") else "amazonaws.com"
    return parts.scheme == "https" and parts.netloc == f"sns.{region_of(topic_arn)}.{suffix}"


def region_of(topic_arn: str) -> str:
    """Return the region of a topic.

    Raises:
        Unverified: it is no topic's ARN.
    """
    found = _ARN.fullmatch(topic_arn)
    if not found:
        raise Unverified("the topic's ARN is not valid")
    return found[1]


def is_sns_message(headers: Mapping[str, str]) -> bool:
    """Return, by headers with lower-case names, whether the body is an SNS message in its envelope."""
    return "x-amz-sns-message-type" in headers and not is_raw_delivery(headers)


def is_raw_delivery(headers: Mapping[str, str]) -> bool:
    """Return, by headers with lower-case names, whether SNS delivers the bare message, which nothing signs."""
    return headers.get("x-amz-sns-rawdelivery", "").lower() == "true"


def read_raw(headers: Mapping[str, str], body: bytes, topic_arns: Collection[str]) -> Notification:
    """Return a raw delivery as a notification, once a key or a path token has let it in.

    Raises:
        Unverified: the topic that it names is not one of ours.
        Problem: 400, the body is not UTF-8.
    """
    topic_arn = headers.get("x-amz-sns-topic-arn", "")
    if topic_arn not in topic_arns:
        raise Unverified("the topic is not one of `SNS_TOPIC_ARNS`", "topic")
    try:
        return Notification(body.decode(), headers.get("x-amz-sns-message-id", ""), topic_arn)
    except UnicodeDecodeError as error:
        raise Problem(400, f"the body is not UTF-8: byte {error.start}") from error


def _field(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise Unverified(f"the message has no {name}")
    return value
