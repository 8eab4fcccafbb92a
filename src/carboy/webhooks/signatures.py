"""The general signature of webhooks: where it stands, how it is written, and what it is computed over.

Source: the senders' documents; RFC 2104, RFC 8032, FIPS 186-5.
"""

import base64
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from carboy.raw_request import RawRequest
from carboy.webhooks.places import required_header, required_text
from carboy.webhooks.public_keys import check_public_key, is_signed_by, public_keys_of
from carboy.webhooks.templates import parse_template
from carboy.webhooks.verification import (
    MAX_SIGNATURES,
    Unverified,
    any_equal,
    check_secret,
    check_time,
    decode_secret,
    keys_of,
    require,
    text_bytes,
)

ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "hex": lambda digest: digest.hex().encode(),
    "HEX": lambda digest: digest.hex().upper().encode(),
    "base64": base64.b64encode,
    "base64url": lambda digest: base64.urlsafe_b64encode(digest).rstrip(b"="),
}
ALGORITHMS = ("sha256", "sha384", "sha512", "sha1")

_BETWEEN_PARTS = re.compile(r"[,;\s]+")


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature over the body, or over a text that holds it: GitHub, Stripe, Slack, Discord and most others.

    Attributes:
        header: the header where the signature stands.
        signature: where it stands, if not in a header: `query:NAME`, `form:NAME` or a JSON pointer.
        kind: `hmac`, with secrets that both sides have; `ed25519`, `ecdsa` or `rsa`, with public keys as secrets.
        algorithm: the hash: sha256, sha384, sha512 or sha1.
        encoding: of the signature: hex, HEX (in capitals), base64 or base64url.
        prefix: what stands before each signature, or before a list of them, such as `sha256=`.
        signature_field: the name of the signature in a header of named parts, such as `v1` in `t=…,v1=…`.
        timestamp_field: the name of the time in it, such as `t`.
        separator: what stands between signatures, or between named parts; by default commas, semicolons and blanks, so
            that several sets of parts may stand in one header (`t=…,v1=… t=…,v1=…`).
        assigns: what stands between name and value of a named part.
        timestamp_header: the header where the time stands.
        timestamp: where it stands, if not in a header.
        id: where the id stands that `{id}` is replaced by.
        template: what is signed; see `parse_template`. `{body_sha256}` is 32 raw bytes, `{url}` the address as it was
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
        given = required_text(self.signature, request) if self.signature else required_header(self.header, request)
        fields = self._fields(given) if self.signature_field or self.timestamp_field else []
        signatures = self._signatures(given, fields)
        signed = self.text(request, self._timestamp(request, fields, now_s), fields)
        if self.kind != "hmac":
            data = [decode_secret(text, self.encoding.lower()) for text in signatures]
            public_keys = public_keys_of(secrets, self.kind)
            require(any(is_signed_by(key, one, signed, self.algorithm) for key in public_keys for one in data if one))
            return
        encode = ENCODINGS[self.encoding]
        written = [text_bytes(text) for text in signatures]
        if self.encoding == "base64url":
            written = [text.rstrip(b"=") for text in written]
        keys = keys_of(secrets, self.secret_encoding)
        require(any_equal(written, [encode(hmac.digest(key, signed, self.algorithm)) for key in keys]))

    def check_secret(self, secret: str) -> str:
        """Return what is wrong with a secret; empty where nothing is."""
        if self.kind == "hmac":
            return check_secret(secret, self.secret_encoding)
        return check_public_key(secret, self.kind)

    def text(self, request: RawRequest, timestamp: str, fields: Sequence[tuple[str, str]]) -> bytes:
        """Return the bytes that the sender signs: the template, filled in.

        Args:
            request: what came.
            timestamp: as the request has it.
            fields: the named parts of the signature's header.
        """
        return parse_template(self.template).fill(request, timestamp, fields, self.id, self.public_url)

    def _fields(self, given: str) -> list[tuple[str, str]]:
        """Return the named parts of a header, in their order."""
        parts = given.split(self.separator) if self.separator else _BETWEEN_PARTS.split(given)
        pairs = [part.partition(self.assigns) for part in parts]
        return [(name.strip(), value.strip().strip('"')) for name, _, value in pairs]

    def _signatures(self, given: str, fields: list[tuple[str, str]]) -> list[str]:
        """Return the signatures without their prefix; several stand there while a secret is being replaced.

        A list may have the prefix before each signature, or once: `v0=one,two`.
        """
        if self.signature_field:
            found = [value for name, value in fields if name == self.signature_field]
        elif self.separator:
            found = [part.strip() for part in given.split(self.separator)]
        elif not ("," in given or ";" in given or " " in given):
            found = [given]
        else:
            found = [given, *(part.strip() for by in (",", ";", None) for part in given.split(by))]
        begun = [one for one in found if one.startswith(self.prefix)]
        if not begun:
            raise Unverified(f"the request has no signature that begins with `{self.prefix}`", "missing")
        rest = [one for one in found if not one.startswith(self.prefix)] if given.startswith(self.prefix) else []
        kept = [one[len(self.prefix) :] for one in begun] + rest
        return kept if len(kept) == 1 else list(dict.fromkeys(kept))[:MAX_SIGNATURES]

    def _timestamp(self, request: RawRequest, fields: list[tuple[str, str]], now_s: float) -> str:
        if self.timestamp_field:
            times = [value for name, value in fields if name == self.timestamp_field]
            if not times or len(times if self.separator else {*times}) != 1:  # several sets of parts share one time
                raise Unverified("the signature's header has not one time", "time")
            timestamp = times[0]
        elif self.timestamp_header:
            timestamp = required_header(self.timestamp_header, request)
        elif self.timestamp:
            timestamp = required_text(self.timestamp, request)
        else:
            return ""
        check_time(timestamp, now_s, self.tolerance_s)
        return timestamp
