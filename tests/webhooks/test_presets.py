"""Each preset accepts what its sender signs and refuses what is tampered, stale, or signed with another secret."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from cryptography.hazmat.primitives import serialization
from tests.webhooks.preset_signers import (
    BODY,
    BY_ADDRESS,
    ELSEWHERE,
    KEY,
    NO_BODY,
    NOW_S,
    OTHER,
    PRESETS,
    PRIVATE_KEYS,
    SENDERS,
    URL,
    Signed,
    b64,
    b64url,
    mac,
    secrets_of,
    sign,
)

from carboy.api import RawRequest
from carboy.config.values import convert
from carboy.services.archive.source_settings import SourceConfig
from carboy.services.archive.sources import WebhookSource, make_sources
from carboy.webhooks import Preset, Unverified, find_preset


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
    signed = sign("brex", f"whsec_{KEY}")

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
    signed = sign({"webhook": "render", "svix": "svix"}[family], f"whsec_{KEY}")
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

    verify(source_of(name, secret), sign(name, secret))


@pytest.mark.parametrize("name", sorted(SENDERS))
def test_another_secret_is_refused(name: str) -> None:
    secret, other = secrets_of(PRESETS[name])
    signed = sign(name, secret)

    with pytest.raises(Unverified):
        verify(source_of(name, other), signed)
    verify(source_of(name, other, secret), signed)


@pytest.mark.parametrize("name", sorted(set(SENDERS) - NO_BODY))
def test_a_tampered_body_is_refused_where_the_sender_signs(name: str) -> None:
    """Bearer tokens and HTTP basic prove the sender and not the body."""
    secret, _ = secrets_of(PRESETS[name])
    signed = sign(name, secret)
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
    signed, has_time = sign(name, secret), sign(name, secret) != sign(name, secret, later_s)

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
    assert replace(made["short"].config, preset="") == made["long"].config


def test_every_key_of_a_preset_can_be_replaced() -> None:
    source = source_of("github", "k", header="X-Other", prefix="", id="/id", verify="hmac")

    verify(source, Signed({"X-Other": mac("k", BODY).hex()}))
    assert source.config.id == ("/id",)
    assert source.config.events == "header:X-GitHub-Event"


def test_a_table_with_another_scheme_has_no_option_of_the_presets() -> None:
    source = source_of("zoom", "k", verify="bearer")

    verify(source, Signed({"Authorization": "Bearer k"}))


def test_a_misspelt_name_finds_its_preset() -> None:
    assert find_preset("github") is not None
    assert find_preset("githup") is None
