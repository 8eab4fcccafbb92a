"""Signatures in every form that senders use, from the settings to the archive; over the bytes on the wire."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from carboy.errors import ConfigurationError
from carboy.testing.clock import ManualClock
from carboy.web import runtime

NOW_S = 1_700_000_000
NOW_MS = NOW_S * 1000
BODY = b'{"n": 1.0}'
PATH = "/api/v1/webhooks/it"


def mac(text: bytes, key: bytes = b"k", algorithm: str = "sha256") -> bytes:
    return hmac.digest(key, text, algorithm)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def source(lines: str) -> str:
    return f"[default.archive.sources.it]\n{lines}\n"


def post(gateway: Any, headers: dict[str, str] | None = None, body: bytes = BODY, path: str = PATH, **more: Any) -> Any:
    return gateway.open("POST", path, data=body, headers=headers or {}, **more)


TARGETS = [
    "?redirect=https%3A%2F%2Fa%2Fb",
    "?e=a%40b",
    "?a=%C3%A4",
    "?a=%c3%a4",
    "?a=%27%5B%7E%41%20+",
    "?",
    "?a",
    "?a=1&a=2&",
    "?a=//b",
    "?a=%zz",
    "?%",
    "?a=%00",
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("scheme", ["twilio", "square"])
def test_an_address_is_verified_as_it_was_sent(serve: Any, scheme: str, target: str) -> None:
    """Percent-encodings keep their case and what they encode; a bare question mark counts."""
    twilio = 'verify = "twilio"\nsecrets = ["k"]\npublic_url = "https://h.example"'
    square = 'verify = "hmac"\nheader = "X-S"\nencoding = "base64"\ntemplate = "{url}{body}"\nsecrets = ["k"]\n'
    gateway = serve(toml=source(twilio if scheme == "twilio" else f'{square}public_url = "https://h.example"'))
    url = f"https://h.example{PATH}{target}".encode()
    if scheme == "twilio":
        headers, body = {"X-Twilio-Signature": b64(mac(url, algorithm="sha1"))}, b""
    else:
        headers, body = {"X-S": b64(mac(url + BODY))}, BODY

    wire = {"RAW_URI": PATH + target}  # the test client drops a bare question mark
    assert post(gateway, headers, body, PATH + target, environ_overrides=wire).status_code == 202
    assert post(gateway, headers, body, f"{PATH}{target}{'&' if '?' in target else '?'}x=1").status_code == 403


@pytest.mark.parametrize(
    ("public_url", "url"),
    [
        ("https://h.example/hooks", f"https://h.example/hooks{PATH}?a=%2F"),
        ("https://h.example/hooks/", f"https://h.example/hooks{PATH}?a=%2F"),
        ("https://h.example:8443", f"https://h.example:8443{PATH}?a=%2F"),
        ("", f"http://localhost{PATH}?a=%2F"),
    ],
)
def test_the_public_address_may_have_a_path(serve: Any, public_url: str, url: str) -> None:
    """A proxy may take it away before the request gets here."""
    lines = 'verify = "hmac"\nheader = "X-S"\ntemplate = "{url}{body}"\nsecrets = ["k"]\n'
    gateway = serve(toml=source(f'{lines}public_url = "{public_url}"'))

    assert post(gateway, {"X-S": mac(url.encode() + BODY).hex()}, path=f"{PATH}?a=%2F").status_code == 202


AT = str(NOW_S)
AT_MS = str(NOW_MS + 7)
ISO = datetime.fromtimestamp(NOW_S, UTC).isoformat().replace("+00:00", "Z")
ADYEN = json.dumps({"notificationItems": [{"sig": b64(mac(b"pspRef:10"))}], "ref": "pspRef", "value": 10}).encode()
MAILGUN = json.dumps(
    {"signature": {"timestamp": AT, "token": "tok", "signature": mac(f"{AT}tok".encode()).hex()}, "event-data": {}}
).encode()

# The source's lines, the headers that its sender adds, the query, and the body.
HMACS: dict[str, tuple[str, dict[str, str], str, bytes]] = {
    "Calendly": (
        (
            'header = "Calendly-Webhook-Signature"\nsignature_field = "v1"\ntimestamp_field = "t"\n'
            'template = "{timestamp}.{body}"'
        ),
        {"Calendly-Webhook-Signature": f"t={AT},v1={mac(f'{AT}.'.encode() + BODY).hex()}"},
        "",
        BODY,
    ),
    "Paddle": (
        (
            'header = "Paddle-Signature"\nsignature_field = "h1"\ntimestamp_field = "ts"\nseparator = ";"\n'
            'template = "{timestamp}:{body}"'
        ),
        {"Paddle-Signature": f"ts={AT};h1={mac(b'other').hex()};h1={mac(f'{AT}:'.encode() + BODY).hex()}"},
        "",
        BODY,
    ),
    "Buildkite": (
        (
            'header = "X-Buildkite-Signature"\nsignature_field = "signature"\ntimestamp_field = "timestamp"\n'
            'template = "{timestamp}.{body}"'
        ),
        {"X-Buildkite-Signature": f"timestamp={AT},signature={mac(f'{AT}.'.encode() + BODY).hex()}"},
        "",
        BODY,
    ),
    "Checkbook": (
        'header = "Signature"\nsignature_field = "signature"\ntemplate = "{field:nonce}{body}"',
        {"Signature": f"nonce=n1, signature={mac(b'n1' + BODY).hex()}"},
        "",
        BODY,
    ),
    "PagerDuty, the new secret second": (
        'header = "X-PagerDuty-Signature"\nprefix = "v1="',
        {"X-PagerDuty-Signature": f"v1={mac(BODY, b'old').hex()},v1={mac(BODY).hex()}"},
        "",
        BODY,
    ),
    "HubSpot v3": (
        (
            'header = "X-HubSpot-Signature-v3"\nencoding = "base64"\ntimestamp_header = "X-HubSpot-Request-Timestamp"\n'
            'template = "{method}{url}{body}{timestamp}"\npublic_url = "https://h.example"'
        ),
        {
            "X-HubSpot-Request-Timestamp": AT_MS,
            "X-HubSpot-Signature-v3": b64(mac(f"POSThttps://h.example{PATH}?a=%2F".encode() + BODY + AT_MS.encode())),
        },
        "?a=%2F",
        BODY,
    ),
    "Twitch": (
        (
            'header = "T-Signature"\nprefix = "sha256="\ntimestamp_header = "T-Timestamp"\nid = "header:T-Id"\n'
            'template = "{id}{timestamp}{body}"'
        ),
        {"T-Id": "m1", "T-Timestamp": ISO, "T-Signature": f"sha256={mac(f'm1{ISO}'.encode() + BODY).hex()}"},
        "",
        BODY,
    ),
    "another header": (
        'header = "X-S"\ntemplate = "{header:X-Nonce}.{body}"',
        {"X-Nonce": "n", "X-S": mac(b"n." + BODY).hex()},
        "",
        BODY,
    ),
    "PandaDoc": ('signature = "query:signature"', {}, f"?signature={mac(BODY).hex()}", BODY),
    "Mailgun": (
        (
            'signature = "/signature/signature"\ntimestamp = "/signature/timestamp"\n'
            'template = "{timestamp}{json:/signature/token}"'
        ),
        {},
        "",
        MAILGUN,
    ),
    "Adyen": (
        'signature = "/notificationItems/0/sig"\nencoding = "base64"\ntemplate = "{json:/ref}:{json:/value}"',
        {},
        "",
        ADYEN,
    ),
    "Teams": (
        (
            'header = "Authorization"\nencoding = "base64"\nprefix = "HMAC "\nsecret_encoding = "base64"\n'
            f'secrets = ["{b64(b"k")}"]'
        ),
        {"Authorization": f"HMAC {b64(mac(BODY))}"},
        "",
        BODY,
    ),
    "a secret in hex": (
        'header = "X-S"\nsecret_encoding = "hex"\nsecrets = ["6b"]',
        {"X-S": mac(BODY).hex()},
        "",
        BODY,
    ),
    "the hash of the body": (
        'header = "X-S"\ntemplate = "{method} {path} {body_sha256_hex}"',
        {"X-S": mac(f"POST {PATH}?q=%41 {hashlib.sha256(BODY).hexdigest()}".encode()).hex()},
        "?q=%41",
        BODY,
    ),
}


@pytest.mark.parametrize("name", HMACS)
def test_a_signature_has_the_form_that_its_sender_gives_it(serve: Any, name: str) -> None:
    """Wherever it stands; with one byte changed in what is signed it proves nothing."""
    lines, headers, query, body = HMACS[name]
    secrets = "" if "secrets" in lines else '\nsecrets = ["k"]'
    gateway = serve(toml=source(f'verify = "hmac"\n{lines}{secrets}'), clock=ManualClock(NOW_MS))

    assert post(gateway, headers, body, PATH + query).status_code == 202
    changed = body.replace(b"1.0", b"1.1").replace(b"tok", b"tik").replace(b"pspRef", b"pspref")
    assert post(gateway, headers, changed, PATH + query).status_code == 403


ED25519, P256 = Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


def der(key: Any) -> bytes:
    data: bytes = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return data


def pem(key: Any) -> str:
    return str(
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


RAW = ED25519.public_key().public_bytes_raw()
ASYMMETRIC: dict[str, tuple[str, str, str]] = {
    "Discord": (
        (
            'verify = "ed25519"\nheader = "X-S"\ntimestamp_header = "X-T"\ntemplate = "{timestamp}{body}"\n'
            f'secrets = ["{RAW.hex()}"]'
        ),
        ED25519.sign(AT.encode() + BODY).hex(),
        "",
    ),
    "Telnyx": (
        (
            'verify = "ed25519"\nheader = "X-S"\nencoding = "base64"\ntimestamp_header = "X-T"\n'
            f'template = "{{timestamp}}|{{body}}"\nsecrets = ["{b64(RAW)}"]'
        ),
        b64(ED25519.sign(AT.encode() + b"|" + BODY)),
        "",
    ),
    "SendGrid": (
        (
            'verify = "ecdsa"\nheader = "X-S"\ntimestamp_header = "X-T"\ntemplate = "{timestamp}{body}"\n'
            f'secrets = ["{b64(der(P256))}"]'
        ),
        b64(P256.sign(AT.encode() + BODY, ec.ECDSA(hashes.SHA256()))),
        "",
    ),
    "RSA by PEM": (
        f'verify = "rsa"\nheader = "X-S"\nsecrets = ["""{pem(RSA)}"""]',
        b64(RSA.sign(BODY, padding.PKCS1v15(), hashes.SHA256())),
        "",
    ),
}


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_a_public_key_proves_a_sender(serve: Any, name: str) -> None:
    lines, signature, _ = ASYMMETRIC[name]
    gateway = serve(toml=source(lines), clock=ManualClock(NOW_MS))
    headers = {"X-S": signature, "X-T": AT}

    assert post(gateway, headers).status_code == 202
    assert post(gateway, headers, BODY + b" ").status_code == 403
    assert post(gateway, {**headers, "X-S": "00"}).status_code == 403


@pytest.mark.parametrize("form", ["whsec_{}", "v1,whsec_{}", "{}"])
def test_a_standard_webhooks_secret_has_several_spellings(serve: Any, form: str) -> None:
    """Supabase shows it with `v1,` before it."""
    gateway = serve(
        toml=source(f'verify = "standard-webhooks"\nsecrets = ["{form.format(b64(b"key"))}"]'),
        clock=ManualClock(NOW_MS),
    )
    signature = f"v1,{b64(mac(b'm.%d.%s' % (NOW_S, BODY), b'key'))}"
    headers = {"webhook-id": "m", "webhook-timestamp": AT, "webhook-signature": signature}

    assert post(gateway, headers).status_code == 202


WRONG_SECRETS = [
    'verify = "standard-webhooks"\nsecrets = ["whsec_!!!"]',
    'verify = "standard-webhooks"\nsecrets = ["not base64"]',
    'verify = "hmac"\nheader = "X-S"\nsecret_encoding = "hex"\nsecrets = ["xyz"]',
    'verify = "hmac"\nheader = "X-S"\nsecret_encoding = "base64"\nsecrets = ["é"]',
    'verify = "ed25519"\nheader = "X-S"\nsecrets = ["00ff"]',
    'verify = "ecdsa"\nheader = "X-S"\nsecrets = ["-----BEGIN PUBLIC KEY-----"]',
]


@pytest.mark.parametrize("lines", WRONG_SECRETS)
def test_a_secret_that_cannot_be_read_stops_the_start(serve: Any, lines: str) -> None:
    with pytest.raises(ConfigurationError, match=r"`it\.secrets` must be") as refused:
        serve(toml=source(lines))

    assert "xyz" not in str(refused.value)


def test_secrets_and_tokens_follow_their_files(serve: Any, tmp_path: Path) -> None:
    """After a refresh, and by themselves once they are as old as SECRET_TTL_S."""
    clock = ManualClock(NOW_MS)
    (tmp_path / "secret").write_text("old")
    (tmp_path / "token").write_text("first")
    lines = f'verify = "github"\nsecrets = ["file:{tmp_path}/secret"]\ntokens = ["file:{tmp_path}/token"]'
    gateway = serve(toml=source(lines), clock=clock, secret_ttl_s="60", secret_min_interval_s="1")

    def statuses() -> list[int]:
        signed = [{"X-Hub-Signature-256": f"sha256={mac(BODY, key).hex()}"} for key in (b"old", b"new")]
        by_token = [post(gateway, path=f"{PATH}/{token}").status_code for token in ("first", "second")]
        return [*(post(gateway, headers).status_code for headers in signed), *by_token]

    assert statuses() == [202, 403, 202, 403]
    (tmp_path / "secret").write_text("new")
    (tmp_path / "token").write_text("second")
    live = runtime(gateway.app).centre.live
    assert live is not None
    live.refresh()
    assert statuses() == [403, 202, 403, 202]


def test_a_limit_of_a_source_may_be_above_that_of_all(serve: Any) -> None:
    """With or without a declared length; other addresses keep their limits."""
    lines = 'verify = "none"\nmax_body_bytes = 3000\n[default.archive.sources.other]\nverify = "none"'
    gateway = serve(toml=source(lines), max_body_bytes="1000")

    assert post(gateway, body=b"x" * 3000).status_code == 202
    assert post(gateway, body=b"x" * 3001).status_code == 413
    assert post(gateway, body=b"x" * 1001, path="/api/v1/webhooks/other").status_code == 413
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    assert post(gateway, body=b"y" * 2999, environ_overrides=chunked).status_code == 202
    assert post(gateway, body=b"y" * 3001, environ_overrides=chunked).status_code == 413


def test_an_id_of_several_parts_distinguishes_events(serve: Any) -> None:
    """CloudEvents are named by source and id; the parts never run into each other."""
    gateway = serve(toml=source('verify = "none"\nid = ["header:ce-source", "header:ce-id"]'))
    pairs = [("/a", "1"), ("/b", "1"), ("/a", "1"), ("/a 1", "2"), ("/a", "1 2"), ("/a\\", "1")]

    answers = [post(gateway, {"ce-source": one, "ce-id": two}, b"{}").get_json() for one, two in pairs]

    assert [answer["accepted"] for answer in answers] == [1, 1, 0, 1, 1, 1]


@pytest.mark.parametrize("keep", ["", 'keep_headers = ["X-Goog-Channel-Id", "X-Goog-Message-Number"]'])
def test_of_an_empty_body_the_kept_headers_are_the_content(serve: Any, keep: str) -> None:
    """Google's push notifications have no body; a repeat of one is a duplicate."""
    gateway = serve(toml=source(f'verify = "none"\n{keep}'))
    numbers = [("c1", "1"), ("c1", "2"), ("c2", "1"), ("c1", "2")]

    answers = [
        post(gateway, {"X-Goog-Channel-Id": channel, "X-Goog-Message-Number": number, "X-Request-Id": f"r{at}"}, b"")
        for at, (channel, number) in enumerate(numbers)
    ]

    assert [answer.get_json()["accepted"] for answer in answers] == [1, 1, 1, 0]


@pytest.mark.slow
def test_headers_with_secrets_are_not_kept(serve: Any) -> None:
    """All others are, unless the source chooses."""
    gateway = serve(toml=source('verify = "bearer"\nheader = "X-Token"\nsecrets = ["k"]\nid = "header:X-Id"'))
    headers = {"X-Token": "k", "X-Id": "e1", "X-Event": "push", "Cookie": "c=1", "Authorization": "Basic eDp5"}

    post(gateway, headers, path=f"{PATH}?wait=10")

    kept = gateway.get(f"{PATH}/e1").get_json()["webhook"]["headers"]
    assert kept["X-Event"] == "push"
    assert {"X-Token", "Cookie", "Authorization"}.isdisjoint(kept)


def test_a_boolean_is_no_id(serve: Any) -> None:
    """Two events that both say `true` are two."""
    gateway = serve(toml=source('verify = "none"\nid = "/id"'))

    answers = [post(gateway, body=b'{"id": true, "n": %d}' % n).get_json() for n in (1, 2)]

    assert [answer["accepted"] for answer in answers] == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "at",
    [
        "Tue, 17 Jan 2017 13:51:00 GMT",
        "Tue, 17 Jan 2017 14:51:00 +0100",
        "2017-01-17 13:51:00 UTC",
        "2017-01-17T13:51:00.123456789Z",
        "2017-01-17T13:51:00.123456+00:00",
        1_484_661_060_000_000,
        "1484661060000000000",
    ],
)
def test_a_time_is_read_in_the_forms_that_senders_use(serve: Any, at: Any) -> None:
    gateway = serve(toml=source('verify = "none"\nid = "/id"\ntime = "/at"'), clock=ManualClock(NOW_MS))

    post(gateway, body=json.dumps({"id": "e", "at": at}).encode(), path=f"{PATH}?wait=10")

    assert gateway.kept() == ["webhooks/it/2017/01/17/13/51/e"]


def test_a_place_that_is_never_there_is_logged_once(serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = serve(toml=source('verify = "none"\nid = "/no/id"\ntime = "/no/time"'), log_format="json")

    for n in range(3):
        post(gateway, body=b"%d" % n)

    logged = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "webhook_place_missing" in line]
    assert [(line["setting"], line["place"]) for line in logged] == [("id", "/no/id"), ("time", "/no/time")]


def test_an_event_without_a_type_is_kept(serve: Any) -> None:
    """`only` leaves out what is known to be of another type."""
    gateway = serve(toml=source('verify = "none"\nevents = "/type"\nonly = ["push"]'))

    answers = [post(gateway, body=body).get_json()["accepted"] for body in (b"{}", b'{"type": "tag"}', b"[1]")]

    assert answers == [1, 0, 1]
