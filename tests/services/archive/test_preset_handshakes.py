"""The handshake of each preset that has one, as its sender's document describes it.

None of them is archived, none is answered where its sender signs it and the signature is wrong, and each is limited.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from nacl.signing import SigningKey

from carboy.services.archive.source_settings import SourceConfig
from carboy.testing.clock import ManualClock
from carboy.webhooks import HANDSHAKES, list_presets

NOW_S = 1_700_000_000
KEY = "a key of theirs"
SIGNER = SigningKey(b"\5" * 32)
SECRETS = f'secrets = ["{KEY}"]\n'
TOKENS = 'tokens = ["t0ken"]\n'


@dataclass(frozen=True)
class Asked:
    """A handshake, and what the sender wants to read.

    Attributes:
        lines: of the source's table, beside its preset.
        method: of the request.
        path: behind the source's address.
        body: of the request.
        headers: with what signs it, given a key.
        status: of the response.
        answer: its body.
        answered: headers of the response.
        is_signed: whether the sender signs it.
    """

    lines: str
    method: str
    status: int
    answer: bytes
    path: str = ""
    body: bytes = b""
    headers: Callable[[str], dict[str, str]] = lambda _: {}
    answered: dict[str, str] = field(default_factory=dict)
    is_signed: bool = False


def mac(key: str, text: bytes) -> bytes:
    return hmac.new(key.encode(), text, hashlib.sha256).digest()


def timed(signature: str, time: str, body: bytes) -> Callable[[str], dict[str, str]]:
    """Sign as Slack and Zoom do."""
    return lambda key: {time: str(NOW_S), signature: "v0=" + mac(key, b"v0:%d:%s" % (NOW_S, body)).hex()}


def discord(body: bytes) -> Callable[[str], dict[str, str]]:
    def headers(key: str) -> dict[str, str]:
        signer = SIGNER if key == KEY else SigningKey(b"\6" * 32)
        signature = signer.sign(str(NOW_S).encode() + body).signature.hex()
        return {"X-Signature-Ed25519": signature, "X-Signature-Timestamp": str(NOW_S)}

    return headers


def twitch(body: bytes) -> Callable[[str], dict[str, str]]:
    at = "2023-11-14T22:13:20.123456789Z"
    name = "Twitch-Eventsub-Message-"
    return lambda key: {
        f"{name}Id": "m-1",
        f"{name}Timestamp": at,
        f"{name}Type": "webhook_callback_verification",
        f"{name}Signature": "sha256=" + mac(key, b"m-1" + at.encode() + body).hex(),
    }


def front(body: bytes) -> Callable[[str], dict[str, str]]:
    at = str(NOW_S * 1000)
    return lambda key: {
        "X-Front-Challenge": "c-1",
        "X-Front-Request-Timestamp": at,
        "X-Front-Signature": base64.b64encode(mac(key, f"{at}:".encode() + body)).decode(),
    }


SLACK = b'{"token":"x","challenge":"3eZbrw1aB","type":"url_verification"}'
ZOOM = b'{"payload":{"plainToken":"qgg8vlvZR"},"event_ts":1654503849680,"event":"endpoint.url_validation"}'
TWITCH = b'{"challenge":"pogchamp-kappa","subscription":{"id":"f1"}}'
FRONT = b'{"type":"sync","authorization":{"id":"cmp_abc"}}'
EVENT_GRID = (
    b'[{"id":"1","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"512d38b6"}}]'
)
VERIFY_KEY = f'secrets = ["{SIGNER.verify_key.encode().hex()}"]\n'
ZOOM_ANSWER = {"plainToken": "qgg8vlvZR", "encryptedToken": mac(KEY, b"qgg8vlvZR").hex()}

ASKED = {
    "slack": Asked(
        SECRETS,
        "POST",
        200,
        b"3eZbrw1aB",
        body=SLACK,
        headers=timed("X-Slack-Signature", "X-Slack-Request-Timestamp", SLACK),
        is_signed=True,
    ),
    "zoom": Asked(
        SECRETS,
        "POST",
        200,
        json.dumps(ZOOM_ANSWER, separators=(",", ":")).encode(),
        body=ZOOM,
        headers=timed("x-zm-signature", "x-zm-request-timestamp", ZOOM),
        answered={"Content-Type": "application/json"},
        is_signed=True,
    ),
    "discord": Asked(
        VERIFY_KEY,
        "POST",
        200,
        b'{"type":1}',
        body=b'{"type":1,"id":"1"}',
        headers=discord(b'{"type":1,"id":"1"}'),
        answered={"Content-Type": "application/json"},
        is_signed=True,
    ),
    "discord-events": Asked(
        VERIFY_KEY, "POST", 204, b"", body=b'{"type":0}', headers=discord(b'{"type":0}'), is_signed=True
    ),
    "twitch": Asked(SECRETS, "POST", 200, b"pogchamp-kappa", body=TWITCH, headers=twitch(TWITCH), is_signed=True),
    "front": Asked(
        SECRETS,
        "POST",
        200,
        b'{"challenge":"c-1"}',
        body=FRONT,
        headers=front(FRONT),
        answered={"Content-Type": "application/json"},
        is_signed=True,
    ),
    "adobe-sign": Asked(
        SECRETS,
        "GET",
        200,
        b"",
        headers=lambda key: {"X-AdobeSign-ClientId": key},
        answered={"X-AdobeSign-ClientId": KEY},
        is_signed=True,
    ),
    "meta": Asked(
        SECRETS + 'handshake_secret = ["verify-me"]\n',
        "GET",
        200,
        b"1158201444",
        path="?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=verify-me",
    ),
    "dropbox": Asked(SECRETS, "GET", 200, b"abc123", path="?challenge=abc123"),
    "nylas": Asked(SECRETS, "GET", 200, b"bc609b38", path="?challenge=bc609b38"),
    "okta-events": Asked(
        SECRETS,
        "GET",
        200,
        b'{"verification":"my-challenge"}',
        headers=lambda _: {"X-Okta-Verification-Challenge": "my-challenge"},
        answered={"Content-Type": "application/json"},
    ),
    "trello": Asked(SECRETS, "HEAD", 200, b""),
    "intercom": Asked(SECRETS, "HEAD", 200, b""),
    "woocommerce": Asked(
        SECRETS,
        "POST",
        200,
        b"",
        body=b"webhook_id=17",
        headers=lambda _: {"Content-Type": "application/x-www-form-urlencoded"},
    ),
    "monday": Asked(
        TOKENS, "POST", 200, b'{"challenge":"3eZbrw1aB"}', path="/t0ken", body=b'{"challenge":"3eZbrw1aB"}'
    ),
    "ms-graph": Asked(
        TOKENS,
        "POST",
        200,
        b"Validation: a<b",
        path="/t0ken?validationToken=Validation%3A%20a%3Cb",
        headers=lambda _: {"Content-Type": "text/plain; charset=utf-8"},
        answered={"Content-Type": "text/plain; charset=utf-8"},
    ),
    "event-grid": Asked(
        TOKENS,
        "POST",
        200,
        b'{"validationResponse":"512d38b6"}',
        path="/t0ken",
        body=EVENT_GRID,
        headers=lambda _: {"aeg-event-type": "SubscriptionValidation"},
        answered={"Content-Type": "application/json"},
    ),
    "asana": Asked(
        TOKENS,
        "POST",
        200,
        b"",
        path="/t0ken",
        headers=lambda _: {"X-Hook-Secret": "b537207f20cb"},
        answered={"X-Hook-Secret": "b537207f20cb"},
    ),
}


def start(serve: Any, name: str) -> Any:
    toml = f'[default.archive.sources.it]\npreset = "{name}"\n{ASKED[name].lines}'
    return serve(toml=toml, clock=ManualClock(NOW_S * 1000))


def ask(gateway: Any, name: str, key: str = KEY) -> Any:
    asked = ASKED[name]
    path = f"/api/v1/webhooks/it{asked.path}"
    return gateway.open(asked.method, path, data=asked.body, headers=asked.headers(key))


def test_every_preset_with_a_handshake_is_tested() -> None:
    presets = {
        preset.name
        for preset in list_presets()
        if {"handshake", "exchange"} & preset.keys.keys() or preset.keys["verify"] in HANDSHAKES
    }

    assert presets == ASKED.keys()
    assert SourceConfig(verify="slack").handshakes


@pytest.mark.slow
@pytest.mark.parametrize("name", ASKED)
def test_a_handshake_is_answered_and_not_archived_and_limited(serve: Any, name: str) -> None:
    """As often as once a second for a minute, so that a stranger gets no more answers than that."""
    gateway = start(serve, name)
    asked = ASKED[name]

    answer = ask(gateway, name)

    assert (answer.status_code, answer.data) == (asked.status, asked.answer)
    assert {header: answer.headers[header] for header in asked.answered} == asked.answered
    assert gateway.archive.index.last_received_ms("it") is None
    assert gateway.kept() == []
    statuses = [ask(gateway, name).status_code for _ in range(60)]
    assert statuses == [asked.status] * 59 + [429]


@pytest.mark.parametrize("name", [name for name, asked in ASKED.items() if asked.is_signed])
def test_a_handshake_with_a_wrong_signature_is_refused(serve: Any, name: str) -> None:
    gateway = start(serve, name)

    answer = ask(gateway, name, "another key")

    assert answer.status_code in {401, 403}
    for text in (b"3eZbrw1aB", b"qgg8vlvZR", b"pogchamp", b"c-1"):
        assert text not in answer.data
    assert gateway.kept() == []


@pytest.mark.parametrize("name", [name for name, asked in ASKED.items() if asked.path.startswith("/t0ken")])
def test_a_handshake_with_another_path_token_is_refused(serve: Any, name: str) -> None:
    gateway = start(serve, name)
    asked = ASKED[name]
    path = f"/api/v1/webhooks/it{asked.path.replace('t0ken', 'another')}"

    answer = gateway.open(asked.method, path, data=asked.body, headers=asked.headers(KEY))

    assert answer.status_code == 403
    assert not asked.answered.keys() & {"X-Hook-Secret"} & set(answer.headers.keys())


@pytest.mark.parametrize(
    "query",
    [
        "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=another",
        "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=",
        "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=VERIFY-ME",
        "hub.mode=subscribe&hub.challenge=1158201444",
        "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=verify-me&hub.verify_token=another",
        "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=%FF",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_metas_verify_token_must_be_right(serve: Any, query: str, method: str) -> None:
    """A client that does not know it learns nothing."""
    gateway = start(serve, "meta")

    answer = gateway.open(method, f"/api/v1/webhooks/it?{query}")

    assert answer.status_code == 403
    assert b"1158201444" not in answer.data
    assert b"verify-me" not in answer.data


@pytest.mark.parametrize(
    "query", ["hub.mode=unsubscribe&hub.verify_token=verify-me&hub.challenge=1", "", "hub.challenge=1"]
)
def test_what_is_not_metas_handshake_needs_a_key(serve: Any, query: str) -> None:
    assert start(serve, "meta").open("GET", f"/api/v1/webhooks/it?{query}").status_code in {400, 401}


@pytest.mark.parametrize("preset", ["cloudevents", "event-grid-cloudevents"])
def test_cloudevents_ask_by_options_for_permission(serve: Any, preset: str) -> None:
    gateway = serve(toml=f'[default.archive.sources.it]\npreset = "{preset}"\n{SECRETS}')

    answer = gateway.open("OPTIONS", "/api/v1/webhooks/it", headers={"WebHook-Request-Origin": "eventgrid.azure.net"})

    assert answer.status_code == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"
    assert answer.headers["WebHook-Allowed-Rate"]
    assert "POST" in answer.headers["Allow"]
    assert gateway.kept() == []


def test_cloudevents_ask_also_at_an_address_with_a_path_token(serve: Any) -> None:
    """The token proves that the sender was given this address; another one is refused."""
    gateway = serve(toml=f"[default.archive.sources.it]\ncloudevents = true\n{TOKENS}")
    origin = {"WebHook-Request-Origin": "eventgrid.azure.net"}

    answer = gateway.open("OPTIONS", "/api/v1/webhooks/it/t0ken", headers=origin)

    assert (answer.status_code, answer.headers["WebHook-Allowed-Origin"]) == (200, "eventgrid.azure.net")
    assert gateway.open("OPTIONS", "/api/v1/webhooks/it/another", headers=origin).status_code == 403
    assert gateway.open("OPTIONS", "/api/v1/webhooks/nothing/t0ken", headers=origin).status_code == 404
