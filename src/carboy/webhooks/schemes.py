"""The ways in which a sender proves who it is.

Nothing here reads a clock or a setting, and nothing is parsed before it is verified. Every comparison takes the same
time whatever it finds, every secret is tried, and what a scheme does not know it refuses. SNS messages are in `sns`.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl

from carboy.errors import Refused
from carboy.extras import extra

__all__ = [
    "ALGORITHMS",
    "ENCODINGS",
    "PLACEHOLDERS",
    "Basic",
    "Bearer",
    "Hmac",
    "Incoming",
    "Open",
    "Scheme",
    "StandardWebhooks",
    "Stripe",
    "Twilio",
    "Unverified",
]

ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "hex": lambda digest: digest.hex().encode(),
    "HEX": lambda digest: digest.hex().upper().encode(),
    "base64": base64.b64encode,
    "base64url": lambda digest: base64.urlsafe_b64encode(digest).rstrip(b"="),
}
ALGORITHMS = ("sha256", "sha384", "sha512", "sha1")
_MAX_SIGNATURES = 16
PLACEHOLDERS = re.compile(r"\{(timestamp|url|body|body_sha256)\}")


class Unverified(Refused):
    """A webhook did not prove where it comes from; the reason is for the log, the sender learns nothing."""

    def __init__(self, why: str) -> None:
        super().__init__("the webhook was not let in", why, "compare the source's secrets with the sender's")
        self.args: tuple[Any, ...] = (why,)


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a webhook brought.

    Attributes:
        method: such as `POST`.
        url: as the sender wrote it: scheme, host, port if any, path, query.
        headers: by lower-case name.
        body: the bytes as they came.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", {name.lower(): value for name, value in self.headers.items()})

    def header(self, name: str) -> str:
        """Return a header, whatever the case of its name.

        Raises:
            Unverified: it is absent or empty.
        """
        value = self.headers.get(name.lower(), "")
        if not value:
            raise Unverified(f"the header {name} is absent")
        return value

    def is_form(self) -> bool:
        """Tell whether the body says that it is a form."""
        kind = self.headers.get("content-type", "").partition(";")[0]
        return kind.strip(" ").lower() == "application/x-www-form-urlencoded"

    def form(self) -> list[tuple[str, str]]:
        """Return the fields of a form, blank ones too, in their order."""
        return parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)


class Scheme(Protocol):
    """A way in which senders prove who they are."""

    def verify(self, incoming: Incoming, secrets: Sequence[str], now_s: float) -> None:
        """Return when the webhook is proven by any of the secrets.

        Args:
            incoming: what came.
            secrets: several while one is being replaced; empty ones prove nothing.
            now_s: the wall clock, seconds since the epoch.

        Raises:
            Unverified: it is not proven.
        """
        ...


@dataclass(frozen=True, slots=True)
class Hmac:
    """An HMAC over the body, or over a text that holds it: GitHub, Slack, Shopify, MessageBird and most others.

    Attributes:
        header: where the signature stands.
        algorithm: sha256, sha384, sha512 or sha1.
        encoding: hex, HEX (in capitals), base64 or base64url.
        prefix: what stands before the signature, such as `sha256=`.
        timestamp_header: where the time stands, in seconds since the epoch; empty for none.
        template: what is signed; `{body}`, `{body_sha256}` (32 raw bytes), `{timestamp}` and `{url}` are filled in.
        tolerance_s: how far that time may be from now, both ways.
        public_url: the address that the sender was given, without path, where a proxy changes it; empty for none.
    """

    header: str
    algorithm: str = "sha256"
    encoding: str = "hex"
    prefix: str = ""
    timestamp_header: str = ""
    template: str = "{body}"
    tolerance_s: float = 300.0
    public_url: str = ""

    def verify(self, incoming: Incoming, secrets: Sequence[str], now_s: float) -> None:
        """Compare the header with the HMAC by each secret."""
        given = incoming.header(self.header)
        if not given.startswith(self.prefix):
            raise Unverified(f"the header {self.header} does not begin with {self.prefix}")
        timestamp = ""
        if self.timestamp_header:
            timestamp = incoming.header(self.timestamp_header)
            _check_time(timestamp, now_s, self.tolerance_s)
        filled = {
            "timestamp": timestamp.encode(),
            "url": _bytes(_public(incoming.url, self.public_url)),
            "body": incoming.body,
            "body_sha256": hashlib.sha256(incoming.body).digest() if "{body_sha256}" in self.template else b"",
        }
        parts = PLACEHOLDERS.split(self.template)  # text, name, text, name, …, text
        signed = b"".join(filled[part] if at % 2 else part.encode() for at, part in enumerate(parts))
        encode = ENCODINGS[self.encoding]
        signature = _bytes(given.removeprefix(self.prefix))
        if self.encoding == "base64url":
            signature = signature.rstrip(b"=")
        keys = _keys(secrets)
        _require(_any_equal([signature], (encode(hmac.digest(key, signed, self.algorithm)) for key in keys)))


@dataclass(frozen=True, slots=True)
class Stripe:
    """`Stripe-Signature: t=…,v1=…`, with several `v1` while a secret is being replaced.

    Source: docs.stripe.com/webhooks, "Verify webhook signatures manually".
    """

    tolerance_s: float = 300.0

    def verify(self, incoming: Incoming, secrets: Sequence[str], now_s: float) -> None:
        """Compare each `v1` with the HMAC of `t`, a dot and the body by each secret."""
        pairs = [part.partition("=") for part in incoming.header("Stripe-Signature").split(",")]
        times = [value for name, _, value in pairs if name.strip() == "t"]
        given = [_bytes(value) for name, _, value in pairs if name.strip() == "v1"][:_MAX_SIGNATURES]
        if len(times) != 1:
            raise Unverified("the header Stripe-Signature has not one time")
        _check_time(times[0], now_s, self.tolerance_s)
        signed = b"%s.%s" % (times[0].encode(), incoming.body)
        keys = _keys(secrets)
        _require(_any_equal(given, (hmac.digest(key, signed, "sha256").hex().encode() for key in keys)))


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """Standard Webhooks and Svix: `v1` by a shared key (`whsec_…`), `v1a` by an ed25519 public key (`whpk_…`).

    Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
    """

    tolerance_s: float = 300.0

    def verify(self, incoming: Incoming, secrets: Sequence[str], now_s: float) -> None:
        """Check the signatures over id, time and body, under `webhook-…` or `svix-…` headers."""
        family = "webhook" if "webhook-signature" in incoming.headers else "svix"
        event_id, timestamp = incoming.header(f"{family}-id"), incoming.header(f"{family}-timestamp")
        _check_time(timestamp, now_s, self.tolerance_s)
        signed = b"%s.%s.%s" % (_bytes(event_id), timestamp.encode(), incoming.body)
        given: dict[str, list[bytes]] = {"v1": [], "v1a": []}
        for signature in incoming.header(f"{family}-signature").split(" ")[:_MAX_SIGNATURES]:
            version, _, text = signature.partition(",")
            given.get(version, []).append(_bytes(text))
        shared = [_decode(text.removeprefix("whsec_")) for text in secrets if text and not text.startswith("whpk_")]
        public_keys = [_decode(text.removeprefix("whpk_")) for text in secrets if text.startswith("whpk_")]
        expected = (base64.b64encode(hmac.digest(key, signed, "sha256")) for key in shared if key)
        is_shared = _any_equal(given["v1"], expected)
        _require(any([is_shared, *(_is_ed25519(key, text, signed) for key in public_keys for text in given["v1a"])]))


@dataclass(frozen=True, slots=True)
class Twilio:
    """`X-Twilio-Signature`: the address and the form's fields, or the address with `bodySHA256` for other bodies.

    A form's fields are signed, not its bytes: two spellings of the same form carry the same signature.

    Attributes:
        public_url: the address that Twilio was given, without path, where a proxy changes it; empty for none.

    Source: twilio.com/docs/usage/security, "Validating Requests are coming from Twilio".
    """

    public_url: str = ""

    def verify(self, incoming: Incoming, secrets: Sequence[str], now_s: float) -> None:
        """Compare the header with the HMAC of the address, with and without its port, by each secret."""
        given = _bytes(incoming.header("X-Twilio-Signature"))
        url = _public(incoming.url, self.public_url)
        hashes = [value for name, value in parse_qsl(url.partition("?")[2]) if name == "bodySHA256"]
        fields = ""
        if hashes:
            digest = hashlib.sha256(incoming.body).hexdigest()
            if not all(hmac.compare_digest(digest.encode(), _bytes(one.lower())) for one in hashes):
                raise Unverified("the body is not the one that bodySHA256 names")
        elif incoming.is_form():
            fields = "".join(name + value for name, value in sorted(set(incoming.form())))
        elif incoming.body:
            raise Unverified("nothing signs a body that is no form and has no bodySHA256")
        texts = [_bytes(spelling + fields) for spelling in _spellings(url)]
        expected = (base64.b64encode(hmac.digest(key, text, "sha1")) for key in _keys(secrets) for text in texts)
        _require(_any_equal([given], expected))


@dataclass(frozen=True, slots=True)
class Bearer:
    """The secret itself in a header: `Authorization: Bearer …`, or alone in another one (`X-Gitlab-Token`)."""

    header: str = "Authorization"

    def verify(self, incoming: Incoming, secrets: Sequence[str], now_s: float) -> None:
        """Compare the header with each secret."""
        given = incoming.header(self.header)
        if self.header.lower() == "authorization":
            kind, _, given = given.partition(" ")
            if kind.lower() != "bearer":
                raise Unverified("the header Authorization is no bearer token")
        _require(_any_equal([_bytes(given.strip(" "))], _keys(secrets)))


@dataclass(frozen=True, slots=True)
class Basic:
    """HTTP basic with a secret as the password.

    Attributes:
        username: the one to insist on; empty for any.

    Source: RFC 7617.
    """

    username: str = ""

    def verify(self, incoming: Incoming, secrets: Sequence[str], now_s: float) -> None:
        """Compare the password with each secret."""
        kind, _, text = incoming.header("Authorization").partition(" ")
        if kind.lower() != "basic":
            raise Unverified("the header Authorization is not basic")
        username, _, password = _decode(text.strip(" ")).partition(b":")
        is_known = _any_equal([password], _keys(secrets))
        is_named = not self.username or hmac.compare_digest(username, self.username.encode())
        _require(is_known and is_named)


@dataclass(frozen=True, slots=True)
class Open:
    """Lets everything in; for profiles on which nothing is at stake, and for sources let in by a path token."""

    def verify(self, incoming: Incoming, secrets: Sequence[str], now_s: float) -> None:
        """Return."""


def _check_time(timestamp: str, now_s: float, tolerance_s: float) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise Unverified("the timestamp is no count of seconds")
    if abs(now_s - int(timestamp)) > tolerance_s:
        raise Unverified(f"the timestamp is {now_s - int(timestamp):.0f} s old; {tolerance_s:g} s are allowed")


def _keys(secrets: Sequence[str]) -> list[bytes]:
    """Return the secrets as keys; an empty one would let anybody in."""
    keys = [_bytes(secret) for secret in secrets if secret]
    if not keys:
        raise Unverified("the source has no secret")
    return keys


def _any_equal(given: Sequence[bytes], expected: Iterable[bytes]) -> bool:
    """Tell whether any of one is any of the other; all are compared, each in constant time."""
    found = False
    for right in expected:
        for text in given:
            found |= hmac.compare_digest(right, text)
    return found


def _require(is_proven: bool) -> None:
    if not is_proven:
        raise Unverified("no secret of the source matches")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decode(text: str) -> bytes:
    """Return what base64 says, with or without its padding; nothing where it is none."""
    try:
        return base64.b64decode(_bytes(text + "=" * (-len(text) % 4)), validate=True)
    except binascii.Error:
        return b""


def _is_ed25519(public_key: bytes, signature: bytes, signed: bytes) -> bool:
    with extra("archive"):
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(base64.b64decode(signature, validate=True), signed)
    except (InvalidSignature, ValueError):  # binascii.Error is a ValueError
        return False
    return True


def _public(url: str, public_url: str) -> str:
    """Return the address as the sender knows it: our own scheme and host, its path and query."""
    if not public_url:
        return url
    rest = url.partition("://")[2]
    return public_url + rest[len(rest.split("/", 1)[0].split("?", 1)[0]) :]


def _spellings(url: str) -> list[str]:
    """Return an address without a port, and with the one it has or implies."""
    scheme, separator, rest = url.partition("://")
    host = rest.split("/", 1)[0].split("?", 1)[0]
    path = rest[len(host) :]
    bare = re.sub(r":\d*$", "", host)
    port = host[len(bare) :] or (":80" if scheme == "http" else ":443")
    return [f"{scheme}{separator}{bare}{path}", f"{scheme}{separator}{bare}{port}{path}"]
