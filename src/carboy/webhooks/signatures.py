"""The general signature of webhooks: where it stands, how it is written, and what it is computed over.

Source: the senders' documents; RFC 2104, RFC 8032, FIPS 186-5.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from carboy.raw_request import RawRequest
from carboy.webhooks.places import find_text
from carboy.webhooks.public_keys import is_signed_by, load_public_key, public_keys_of
from carboy.webhooks.verification import (
    Unverified,
    any_equal,
    check_secret,
    check_time,
    decode_base64,
    keys_of,
    public_address,
    require,
    text_bytes,
)

__all__ = ["ALGORITHMS", "ENCODINGS", "PLACEHOLDERS", "Signature"]

ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "hex": lambda digest: digest.hex().encode(),
    "HEX": lambda digest: digest.hex().upper().encode(),
    "base64": base64.b64encode,
    "base64url": lambda digest: base64.urlsafe_b64encode(digest).rstrip(b"="),
}
ALGORITHMS = ("sha256", "sha384", "sha512", "sha1")
PLACEHOLDERS = re.compile(
    r"\{(timestamp|url|method|path|id|body|body_sha256|body_sha256_hex|(?:header|query|form|field):[^{}]+|json:/[^{}]*)\}"
)
"""What a template may hold; `header:`, `query:`, `form:` and `field:` are followed by a name, `json:` by a pointer."""

_JOINTS = re.compile(r"[,;\s]")
_MAX_SIGNATURES = 16


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature over the body, or over a text that holds it: GitHub, Stripe, Slack, Discord and most others.

    Attributes:
        header: the header where the signature stands.
        signature: where it stands, if not in a header: `query:NAME`, `form:NAME` or a JSON pointer.
        kind: `hmac`, with secrets that both sides have; `ed25519`, `ecdsa` or `rsa`, with public keys as secrets.
        algorithm: the hash: sha256, sha384, sha512 or sha1.
        encoding: of the signature: hex, HEX (in capitals), base64 or base64url.
        prefix: what stands before each signature, such as `sha256=`.
        signature_field: the name of the signature in a header of named parts, such as `v1` in `t=…,v1=…`.
        timestamp_field: the name of the time in it, such as `t`.
        separator: what stands between signatures, or between named parts; by default commas, semicolons and blanks.
        assigns: what stands between name and value of a named part.
        timestamp_header: the header where the time stands.
        timestamp: where it stands, if not in a header.
        id: where the id stands that `{id}` is replaced by.
        template: what is signed; see `PLACEHOLDERS`. `{body_sha256}` is 32 raw bytes, `{url}` the address as it was
            sent, `{path}` its path and query.
        tolerance_s: how far the time may be from now, both ways.
        public_url: the address that the sender was given, where a proxy changes it; it may have a path.
        secret_encoding: how secrets are written: text, hex, base64 or whsec.
    """

    header: str = ""
    signature: str = ""
    kind: Literal["hmac", "ed25519", "ecdsa", "rsa"] = "hmac"
    algorithm: str = "sha256"
    encoding: str = "hex"
    prefix: str = ""
    signature_field: str = ""
    timestamp_field: str = ""
    separator: str = ""
    assigns: str = "="
    timestamp_header: str = ""
    timestamp: str = ""
    id: str = ""
    template: str = "{body}"
    tolerance_s: float = 300.0
    public_url: str = ""
    secret_encoding: str = "text"  # noqa: S105

    def verify(self, request: RawRequest, secrets: Sequence[str], now_s: float) -> None:
        """Compare the signatures of the request with that by each secret, or check them with each public key."""
        given = _required(self.signature or f"header:{self.header}", request)
        fields = self._fields(given)
        signatures = self._signatures(given, fields)
        signed = self.text(request, self._timestamp(request, fields, now_s), fields)
        if self.kind != "hmac":
            data = [_bytes_of(text, self.encoding) for text in signatures]
            public_keys = public_keys_of(secrets, self.kind)
            require(any(is_signed_by(key, one, signed, self.algorithm) for key in public_keys for one in data if one))
            return
        encode = ENCODINGS[self.encoding]
        written = [text_bytes(text) for text in signatures]
        if self.encoding == "base64url":
            written = [text.rstrip(b"=") for text in written]
        keys = keys_of(secrets, self.secret_encoding)
        require(any_equal(written, (encode(hmac.digest(key, signed, self.algorithm)) for key in keys)))

    def check_secret(self, secret: str) -> str:
        """Return what is wrong with a secret; empty where nothing is."""
        if self.kind == "hmac":
            return check_secret(secret, self.secret_encoding)
        try:
            load_public_key(secret, self.kind)
        except ValueError as error:
            return str(error)
        return ""

    def _fields(self, given: str) -> list[tuple[str, str]]:
        """Return the named parts of a header, in their order; none where the header has no names."""
        if not (self.signature_field or self.timestamp_field):
            return []
        parts = given.split(self.separator) if self.separator else re.split(r"[,;]", given)
        pairs = (part.strip().partition(self.assigns) for part in parts)
        return [(name.strip(), value.strip().strip('"')) for name, _, value in pairs]

    def _signatures(self, given: str, fields: list[tuple[str, str]]) -> list[str]:
        """Return the signatures without their prefix; several stand there while a secret is being replaced."""
        if self.signature_field:
            found = [value for name, value in fields if name == self.signature_field]
        elif self.separator:
            found = [part.strip() for part in given.split(self.separator)]
        elif not _JOINTS.search(given):
            found = [given]
        else:
            found = [given, *(part.strip() for by in (",", ";", None) for part in given.split(by))]
        kept = [one.removeprefix(self.prefix) for one in dict.fromkeys(found) if one.startswith(self.prefix)]
        if not kept:
            raise Unverified(f"the request has no signature that begins with `{self.prefix}`", "missing")
        return kept[:_MAX_SIGNATURES]

    def _timestamp(self, request: RawRequest, fields: list[tuple[str, str]], now_s: float) -> str:
        if self.timestamp_field:
            times = [value for name, value in fields if name == self.timestamp_field]
            if len(times) != 1:
                raise Unverified("the signature's header has not one time", "time")
            timestamp = times[0]
        elif self.timestamp or self.timestamp_header:
            timestamp = _required(self.timestamp or f"header:{self.timestamp_header}", request)
        else:
            return ""
        check_time(timestamp, now_s, self.tolerance_s)
        return timestamp

    def text(self, request: RawRequest, timestamp: str, fields: list[tuple[str, str]]) -> bytes:
        """Return the bytes that the sender signs: the template, filled in.

        Args:
            request: what came.
            timestamp: as the request has it.
            fields: the named parts of the signature's header.
        """

        def fill(name: str) -> bytes:
            match name.partition(":"):
                case "body", _, _:
                    return request.body
                case "body_sha256", _, _:
                    return hashlib.sha256(request.body).digest()
                case "body_sha256_hex", _, _:
                    return hashlib.sha256(request.body).hexdigest().encode()
                case "timestamp", _, _:
                    text = timestamp
                case "url", _, _:
                    text = public_address(request, self.public_url)
                case "path", _, _:
                    text = request.target
                case "method", _, _:
                    text = request.method
                case "id", _, _:
                    text = _required(self.id, request)
                case "field", _, field:
                    text = next((value for one, value in fields if one == field), "")
                case "json", _, pointer:
                    text = find_text(pointer, request)
                case _:
                    text = find_text(name, request)
            return text_bytes(text)

        if self.template == "{body}":
            return request.body
        return b"".join(fill(part) if at % 2 else part.encode() for at, part in enumerate(_split(self.template)))


@lru_cache(maxsize=256)
def _split(template: str) -> tuple[str, ...]:
    """Return the text, the name, the text, the name, …, the text of a template."""
    return tuple(PLACEHOLDERS.split(template))


def _required(place: str, request: RawRequest) -> str:
    text = find_text(place, request)
    if not text:
        raise Unverified(f"the request has nothing at {place}", "missing")
    return text


def _bytes_of(text: str, encoding: str) -> bytes:
    if encoding in {"hex", "HEX"}:
        try:
            return bytes.fromhex(text)
        except ValueError:
            return b""
    return decode_base64(text)
