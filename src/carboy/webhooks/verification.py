"""What all verification schemes stand on: comparisons in constant time, secrets as keys, times, addresses.

Nothing here reads a clock or a setting.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

from carboy.errors import Refused
from carboy.http_values import parse_time
from carboy.raw_request import RawRequest, authority_of

MAX_SIGNATURES = 16
"""How many signatures of one request are compared."""

SECRET_ENCODINGS = ("text", "hex", "base64", "whsec")


Reason = Literal["signature", "missing", "time", "token", "address", "handshake", "topic"]


class Unverified(Refused):
    """A webhook did not prove where it comes from; the reason is for the log, the sender learns nothing.

    Attributes:
        reason: the kind of what is wrong, for metrics.
    """

    def __init__(self, why: str, reason: Reason = "signature") -> None:
        super().__init__("the webhook was refused", why, "compare the source's secrets with the sender's")
        self.args: tuple[Any, ...] = (why, reason)
        self.reason: Reason = reason


class Scheme(Protocol):
    """A way in which senders prove who they are."""

    def verify(self, request: RawRequest, secrets: Sequence[str], now_s: float) -> None:
        """Return when the webhook is proven by any of the secrets.

        Args:
            request: what came.
            secrets: several while one is being replaced; empty ones prove nothing.
            now_s: the wall clock, seconds since the epoch.

        Raises:
            Unverified: it is not proven.
        """
        ...

    def check_secret(self, secret: str) -> str:
        """Return what is wrong with a secret; empty where nothing is."""
        ...


def check_time(timestamp: str, now_s: float, tolerance_s: float) -> None:
    """Check that a time is near now: seconds or milliseconds since the epoch, or RFC 3339.

    Raises:
        Unverified: it is not, or cannot be read.
    """
    if len(timestamp) in {10, 13} and timestamp.isascii() and timestamp.isdigit():  # as most senders write them
        _check_age(now_s - int(timestamp) / (1 if len(timestamp) == 10 else 1000), tolerance_s)
        return
    is_readable = timestamp.isascii() and (timestamp.isdigit() or "T" in timestamp)
    at_ms = parse_time(timestamp) if is_readable else None
    if at_ms is None:
        raise Unverified("the timestamp cannot be read", "time")
    _check_age(now_s - at_ms / 1000, tolerance_s)


def _check_age(age_s: float, tolerance_s: float) -> None:
    if abs(age_s) > tolerance_s:
        raise Unverified(f"the timestamp is {age_s:.0f} s old; {tolerance_s:g} s are allowed", "time")


def keys_of(secrets: Sequence[str], encoding: str = "text") -> list[bytes]:
    """Return the bytes of secrets; an empty one, which would let anyone in, is left out.

    Args:
        secrets: as the settings have them.
        encoding: one of `SECRET_ENCODINGS`: `whsec` is base64 behind `whsec_` or `v1,whsec_`.

    Raises:
        Unverified: no secret is left.
    """
    keys = [key for secret in secrets if secret and (key := decode_secret(secret, encoding))]
    if not keys:
        raise Unverified("the source has no secret")
    return keys


def check_secret(secret: str, encoding: str) -> str:
    """Return what is wrong with a secret in this encoding; empty where nothing is."""
    if not secret:
        return "must not be empty"
    return "" if decode_secret(secret, encoding) else f"must be {_ENCODED[encoding]}"


_ENCODED = {"text": "text", "hex": "hex", "base64": "base64", "whsec": "base64, with whsec_ or v1,whsec_ before it"}


def any_equal(given: Sequence[bytes], expected: Iterable[bytes]) -> bool:
    """Return whether any of one is any of the other; all are compared, each in constant time."""
    found = False
    for right in expected:
        for text in given:
            found |= hmac.compare_digest(right, text)
    return found


def matches_any(given: str, secrets: Iterable[str]) -> bool:
    """Return whether a text, such as the token of a path, is one of these secrets, in constant time."""
    return any_equal([text_bytes(given)], (text_bytes(secret) for secret in secrets if secret))


def require(is_proven: bool) -> None:
    """Raise `Unverified` where no secret matched."""
    if not is_proven:
        raise Unverified("no secret of the source matches")


def text_bytes(text: str) -> bytes:
    """Return the bytes of a text in UTF-8; bytes that were no text come back as they were."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def decode_base64(text: str) -> bytes:
    """Return the bytes of base64 in either alphabet, with or without padding; empty if invalid."""
    plain = text.translate(_URL_SAFE)
    try:
        return base64.b64decode(text_bytes(plain + "=" * (-len(plain) % 4)), validate=True)
    except binascii.Error:
        return b""


_URL_SAFE = str.maketrans("-_", "+/")


def public_address(request: RawRequest, public_url: str) -> str:
    """Return the address as the sender knows it: the path and query as they were sent, behind `public_url`.

    Args:
        request: what came.
        public_url: scheme and host, and a path where a proxy strips one; empty for the address as received.
    """
    if not public_url:
        return request.url
    base, target = public_url.rstrip("/"), request.target
    path = base.partition("://")[2][len(authority_of(base)) :]
    is_there = path and (target == path or target.startswith((f"{path}/", f"{path}?")))  # the proxy left it
    return f"{base[: -len(path)]}{target}" if is_there else f"{base}{target}"


def decode_secret(text: str, encoding: str) -> bytes:
    """Return the bytes of a text in one of `SECRET_ENCODINGS`; empty if invalid."""
    if encoding == "text":
        return text_bytes(text)
    if encoding == "hex":
        try:
            return bytes.fromhex(text)
        except ValueError:
            return b""
    if encoding == "whsec":
        text = text.removeprefix("v1,").removeprefix("whsec_")
    return decode_base64(text)
