"""Verify Standard Webhooks, whose headers begin with `webhook-`, or `svix-` at senders that use Svix.

Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

import base64
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from carboy.raw_request import RawRequest
from carboy.webhooks.places import required_header
from carboy.webhooks.public_keys import check_public_key, is_signed_by, public_keys_of
from carboy.webhooks.verification import (
    MAX_SIGNATURES,
    any_equal,
    check_secret,
    check_time,
    decode_base64,
    keys_of,
    require,
    text_bytes,
)

_SIGNATURES = re.compile(r"(v1a?),([^\s,]+)")
_SHARED = ("whsec_", "v1,whsec_")
_PUBLIC = ("whpk_", "v1a,whpk_")


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """Standard Webhooks and Svix: `v1` by a shared key (`whsec_…`), `v1a` by an ed25519 public key (`whpk_…`).

    Attributes:
        tolerance_s: how far the time may be from now, both ways.
        secret_encoding: how a secret is written that has neither prefix: text, hex or whsec, which is base64.
    """

    tolerance_s: float = 300.0
    secret_encoding: str = "whsec"  # noqa: S105

    def verify(self, request: RawRequest, secrets: Sequence[str], now_s: float) -> None:
        """Check the signatures over id, time and body, under `webhook-…` or `svix-…` headers."""
        family = self.family(request)
        event_id = required_header(f"{family}-id", request)
        timestamp = required_header(f"{family}-timestamp", request)
        found = _SIGNATURES.findall(required_header(f"{family}-signature", request))[:MAX_SIGNATURES]
        check_time(timestamp, now_s, self.tolerance_s)
        signed = b"%s.%s.%s" % (text_bytes(event_id), timestamp.encode(), request.body)
        shared = [text for text in secrets if text and not text.startswith(_PUBLIC)]
        written = [text_bytes(text) for version, text in found if version == "v1"]
        keys = [key for text in shared for key in keys_of([text], self._encoding(text))]
        is_proven = any_equal(written, [base64.b64encode(hmac.digest(key, signed, "sha256")) for key in keys])
        public_keys = public_keys_of((_public(text) for text in secrets if text.startswith(_PUBLIC)), "ed25519")
        data = [decode_base64(text) for version, text in found if version == "v1a"]
        require(is_proven or any(is_signed_by(key, one, signed, "") for key in public_keys for one in data))

    def check_secret(self, secret: str) -> str:
        """Return what is wrong with a secret; empty where nothing is."""
        if not secret.startswith(_PUBLIC):
            return check_secret(secret, self._encoding(secret))
        return check_public_key(_public(secret), "ed25519")

    def key(self, secret: str) -> bytes:
        """Return the key of a shared secret.

        Raises:
            Unverified: it has none.
        """
        return keys_of([secret], self._encoding(secret))[0]

    @staticmethod
    def family(request: RawRequest) -> str:
        """Return what the headers begin with that are verified: `webhook` or `svix`."""
        return "webhook" if "webhook-signature" in request.headers else "svix"

    def _encoding(self, secret: str) -> str:
        return "whsec" if secret.startswith(_SHARED) else self.secret_encoding


def _public(secret: str) -> str:
    return secret.partition("whpk_")[2]
