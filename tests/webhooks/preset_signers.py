"""How each sender of a preset signs a webhook, written from the senders' documents.

It shares nothing with the presets or the schemes.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from standardwebhooks import Webhook
from twilio.request_validator import RequestValidator

from carboy.webhooks import Preset, list_presets

NOW_S = 1_700_000_000
BODY = b'{"id": "e-1", "type": "it.happened", "data": {"n": 1}}'
URL = "https://hooks.example.com/api/v1/webhooks/it?a=%2F1"
KEY = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA=="
OTHER = "b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXI="


class Event(NamedTuple):
    """What a sender has to sign, with which secret and when, seconds since the epoch."""

    secret: str
    at_s: int
    body: bytes
    url: str


class Signed(NamedTuple):
    """What a sender sends: the headers, the body, and the address."""

    headers: dict[str, str]
    body: bytes = BODY
    url: str = URL


Sign = Callable[[Event], dict[str, str] | Signed]
"""Returns the headers that sign an event, or all of the request where the signature is elsewhere."""


def sign(name: str, secret: str, at_s: int = NOW_S, body: bytes = BODY, url: str = URL) -> Signed:
    """Return what the sender of a preset sends."""
    made = SENDERS[name](Event(secret, at_s, body, url))
    return made if isinstance(made, Signed) else Signed(made, body, url)


def mac(key: str | bytes, text: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(key.encode() if isinstance(key, str) else key, text, algorithm).digest()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def iso(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")


def ms(at_s: int) -> str:
    return str(at_s * 1000)


def plain(header: str, write: Callable[[bytes], str] = bytes.hex, prefix: str = "", algorithm: str = "sha256") -> Sign:
    """Sign the body alone."""
    return lambda event: {header: prefix + write(mac(event.secret, event.body, algorithm))}


def timed(
    header: str,
    time_header: str,
    text: str,
    write: Callable[[bytes], str] = bytes.hex,
    prefix: str = "",
    at: Callable[[int], str] = str,
) -> Sign:
    """Sign a time and the body, with the time in a header of its own."""

    def headers(event: Event) -> dict[str, str]:
        before, after = text.replace("TIME", at(event.at_s)).split("BODY")
        signed = before.encode() + event.body + after.encode()
        return {time_header: at(event.at_s), header: prefix + write(mac(event.secret, signed))}

    return headers


def named(
    header: str,
    form: str = "t=TIME,v1=SIGNATURE",
    text: str = "TIME.",
    write: Callable[[bytes], str] = bytes.hex,
    at: Callable[[int], str] = str,
) -> Sign:
    """Sign a time and the body, with both in one header of named parts."""

    def headers(event: Event) -> dict[str, str]:
        time = at(event.at_s)
        signature = write(mac(event.secret, text.replace("TIME", time).encode() + event.body))
        return {header: form.replace("TIME", time).replace("SIGNATURE", signature)}

    return headers


def standard(family: str) -> Sign:
    """Sign as Standard Webhooks does; its SDK signs texts only."""

    def headers(event: Event) -> dict[str, str]:
        signed = b"msg_1.%d.%s" % (event.at_s, event.body)
        signature = "v1," + b64(mac(base64.b64decode(event.secret.removeprefix("whsec_")), signed))
        if event.body == BODY:
            at = datetime.fromtimestamp(event.at_s, UTC)
            assert signature == Webhook(event.secret).sign("msg_1", at, BODY.decode())
        return {f"{family}-id": "msg_1", f"{family}-timestamp": str(event.at_s), f"{family}-signature": signature}

    return headers


def bearer(header: str = "Authorization", before: str = "") -> Sign:
    return lambda event: {header: before + event.secret}


def basic(event: Event) -> dict[str, str]:
    return {"Authorization": "Basic " + b64(f"anyone:{event.secret}".encode())}


def token(header: str, claim: str, write: Callable[[bytes], str] = bytes.hex, before: str = "") -> Sign:
    def headers(event: Event) -> dict[str, str]:
        claims = {"iat": event.at_s, "exp": event.at_s + 60, claim: write(hashlib.sha256(event.body).digest())}
        is_public = event.secret.startswith("-----")
        key: Any = PRIVATE_KEYS["ec"] if is_public else event.secret
        return {header: before + jwt.encode(claims, key, "ES256" if is_public else "HS256")}

    return headers


def netlify(event: Event) -> dict[str, str]:
    """Sign without a time."""
    claims = {"iss": "netlify", "sha256": hashlib.sha256(event.body).hexdigest()}
    return {"X-Webhook-Signature": jwt.encode(claims, event.secret, "HS256")}


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


def discord(event: Event) -> dict[str, str]:
    signature = PRIVATE_KEYS["ed25519"].sign(str(event.at_s).encode() + event.body)
    return {"X-Signature-Ed25519": signature.hex(), "X-Signature-Timestamp": str(event.at_s)}


def telnyx(event: Event) -> dict[str, str]:
    signature = PRIVATE_KEYS["ed25519"].sign(f"{event.at_s}|".encode() + event.body)
    return {"telnyx-signature-ed25519": b64(signature), "telnyx-timestamp": str(event.at_s)}


def sendgrid(event: Event) -> dict[str, str]:
    signature = PRIVATE_KEYS["ec"].sign(str(event.at_s).encode() + event.body, ec.ECDSA(hashes.SHA256()))
    name = "X-Twilio-Email-Event-Webhook-"
    return {f"{name}Signature": b64(signature), f"{name}Timestamp": str(event.at_s)}


def wise(event: Event) -> dict[str, str]:
    return {"X-Signature-SHA256": b64(PRIVATE_KEYS["rsa"].sign(event.body, padding.PKCS1v15(), hashes.SHA256()))}


def wechat_pay(event: Event) -> dict[str, str]:
    text = f"{event.at_s}\nc5ac7061fccab6bf\n".encode() + event.body + b"\n"
    signature = PRIVATE_KEYS["rsa"].sign(text, padding.PKCS1v15(), hashes.SHA256())
    headers = {"Wechatpay-Signature": b64(signature), "Wechatpay-Timestamp": str(event.at_s)}
    return {**headers, "Wechatpay-Nonce": "c5ac7061fccab6bf"}


def twilio(event: Event) -> Signed:
    signature = RequestValidator(event.secret).compute_signature(event.url, {"From": "+15551234", "Body": "hello"})
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    return Signed(headers, b"From=%2B15551234&Body=hello", event.url)


def messagebird(event: Event) -> dict[str, str]:
    signed = f"{event.at_s}\n{event.url}\n".encode() + hashlib.sha256(event.body).digest()
    signature = b64(mac(event.secret, signed))
    return {"MessageBird-Signature": signature, "MessageBird-Request-Timestamp": str(event.at_s)}


def square(event: Event) -> dict[str, str]:
    return {"x-square-hmacsha256-signature": b64(mac(event.secret, event.url.encode() + event.body))}


def trello(event: Event) -> dict[str, str]:
    return {"X-Trello-Webhook": b64(mac(event.secret, event.body + event.url.encode(), "sha1"))}


def hubspot(event: Event) -> dict[str, str]:
    at = ms(event.at_s)
    signed = b"POST" + event.url.encode() + event.body + at.encode()
    return {"X-HubSpot-Signature-v3": b64(mac(event.secret, signed)), "X-HubSpot-Request-Timestamp": at}


def panda_doc(event: Event) -> Signed:
    signature = mac(event.secret, event.body).hex()
    return Signed({}, event.body, f"{event.url.partition('?')[0]}?signature={signature}")


def checkbook(event: Event) -> dict[str, str]:
    return {"Signature": f'nonce="n1", signature="{mac(event.secret, event.body + b"n1").hex()}"'}


def teams(event: Event) -> dict[str, str]:
    return {"Authorization": "HMAC " + b64(mac(base64.b64decode(event.secret), event.body))}


def twitch(event: Event) -> dict[str, str]:
    name, at = "Twitch-Eventsub-Message-", iso(event.at_s)
    signature = "sha256=" + mac(event.secret, b"m-1" + at.encode() + event.body).hex()
    return {f"{name}Id": "m-1", f"{name}Timestamp": at, f"{name}Signature": signature}


def mailgun(event: Event) -> Signed:
    proof = mac(event.secret, f"{event.at_s}tok".encode()).hex()
    signature = {"timestamp": str(event.at_s), "token": "tok", "signature": proof}
    return Signed({}, json.dumps({"signature": signature, "event-data": {"id": "x"}}).encode(), event.url)


def adyen(event: Event) -> Signed:
    item: dict[str, Any] = {
        "pspReference": "7914073381342284",
        "merchantAccountCode": "TestMerchant",
        "merchantReference": "TestPayment-1407325143704",
        "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
    }
    text = "7914073381342284::TestMerchant:TestPayment-1407325143704:1130:EUR:AUTHORISATION:true"
    item["additionalData"] = {"hmacSignature": b64(mac(bytes.fromhex(event.secret), text.encode()))}
    body = json.dumps({"notificationItems": [{"NotificationRequestItem": item}]}).encode()
    return Signed({}, body, event.url)


def outpost(event: Event) -> dict[str, str]:
    return {"x-outpost-signature": f"v0={mac('old', event.body).hex()},{mac(event.secret, event.body).hex()}"}


def persona(event: Event) -> dict[str, str]:
    """Sign by two secrets, as while one is being replaced."""
    signed = f"{event.at_s}.".encode() + event.body
    sets = [f"t={event.at_s},v1={mac(key, signed).hex()}" for key in ("old", event.secret)]
    return {"Persona-Signature": " ".join(sets)}


def polar(event: Event) -> dict[str, str]:
    """Sign with the secret's text, as the SDK does by encoding it for a library that decodes it."""
    made = standard("webhook")(event._replace(secret=b64(event.secret.encode())))
    assert isinstance(made, dict)
    return made


def easypost(event: Event) -> dict[str, str]:
    return {"X-Hmac-Signature": "hmac-sha256-hex=" + mac(event.secret, event.body).hex()}


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
    "airwallex": timed("x-signature", "x-timestamp", "TIMEBODY", at=ms),
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
    "webflow": timed("x-webflow-signature", "x-webflow-timestamp", "TIME:BODY", at=ms),
    "zendesk": timed("X-Zendesk-Webhook-Signature", "X-Zendesk-Webhook-Signature-Timestamp", "TIMEBODY", b64, at=iso),
    "cloudevents": bearer(before="Bearer "),
    "google-push": bearer("X-Goog-Channel-Token"),
    "box": timed("BOX-SIGNATURE-PRIMARY", "BOX-DELIVERY-TIMESTAMP", "BODYTIME", b64, at=iso),
    "lemon-squeezy": plain("X-Signature"),
    "cal-com": plain("X-Cal-Signature-256"),
    "clickup": plain("X-Signature"),
    "customer-io": timed("X-CIO-Signature", "X-CIO-Timestamp", "v0:TIME:BODY"),
    "front": timed("X-Front-Signature", "X-Front-Request-Timestamp", "TIME:BODY", b64, at=ms),
    "help-scout": plain("X-HelpScout-Signature", b64, algorithm="sha1"),
    "line": plain("x-line-signature", b64),
    "livekit": token("Authorization", "sha256", b64),
    "notion": plain("X-Notion-Signature", prefix="sha256="),
    "npm": plain("x-npm-signature", prefix="sha256="),
    "persona": persona,
    "plaid": token("Plaid-Verification", "request_body_sha256"),
    "pusher": plain("X-Pusher-Signature"),
    "sanity": named("sanity-webhook-signature", write=b64url, at=ms),
    "terra": named("terra-signature"),
    "vonage": token("Authorization", "payload_hash", before="Bearer "),
    "wise": wise,
    "wechat-pay": wechat_pay,
    "mollie": plain("X-Mollie-Signature", prefix="sha256="),
    "workos": named("WorkOS-Signature", "t=TIME, v1=SIGNATURE", at=ms),
    "dwolla": plain("X-Request-Signature-SHA-256"),
    "expo": plain("expo-signature", prefix="sha1=", algorithm="sha1"),
    "fusionauth": token("X-FusionAuth-Signature-JWT", "request_body_sha256", b64),
    "netlify": netlify,
    "deepgram": bearer("dg-token"),
    "frame-io": timed("X-Frameio-Signature", "X-Frameio-Request-Timestamp", "v0:TIME:BODY", prefix="v0="),
    "courier": named("courier-signature", "t=TIME,signature=SIGNATURE", at=ms),
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
