"""Examples that senders publish in their documents, or in the tests of their SDKs, are accepted by a preset alone.

`published.json` has each with the address where it stands.
"""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from carboy.api import RawRequest
from carboy.config.values import convert
from carboy.services.archive.source_settings import SourceConfig
from carboy.services.archive.sources import WebhookSource, make_sources
from carboy.webhooks import Unverified

EXAMPLES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))
ANY_TIME_S = 1_700_000_000
OTHER_EC_KEY = base64.b64encode(
    ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()

examples = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["preset"]))


def source_of(example: dict[str, Any], secret: str) -> WebhookSource:
    table = {"preset": example["preset"], "secrets": [secret]}
    return make_sources(convert({"it": table}, dict[str, SourceConfig]))["it"]


def verify(example: dict[str, Any], *, body: str = "", secret: str = "", at_s: float = 0.0) -> None:
    source = source_of(example, secret or example["secret"])
    assert source.scheme is not None
    url = example.get("url", "https://hooks.example.com/api/v1/webhooks/it")
    request = RawRequest("POST", url, example["headers"], (body or example["body"]).encode())
    source.scheme.verify(request, source.secrets, at_s or example.get("at_s", ANY_TIME_S))


def another(secret: str) -> str:
    """Return another secret of the same form."""
    if secret.startswith("whsec_MfKQ"):
        return "whsec_" + base64.b64encode(b"another secret of theirs").decode()
    return OTHER_EC_KEY if secret.startswith("MFkw") else secret[:-1] + ("0" if secret[-1] != "0" else "1")


@examples
def test_a_published_example_is_accepted(example: dict[str, Any]) -> None:
    verify(example)


@examples
def test_another_body_is_refused(example: dict[str, Any]) -> None:
    old, new = example.get("change", (example["body"][-2:], "!" + example["body"][-1]))

    with pytest.raises(Unverified):
        verify(example, body=example["body"].replace(old, new))


@examples
def test_another_secret_is_refused(example: dict[str, Any]) -> None:
    with pytest.raises(Unverified) as refused:
        verify(example, secret=another(example["secret"]))
    assert refused.value.reason == "signature"


@pytest.mark.parametrize(
    "example", [one for one in EXAMPLES if "at_s" in one], ids=lambda example: str(example["preset"])
)
@pytest.mark.parametrize("age_s", [3601, -3601], ids=["old", "from the future"])
def test_an_example_is_refused_at_another_time(example: dict[str, Any], age_s: int) -> None:
    with pytest.raises(Unverified) as refused:
        verify(example, at_s=example["at_s"] + age_s)
    assert refused.value.reason == "time"
