"""Each preset accepts what its sender signs and refuses what is tampered, stale, or signed with another secret.

The signing here is written from the senders' documents and shares nothing with the presets or the schemes.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from standardwebhooks import Webhook
from twilio.request_validator import RequestValidator

from carboy.api import RawRequest
from carboy.config.values import convert
from carboy.services.archive.source_settings import SourceConfig
from carboy.services.archive.sources import WebhookSource, make_sources
from carboy.webhooks import Preset, Unverified, find_preset, list_presets

NOW_S = 1_700_000_000
BODY = b'{"id": "e-1", "type": "it.happened", "data": {"n": 1}}'
URL = "https://hooks.example.com/api/v1/webhooks/it?a=%2F1"
KEY = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA=="
OTHER = "b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXI="


class Signed(NamedTuple):
    """What a sender sends: the headers, the body, and the address."""

    headers: dict[str, str]
    body: bytes = BODY
    url: str = URL


Sign = Callable[[str, int], Signed]
"""Signs with a secret at a time, seconds since the epoch."""


def mac(key: str | bytes, text: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(key.encode() if isinstance(key, str) else key, text, algorithm).digest()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def iso(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")


def plain(header: str, write: Callable[[bytes], str] = bytes.hex, prefix: str = "", algorithm: str = "sha256") -> Sign:
    """Sign the body alone."""
    return lambda secret, _: Signed({header: prefix + write(mac(secret, BODY, algorithm))})


def timed(
    header: str,
    time_header: str,
    text: str,
    write: Callable[[bytes], str] = bytes.hex,
    prefix: str = "",
    at: Callable[[int], str] = str,
) -> Sign:
    """Sign a time and the body, with the time in a header of its own."""

    def sign(secret: str, at_s: int) -> Signed:
        before, after = text.split("BODY")
        signed = before.replace("TIME", at(at_s)).encode() + BODY + after.replace("TIME", at(at_s)).encode()
        return Signed({time_header: at(at_s), header: prefix + write(mac(secret, signed))})

    return sign


def named(
    header: str,
    form: str = "t=TIME,v1=SIGNATURE",
    text: str = "TIME.",
    write: Callable[[bytes], str] = bytes.hex,
    unit: int = 1,
) -> Sign:
    """Sign a time and the body, with both in one header of named parts."""

    def sign(secret: str, at_s: int) -> Signed:
        at = str(at_s * unit)
        signature = write(mac(secret, text.replace("TIME", at).encode() + BODY))
        return Signed({header: form.replace("TIME", at).replace("SIGNATURE", signature)})

    return sign


def standard(family: str) -> Sign:
    """Sign with the SDK of Standard Webhooks."""

    def sign(secret: str, at_s: int) -> Signed:
        signature = Webhook(secret).sign("msg_1", datetime.fromtimestamp(at_s, UTC), BODY.decode())
        return Signed({f"{family}-id": "msg_1", f"{family}-timestamp": str(at_s), f"{family}-signature": signature})

    return sign


def bearer(header: str = "Authorization", before: str = "") -> Sign:
    return lambda secret, _: Signed({header: before + secret})


def basic(secret: str, _: int) -> Signed:
    return Signed({"Authorization": "Basic " + b64(f"anyone:{secret}".encode())})


def token(header: str, claim: str, write: Callable[[bytes], str] = bytes.hex, before: str = "") -> Sign:
    def sign(secret: str, at_s: int) -> Signed:
        claims = {"iat": at_s, "exp": at_s + 60, claim: write(hashlib.sha256(BODY).digest())}
        key: Any = PRIVATE_KEYS["ec"] if secret.startswith("-----") else secret
        return Signed({header: before + jwt.encode(claims, key, "ES256" if secret.startswith("-----") else "HS256")})

    return sign


def netlify(secret: str, _: int) -> Signed:
    """Sign without a time, as Netlify does."""
    claims = {"iss": "netlify", "sha256": hashlib.sha256(BODY).hexdigest()}
    return Signed({"X-Webhook-Signature": jwt.encode(claims, secret, "HS256")})


def pem(key: Any) -> str:
    public = key.public_key()
    return str(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    )


PRIVATE_KEYS: Mapping[str, Any] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "rsa": rsa.generate_private_key(65537, 2048),
}


def discord(_: str, at_s: int) -> Signed:
    signature = PRIVATE_KEYS["ed25519"].sign(str(at_s).encode() + BODY)
    return Signed({"X-Signature-Ed25519": signature.hex(), "X-Signature-Timestamp": str(at_s)})


def telnyx(_: str, at_s: int) -> Signed:
    signature = PRIVATE_KEYS["ed25519"].sign(f"{at_s}|".encode() + BODY)
    return Signed({"telnyx-signature-ed25519": b64(signature), "telnyx-timestamp": str(at_s)})


def sendgrid(_: str, at_s: int) -> Signed:
    signature = PRIVATE_KEYS["ec"].sign(str(at_s).encode() + BODY, ec.ECDSA(hashes.SHA256()))
    name = "X-Twilio-Email-Event-Webhook-"
    return Signed({f"{name}Signature": b64(signature), f"{name}Timestamp": str(at_s)})


def wise(_: str, __: int) -> Signed:
    signature = PRIVATE_KEYS["rsa"].sign(BODY, padding.PKCS1v15(), hashes.SHA256())
    return Signed({"X-Signature-SHA256": b64(signature)})


def wechat_pay(_: str, at_s: int) -> Signed:
    text = f"{at_s}\nc5ac7061fccab6bf\n".encode() + BODY + b"\n"
    signature = PRIVATE_KEYS["rsa"].sign(text, padding.PKCS1v15(), hashes.SHA256())
    headers = {"Wechatpay-Signature": b64(signature), "Wechatpay-Timestamp": str(at_s)}
    return Signed({**headers, "Wechatpay-Nonce": "c5ac7061fccab6bf"})


def twilio(secret: str, _: int) -> Signed:
    signature = RequestValidator(secret).compute_signature(URL, {"From": "+15551234", "Body": "hello"})
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    return Signed(headers, b"From=%2B15551234&Body=hello")


def messagebird(secret: str, at_s: int) -> Signed:
    signed = f"{at_s}\n{URL}\n".encode() + hashlib.sha256(BODY).digest()
    return Signed({"MessageBird-Signature": b64(mac(secret, signed)), "MessageBird-Request-Timestamp": str(at_s)})


def square(secret: str, _: int) -> Signed:
    return Signed({"x-square-hmacsha256-signature": b64(mac(secret, URL.encode() + BODY))})


def trello(secret: str, _: int) -> Signed:
    return Signed({"X-Trello-Webhook": b64(mac(secret, BODY + URL.encode(), "sha1"))})


def hubspot(secret: str, at_s: int) -> Signed:
    at = str(at_s * 1000)
    signed = b"POST" + URL.encode() + BODY + at.encode()
    return Signed({"X-HubSpot-Signature-v3": b64(mac(secret, signed)), "X-HubSpot-Request-Timestamp": at})


def panda_doc(secret: str, _: int) -> Signed:
    return Signed({}, BODY, f"https://hooks.example.com/api/v1/webhooks/it?signature={mac(secret, BODY).hex()}")


def checkbook(secret: str, _: int) -> Signed:
    return Signed({"Signature": f'nonce="n1", signature="{mac(secret, BODY + b"n1").hex()}"'})


def teams(secret: str, _: int) -> Signed:
    return Signed({"Authorization": "HMAC " + b64(mac(base64.b64decode(secret), BODY))})


def twitch(secret: str, at_s: int) -> Signed:
    name, at = "Twitch-Eventsub-Message-", iso(at_s)
    signature = "sha256=" + mac(secret, b"m-1" + at.encode() + BODY).hex()
    return Signed({f"{name}Id": "m-1", f"{name}Timestamp": at, f"{name}Signature": signature})


def mailgun(secret: str, at_s: int) -> Signed:
    signature = {"timestamp": str(at_s), "token": "tok", "signature": mac(secret, f"{at_s}tok".encode()).hex()}
    return Signed({}, json.dumps({"signature": signature, "event-data": {"id": "x"}}).encode())


def adyen(secret: str, _: int) -> Signed:
    item: dict[str, Any] = {
        "pspReference": "7914073381342284",
        "merchantAccountCode": "TestMerchant",
        "merchantReference": "TestPayment-1407325143704",
        "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
    }
    text = "7914073381342284::TestMerchant:TestPayment-1407325143704:1130:EUR:AUTHORISATION:true"
    item["additionalData"] = {"hmacSignature": b64(mac(bytes.fromhex(secret), text.encode()))}
    return Signed({}, json.dumps({"notificationItems": [{"NotificationRequestItem": item}]}).encode())


def outpost(secret: str, _: int) -> Signed:
    return Signed({"x-outpost-signature": f"v0={mac('old', BODY).hex()},{mac(secret, BODY).hex()}"})


def persona(secret: str, at_s: int) -> Signed:
    """Sign by two secrets, as while one is being replaced."""
    sets = [f"t={at_s},v1={mac(key, f'{at_s}.'.encode() + BODY).hex()}" for key in ("old", secret)]
    return Signed({"Persona-Signature": " ".join(sets)})


def polar(secret: str, at_s: int) -> Signed:
    """Sign with the secret's text, as the SDK does by encoding it for a library that decodes it."""
    return standard("webhook")(b64(secret.encode()), at_s)


def easypost(secret: str, _: int) -> Signed:
    return Signed({"X-Hmac-Signature": "hmac-sha256-hex=" + mac(secret, BODY).hex()})


SVIX = [
    "beehiiv",
    "clerk",
    "guesty",
    "lithic",
    "nash",
    "replicate",
    "resend",
    "safebase",
    "stych",
    "svix",
    "svix-ingest",
]
WEBHOOK = ["anthropic", "brex", "gitlab-signed", "incident-io", "open-ai", "pleo", "psi-fi", "render", "sardine"]
WEBHOOK += ["standard-webhooks", "supabase-auth"]
SENDERS: Mapping[str, Sign] = {
    **dict.fromkeys(SVIX, standard("svix")),
    **dict.fromkeys(WEBHOOK, standard("webhook")),
    "polar": polar,
    "github": plain("X-Hub-Signature-256", prefix="sha256="),
    "meta": plain("X-Hub-Signature-256", prefix="sha256="),
    "shopify": plain("X-Shopify-Hmac-SHA256", b64),
    "stripe": named("Stripe-Signature"),
    "slack": timed("X-Slack-Signature", "X-Slack-Request-Timestamp", "v0:TIME:BODY", prefix="v0="),
    "twilio": twilio,
    "messagebird": messagebird,
    "docusign": plain("X-DocuSign-Signature-1", b64),
    "easypost": easypost,
    "merge": plain("X-Merge-Webhook-Signature", lambda digest: base64.urlsafe_b64encode(digest).decode()),
    "nango": plain("X-Nango-Hmac-Sha256"),
    "rutter": plain("X-Rutter-Signature", b64, "sha256="),
    "segment": plain("X-Signature", algorithm="sha1"),
    "veriff": plain("X-HMAC-SIGNATURE"),
    "port-io": timed("x-port-signature", "x-port-timestamp", "TIME.BODY", b64, "v1,"),
    "bitbucket": plain("X-Hub-Signature", prefix="sha256="),
    "bitbucket-server": plain("X-Hub-Signature", prefix="sha256="),
    "jira-cloud": plain("X-Hub-Signature", prefix="sha256="),
    "circleci": plain("circleci-signature", prefix="v1="),
    "coinbase-commerce": plain("X-CC-Webhook-Signature"),
    "gitea": plain("X-Gitea-Signature"),
    "forgejo": plain("X-Forgejo-Signature"),
    "gogs": plain("X-Gogs-Signature"),
    "gocardless": plain("Webhook-Signature"),
    "heroku": plain("Heroku-Webhook-Hmac-SHA256", b64),
    "hookdeck": plain("x-hookdeck-signature", b64),
    "intercom": plain("X-Hub-Signature", prefix="sha1=", algorithm="sha1"),
    "launchdarkly": plain("X-LD-Signature"),
    "linear": plain("Linear-Signature"),
    "lob": timed("Lob-Signature", "Lob-Signature-Timestamp", "TIME.BODY"),
    "outpost": outpost,
    "pagerduty": plain("X-PagerDuty-Signature", prefix="v1="),
    "paystack": plain("x-paystack-signature", algorithm="sha512"),
    "razorpay": plain("X-Razorpay-Signature"),
    "sentry": plain("Sentry-Hook-Signature"),
    "square": square,
    "typeform": plain("Typeform-Signature", b64, "sha256="),
    "vercel": plain("x-vercel-signature", algorithm="sha1"),
    "gitlab": bearer("X-Gitlab-Token"),
    "openclaw": bearer(before="Bearer "),
    "vapi": bearer("X-Vapi-Secret"),
    "adyen": basic,
    "adyen-hmac": adyen,
    "postmark": basic,
    "chargebee": basic,
    "flutterwave": bearer("verif-hash"),
    "flutterwave-v4": plain("flutterwave-signature", b64),
    "eventbridge-api-destination": bearer("X-Api-Key"),
    "telegram": bearer("X-Telegram-Bot-Api-Secret-Token"),
    "adobe-sign": bearer("X-AdobeSign-ClientId"),
    "zoom": timed("x-zm-signature", "x-zm-request-timestamp", "v0:TIME:BODY", prefix="v0="),
    "asana": plain("X-Hook-Signature"),
    "dropbox": plain("X-Dropbox-Signature"),
    "event-grid-cloudevents": bearer(before="Bearer "),
    "okta-events": bearer(before="Bearer "),
    "trello": trello,
    "woocommerce": plain("X-WC-Webhook-Signature", b64),
    "xero": plain("x-xero-signature", b64),
    "airwallex": timed("x-signature", "x-timestamp", "TIMEBODY", at=lambda at_s: str(at_s * 1000)),
    "checkbook": checkbook,
    "hubspot": hubspot,
    "panda-doc": panda_doc,
    "tailscale": named("Tailscale-Webhook-Signature"),
    "telnyx": telnyx,
    "vgs": named("VGS-Signature"),
    "buildkite": named("X-Buildkite-Signature", "timestamp=TIME,signature=SIGNATURE"),
    "calendly": named("Calendly-Webhook-Signature"),
    "convoy": plain("X-Convoy-Signature"),
    "convoy-advanced": named("X-Convoy-Signature", text="TIME,"),
    "discord": discord,
    "discord-events": discord,
    "elevenlabs": named("ElevenLabs-Signature", "t=TIME,v0=SIGNATURE"),
    "fintoc": named("Fintoc-Signature"),
    "mailgun": mailgun,
    "mux": named("Mux-Signature"),
    "paddle": named("Paddle-Signature", "ts=TIME;h1=SIGNATURE", "TIME:"),
    "sendgrid": sendgrid,
    "teams-outgoing": teams,
    "twitch": twitch,
    "webflow": timed("x-webflow-signature", "x-webflow-timestamp", "TIME:BODY", at=lambda at_s: str(at_s * 1000)),
    "zendesk": timed("X-Zendesk-Webhook-Signature", "X-Zendesk-Webhook-Signature-Timestamp", "TIMEBODY", b64, at=iso),
    "cloudevents": bearer(before="Bearer "),
    "google-push": bearer("X-Goog-Channel-Token"),
    "box": timed("BOX-SIGNATURE-PRIMARY", "BOX-DELIVERY-TIMESTAMP", "BODYTIME", b64, at=iso),
    "lemon-squeezy": plain("X-Signature"),
    "cal-com": plain("X-Cal-Signature-256"),
    "clickup": plain("X-Signature"),
    "customer-io": timed("X-CIO-Signature", "X-CIO-Timestamp", "v0:TIME:BODY"),
    "front": timed(
        "X-Front-Signature", "X-Front-Request-Timestamp", "TIME:BODY", b64, at=lambda at_s: str(at_s * 1000)
    ),
    "help-scout": plain("X-HelpScout-Signature", b64, algorithm="sha1"),
    "line": plain("x-line-signature", b64),
    "livekit": token("Authorization", "sha256", b64),
    "notion": plain("X-Notion-Signature", prefix="sha256="),
    "npm": plain("x-npm-signature", prefix="sha256="),
    "persona": persona,
    "plaid": token("Plaid-Verification", "request_body_sha256"),
    "pusher": plain("X-Pusher-Signature"),
    "sanity": named("sanity-webhook-signature", write=b64url, unit=1000),
    "terra": named("terra-signature"),
    "vonage": token("Authorization", "payload_hash", before="Bearer "),
    "wise": wise,
    "wechat-pay": wechat_pay,
    "mollie": plain("X-Mollie-Signature", prefix="sha256="),
    "workos": named("WorkOS-Signature", "t=TIME, v1=SIGNATURE", unit=1000),
    "dwolla": plain("X-Request-Signature-SHA-256"),
    "expo": plain("expo-signature", prefix="sha1=", algorithm="sha1"),
    "fusionauth": token("X-FusionAuth-Signature-JWT", "request_body_sha256", b64),
    "netlify": netlify,
    "deepgram": bearer("dg-token"),
    "frame-io": timed("X-Frameio-Signature", "X-Frameio-Request-Timestamp", "v0:TIME:BODY", prefix="v0="),
    "courier": named("courier-signature", "t=TIME,signature=SIGNATURE", unit=1000),
    "cursor": plain("X-Webhook-Signature", prefix="sha256="),
    "nylas": plain("x-nylas-signature"),
    "cloudflare-stream": named("Webhook-Signature", "time=TIME,sig1=SIGNATURE"),
    "cloudflare-notifications": bearer("cf-webhook-auth"),
    "cloudflare-logpush": bearer("X-Logpush-Secret"),
    "amazon-data-firehose": bearer("X-Amz-Firehose-Access-Key"),
    "datadog": bearer(before="Bearer "),
    "grafana": timed("X-Grafana-Alerting-Signature", "X-Grafana-Alerting-Timestamp", "TIME:BODY"),
}
BY_ADDRESS = {"generic-webhook", "monday", "ms-graph", "event-grid", "dropbox-sign"}
ELSEWHERE = {"sns", "google-pubsub"}  # tested with their keys and certificates, in other files
PRESETS = {preset.name: preset for preset in list_presets()}
NO_BODY = {"mailgun", "adyen-hmac"}  # what is signed there is not the body


def secrets_of(preset: Preset) -> tuple[str, str]:
    """Return a secret as the sender of a preset writes it, and another one."""
    match preset.name, preset.keys["verify"]:
        case "adyen-hmac", _:
            return "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056", "11" * 32
        case "plaid", _:
            return pem(PRIVATE_KEYS["ec"]), pem(ec.generate_private_key(ec.SECP256R1()))
        case _, "ed25519":
            raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
            public = PRIVATE_KEYS["ed25519"].public_key().public_bytes(*raw)
            return public.hex(), ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(*raw).hex()
        case _, "ecdsa":
            return pem(PRIVATE_KEYS["ec"]), pem(ec.generate_private_key(ec.SECP256R1()))
        case _, "rsa":
            return pem(PRIVATE_KEYS["rsa"]), pem(rsa.generate_private_key(65537, 2048))
        case "polar", _:
            return "polar_whs_a-b_c", "polar_whs_other"
        case _, "standard-webhooks":
            return f"whsec_{KEY}", f"whsec_{OTHER}"
    return KEY, OTHER


def source_of(name: str, *secrets: str, **keys: Any) -> WebhookSource:
    table = {"preset": name, **({"secrets": list(secrets)} if secrets else {}), **keys}
    if name == "meta":
        table["handshake_secret"] = ["verify"]
    return make_sources(convert({"it": table}, dict[str, SourceConfig]))["it"]


def verify(source: WebhookSource, signed: Signed, at_s: int = NOW_S) -> None:
    assert source.scheme is not None
    request = RawRequest("POST", signed.url, signed.headers, signed.body)
    source.scheme.verify(request, source.secrets, at_s)


def test_every_preset_has_a_test_and_a_document() -> None:
    assert set(PRESETS) == {*SENDERS, *BY_ADDRESS, *ELSEWHERE}
    assert len(PRESETS) >= 110
    for preset in PRESETS.values():
        assert preset.docs.startswith("https://"), preset.name
        assert preset.title, preset.name
        assert preset.enter, preset.name
        assert preset.secret in {"sender", "you", "exchange", "none"}, preset.name
        assert preset.checked in get_args(get_type_hints(Preset)["checked"]), preset.name
        assert not preset.evidence or preset.evidence.startswith("https://"), preset.name


def test_a_preset_with_a_published_example_repeats_it() -> None:
    """What the reference calls a published example stands among those that are tested."""
    published = {one["preset"] for one in json.loads(Path(__file__).with_name("published.json").read_text("utf-8"))}

    assert {preset.name for preset in PRESETS.values() if preset.checked == "published example"} == published
    assert sum(preset.checked != "not checked" for preset in PRESETS.values()) >= 145


def test_what_only_others_say_of_a_sender_is_linked_and_what_nothing_confirms_is_noted() -> None:
    """A public receiver is not the sender: the reader sees which one agrees."""
    for preset in PRESETS.values():
        if preset.checked == "public receiver":
            assert preset.evidence, preset.name
        if preset.checked == "not checked":
            assert preset.note, preset.name


def test_brexs_secret_is_base64_alone() -> None:
    """Its secrets endpoint returns the key without `whsec_`; the id is the header that is signed."""
    source = source_of("brex", KEY)
    signed = standard("webhook")(f"whsec_{KEY}", NOW_S)

    verify(source, signed)
    assert source.item(RawRequest("POST", URL, signed.headers, BODY), NOW_S * 1000)[0] == "msg_1"
    with pytest.raises(Unverified):
        verify(source_of("brex", OTHER), signed)


@pytest.mark.parametrize("issuer", [None, "", "netlify.example", "https://netlify", ["netlify"], 1])
def test_netlifys_token_names_netlify(issuer: Any) -> None:
    """A token that the same secret signed for another purpose proves nothing here."""
    claims: dict[str, Any] = {"sha256": hashlib.sha256(BODY).hexdigest()} | ({} if issuer is None else {"iss": issuer})
    written = b".".join(b64url(json.dumps(part).encode()).encode() for part in ({"alg": "HS256"}, claims))
    signed = Signed({"X-Webhook-Signature": f"{written.decode()}.{b64url(mac(KEY, written))}"})

    with pytest.raises(Unverified, match="another issuer"):
        verify(source_of("netlify", KEY), signed)


@pytest.mark.parametrize("family", ["webhook", "svix"])
def test_an_id_of_standard_webhooks_is_the_one_that_is_signed(family: str) -> None:
    """A second header that nothing signs makes no other event of a repeated one."""
    other = {"webhook": "svix", "svix": "webhook"}[family]
    source = source_of("lithic", f"whsec_{KEY}")
    signed = standard(family)(f"whsec_{KEY}", NOW_S)
    request = RawRequest("POST", URL, {**signed.headers, f"{other}-id": "msg_2"}, BODY)

    assert source.item(request, NOW_S * 1000)[0] == "msg_1"


def test_a_secret_of_standard_webhooks_may_be_a_public_key_as_supabase_writes_it() -> None:
    key = PRIVATE_KEYS["ed25519"]
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    source = source_of("supabase-auth", f"v1,whsec_{OTHER}", f"v1a,whpk_{b64(raw)}")
    signature = b64(key.sign(b"msg_1.%d.%s" % (NOW_S, BODY)))
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(NOW_S), "webhook-signature": f"v1,AAAA, v1a,{signature}"}

    verify(source, Signed(headers))


@pytest.mark.parametrize("name", sorted(SENDERS))
def test_what_the_sender_signs_is_accepted(name: str) -> None:
    """A source with nothing but the preset and the secret verifies it."""
    secret, _ = secrets_of(PRESETS[name])

    verify(source_of(name, secret), SENDERS[name](secret, NOW_S))


@pytest.mark.parametrize("name", sorted(SENDERS))
def test_another_secret_is_refused(name: str) -> None:
    secret, other = secrets_of(PRESETS[name])
    signed = SENDERS[name](secret, NOW_S)

    with pytest.raises(Unverified):
        verify(source_of(name, other), signed)
    verify(source_of(name, other, secret), signed)


@pytest.mark.parametrize("name", sorted(set(SENDERS) - NO_BODY))
def test_a_tampered_body_is_refused_where_the_sender_signs(name: str) -> None:
    """Bearer tokens and HTTP basic prove the sender and not the body."""
    secret, _ = secrets_of(PRESETS[name])
    signed = SENDERS[name](secret, NOW_S)
    tampered = signed._replace(body=signed.body.replace(b"1", b"2"))
    is_signed = PRESETS[name].keys["verify"] not in {"bearer", "basic"}

    if is_signed:
        with pytest.raises(Unverified):
            verify(source_of(name, secret), tampered)
    else:
        verify(source_of(name, secret), tampered)


@pytest.mark.parametrize("name", sorted(SENDERS))
def test_a_stale_time_is_refused_where_the_sender_signs_one(name: str) -> None:
    secret, _ = secrets_of(PRESETS[name])
    later_s = NOW_S + 3601
    signed, has_time = SENDERS[name](secret, NOW_S), SENDERS[name](secret, NOW_S) != SENDERS[name](secret, later_s)

    if has_time:
        with pytest.raises(Unverified) as refused:
            verify(source_of(name, secret), signed, later_s)
        assert refused.value.reason == "time"
    else:
        verify(source_of(name, secret), signed, later_s)


@pytest.mark.parametrize("name", sorted(BY_ADDRESS))
def test_a_sender_that_cannot_sign_is_known_by_its_path_token(name: str) -> None:
    source = source_of(name, tokens=["t0ken"])

    assert source.scheme is None
    assert source.has_token("t0ken")
    assert not source.has_token("another")


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_the_table_that_one_would_write(name: str) -> None:
    """A source of a preset is made of the same values as one with all keys in its table, and checks as fast."""
    preset = PRESETS[name]
    own: dict[str, Any] = {"handshake_secret": ["v"]} if name == "meta" else {}
    if preset.needs == "secrets":
        own["secrets"] = [secrets_of(preset)[0]]
    elif preset.needs == "tokens":
        own["tokens"] = ["t0ken"]
    elif preset.needs == "audience":
        own["audience"] = "https://h.example"

    tables = {"short": {"preset": name, **own}, "long": {**preset.keys, **own}}
    made = make_sources(convert(tables, dict[str, SourceConfig]))

    assert made["short"].scheme == made["long"].scheme
    assert replace(made["short"].source, preset="") == made["long"].source


def test_every_key_of_a_preset_can_be_replaced() -> None:
    source = source_of("github", "k", header="X-Other", prefix="", id="/id", verify="hmac")

    verify(source, Signed({"X-Other": mac("k", BODY).hex()}))
    assert source.source.id == ("/id",)
    assert source.source.events == "header:X-GitHub-Event"


def test_a_table_with_another_scheme_has_no_option_of_the_presets() -> None:
    source = source_of("zoom", "k", verify="bearer")

    verify(source, Signed({"Authorization": "Bearer k"}))


def test_a_misspelt_name_finds_its_preset() -> None:
    assert find_preset("github") is not None
    assert find_preset("githup") is None
