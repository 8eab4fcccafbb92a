"""What the senders' own SDKs sign, or accept, is accepted; what they refuse is refused."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import Adyen
import pytest
import razorpay
import stripe
from nacl.signing import SigningKey
from paddle_billing.Notifications import PaddleSignature, Secret
from slack_sdk.signature import SignatureVerifier
from twilio.request_validator import RequestValidator
from werkzeug.datastructures import MultiDict

from carboy.api import RawRequest
from carboy.config.values import convert
from carboy.services.archive.source_settings import SourceConfig
from carboy.services.archive.sources import make_sources
from carboy.webhooks import Unverified

NOW_S = 1_700_000_000
URL = "https://hooks.example.com/api/v1/webhooks/it?to=a%2Fb"
BODY = '{"id":"e-1","text":"Zürich\\u2028 \\"quoted\\"","n":1.50}'
SECRET = "a secret of theirs"
HMAC_KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
DISCORD_KEY = SigningKey(b"\7" * 32)


def verify(preset: str, secret: str, headers: Mapping[str, str], body: str, at_s: int = NOW_S) -> None:
    table = {"preset": preset, "secrets": [secret]}
    source = make_sources(convert({"it": table}, dict[str, SourceConfig]))["it"]
    assert source.scheme is not None
    source.scheme.verify(RawRequest("POST", URL, headers, body.encode()), source.secrets, at_s)


def of_stripe(body: str, at_s: int) -> dict[str, str]:
    signature = stripe.WebhookSignature._compute_signature(f"{at_s}.{body}", SECRET)
    return {"Stripe-Signature": f"t={at_s},v1={signature},v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb0"}


def of_slack(body: str, at_s: int) -> dict[str, str]:
    signature = SignatureVerifier(SECRET).generate_signature(timestamp=str(at_s), body=body)
    assert signature is not None
    return {"X-Slack-Signature": signature, "X-Slack-Request-Timestamp": str(at_s)}


def of_paddle(body: str, at_s: int) -> dict[str, str]:
    digest = PaddleSignature.calculate_hmac(SECRET, f"{at_s}:{body}".encode()).hexdigest()
    header = f"ts={at_s};h1={'0' * 64};h1={digest}"
    assert PaddleSignature().verify(header, body, Secret(SECRET))
    return {"Paddle-Signature": header}


def of_discord(body: str, at_s: int) -> dict[str, str]:
    signature = DISCORD_KEY.sign(f"{at_s}{body}".encode()).signature.hex()
    return {"X-Signature-Ed25519": signature, "X-Signature-Timestamp": str(at_s)}


def of_telnyx(body: str, at_s: int) -> dict[str, str]:
    signature = DISCORD_KEY.sign(f"{at_s}|{body}".encode()).signature
    return {"telnyx-signature-ed25519": base64.b64encode(signature).decode(), "telnyx-timestamp": str(at_s)}


SIGNERS: Mapping[str, tuple[str, Callable[[str, int], dict[str, str]]]] = {
    "stripe": (SECRET, of_stripe),
    "slack": (SECRET, of_slack),
    "paddle": (SECRET, of_paddle),
    "discord": (DISCORD_KEY.verify_key.encode().hex(), of_discord),
    "discord-events": (DISCORD_KEY.verify_key.encode().hex(), of_discord),
    "telnyx": (base64.b64encode(DISCORD_KEY.verify_key.encode()).decode(), of_telnyx),
}


@pytest.mark.parametrize("name", SIGNERS)
def test_what_an_sdk_signs_is_accepted_and_nothing_else(name: str) -> None:
    """The body with letters beyond ASCII and a line separator is signed as the bytes that are sent."""
    secret, sign = SIGNERS[name]
    headers = sign(BODY, NOW_S)

    verify(name, secret, headers, BODY)
    for body, at_s, reason in ((BODY + " ", NOW_S, "signature"), (BODY, NOW_S + 601, "time")):
        with pytest.raises(Unverified) as refused:
            verify(name, secret, headers, body, at_s)
        assert refused.value.reason == reason


@pytest.mark.parametrize(
    "form",
    [
        [("From", "+1 555"), ("Body", "é & = ?")],
        [("MediaUrl1", "https://a/b?c=d"), ("MediaUrl0", ""), ("Body", "x")],
        [("Body", "b"), ("Body", "a"), ("Body", "b")],
    ],
    ids=["letters", "blank", "several"],
)
def test_twilios_validator_signs_what_is_accepted(form: list[tuple[str, str]]) -> None:
    signature = RequestValidator(SECRET).compute_signature(URL, MultiDict(form))
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}

    verify("twilio", SECRET, headers, urlencode(form))
    with pytest.raises(Unverified):
        verify("twilio", SECRET, headers, urlencode([*form, ("Body", "other")]))


@pytest.mark.parametrize("original", [{}, {"originalReference": "8814073381342284"}], ids=["first", "modification"])
def test_adyens_sdk_signs_what_is_accepted(original: dict[str, str]) -> None:
    item: dict[str, Any] = {
        "pspReference": "7914073381342284",
        **original,
        "merchantAccountCode": "Test:Merchant",
        "merchantReference": "Zürich\\1",
        "amount": {"value": 0, "currency": "EUR"},
        "eventCode": "REFUND",
        "success": "false",
    }
    signature = Adyen.util.generate_notification_sig(item, HMAC_KEY).decode()
    sent = {
        "notificationItems": [{"NotificationRequestItem": {**item, "additionalData": {"hmacSignature": signature}}}]
    }

    assert Adyen.util.is_valid_hmac_notification(sent, HMAC_KEY)
    verify("adyen-hmac", HMAC_KEY, {}, json.dumps(sent))
    sent["notificationItems"][0]["NotificationRequestItem"]["success"] = "true"
    with pytest.raises(Unverified):
        verify("adyen-hmac", HMAC_KEY, {}, json.dumps(sent))


def test_what_razorpays_sdk_accepts_is_accepted() -> None:
    import hashlib
    import hmac

    signature = hmac.new(SECRET.encode(), BODY.encode(), hashlib.sha256).hexdigest()

    client: Any = razorpay.Client(auth=("id", "key"))
    assert client.utility.verify_webhook_signature(BODY, signature, SECRET)
    verify("razorpay", SECRET, {"X-Razorpay-Signature": signature}, BODY)
