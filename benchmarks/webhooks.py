"""What verifying a webhook costs by scheme, over the bare `hmac` or `cryptography` call that it stands on.

Each source is its preset and a secret, as a person writes it; the body has 1 KB. The aim: at most 20 µs over the
bare call. A preset costs what the table does that has its keys written out.
"""

import base64
import hashlib
import hmac
import timeit
from collections.abc import Callable
from typing import Any

from carboy.api import RawRequest
from carboy.config.values import convert
from carboy.services.archive.source_settings import SourceConfig
from carboy.services.archive.sources import WebhookSource, make_sources
from carboy.webhooks import find_preset, sign_sample

RUN_S, REPEAT = 0.0005, 300  # short runs, so that the best of them had a core for itself
AIM_US = 20.0
NOW_S = 1_700_000_000
BODY = b'{"id":"e-1","data":"' + b"x" * 1000 + b'"}'
KEY = base64.b64encode(b"secret secret secret secret secret!!").decode()
URL = "http://127.0.0.1:8000/api/v1/webhooks/it"
SHARED = ["github", "stripe", "slack", "svix", "square", "zendesk", "twitch", "paddle", "gitlab", "postmark"]


def run() -> None:
    """Print the microseconds of each scheme, of the bare call, and what is between them."""
    print("| preset | verified, µs | bare, µs | over it, µs | ratio |\n| --- | ---: | ---: | ---: | ---: |")
    for name in SHARED:
        source = _source(name, KEY)
        _print(name, source, _signed(source), lambda: hmac.digest(KEY.encode(), BODY, "sha256"))
    _print_public_keys()
    _print_token()
    _print_written_out()


def _print_public_keys() -> None:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    signed = str(NOW_S).encode() + BODY
    edwards = ed25519.Ed25519PrivateKey.generate()
    signature = edwards.sign(signed)
    headers = {"X-Signature-Ed25519": signature.hex(), "X-Signature-Timestamp": str(NOW_S)}
    public = edwards.public_key()
    source = _source("discord", base64.b64encode(public.public_bytes(*form)).decode())
    _print("discord", source, RawRequest("POST", URL, headers, BODY), lambda: public.verify(signature, signed))
    curve = ec.generate_private_key(ec.SECP256R1())
    proof, point = curve.sign(signed, ec.ECDSA(hashes.SHA256())), curve.public_key()
    prefix = "X-Twilio-Email-Event-Webhook-"
    headers = {f"{prefix}Signature": base64.b64encode(proof).decode(), f"{prefix}Timestamp": str(NOW_S)}
    source = _source("sendgrid", base64.b64encode(point.public_bytes(*form)).decode())
    sent = RawRequest("POST", URL, headers, BODY)
    _print("sendgrid", source, sent, lambda: point.verify(proof, signed, ec.ECDSA(hashes.SHA256())))


def _print_token() -> None:
    import jwt

    claims = {"iat": NOW_S, "payload_hash": hashlib.sha256(BODY).hexdigest()}
    headers = {"Authorization": "Bearer " + jwt.encode(claims, KEY, "HS256")}
    bare = lambda: (hmac.digest(KEY.encode(), BODY[:200], "sha256"), hashlib.sha256(BODY).digest())  # noqa: E731
    _print("vonage", _source("vonage", KEY), RawRequest("POST", URL, headers, BODY), bare)


def _print_written_out() -> None:
    """Print what a preset costs over the table that one would write for its sender."""
    print("\n| preset | by its name, µs | written out, µs | ratio |\n| --- | ---: | ---: | ---: |")
    for name in SHARED:
        preset = find_preset(name)
        assert preset is not None
        short, long = _source(name, KEY), _made({**preset.keys, "secrets": [KEY]})
        sent = _signed(short)
        short_us, long_us = _best_us(_verifying(short, sent), _verifying(long, sent))
        print(f"| {name} | {short_us:.1f} | {long_us:.1f} | {short_us / long_us:.2f} |", flush=True)


def _signed(source: WebhookSource) -> RawRequest:
    """Return a sample that the sender signed."""
    assert source.scheme is not None
    headers = {one.partition(":")[2].strip().lower(): "e-1" for one in source.config.id if one.startswith("header:")}
    return sign_sample(source.scheme, RawRequest("POST", URL, headers, BODY), KEY, NOW_S)


def _source(name: str, secret: str) -> WebhookSource:
    return _made({"preset": name, "secrets": [secret]})


def _made(table: dict[str, Any]) -> WebhookSource:
    return make_sources(convert({"it": table}, dict[str, SourceConfig]))["it"]


def _print(name: str, source: WebhookSource, sent: RawRequest, bare: Callable[[], Any]) -> None:
    taken_us, bare_us = _best_us(_verifying(source, sent), bare)
    over_us = taken_us - bare_us
    note = "" if over_us <= AIM_US else f" (aim {AIM_US:g})"
    print(f"| {name} | {taken_us:.1f} | {bare_us:.1f} | {over_us:.1f}{note} | {taken_us / bare_us:.2f} |", flush=True)


def _verifying(source: WebhookSource, sent: RawRequest) -> Callable[[], None]:
    """Return a call that verifies a request."""
    scheme = source.scheme
    assert scheme is not None
    return lambda: scheme.verify(sent, source.secrets, NOW_S)


def _best_us(*calls: Callable[[], Any]) -> list[float]:
    """Return the microseconds of each call, measured in turn, so that all meet the same load."""
    number = max(1, int(RUN_S / min(timeit.repeat(calls[0], number=1, repeat=20))))
    runs = [[timeit.timeit(call, number=number) for call in calls] for _ in range(REPEAT)]
    return [min(taken) / number * 1e6 for taken in zip(*runs, strict=True)]
