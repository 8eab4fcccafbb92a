"""Every scheme lets in what its sender signed, and nothing else; vectors are the senders' own where there are any."""

import base64
import hashlib
import hmac
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from carboy.errors import ConfigurationError, Refused
from carboy.raw_request import RawRequest
from carboy.webhooks import Unverified, make_scheme

NOW = 1_700_000_000
URL = "https://hooks.example.com/api/v1/webhooks/source?a=1"
HASHED_URL = f"{URL}&bodySHA256={hashlib.sha256(b'{}').hexdigest()}"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
TWILIO_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
TWILIO_FORM = b"CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309"


@dataclass(frozen=True)
class Case:
    """A webhook that its scheme lets in."""

    scheme: str
    secret: str
    headers: Mapping[str, str]
    body: bytes
    now_s: float = NOW
    url: str = URL
    options: Mapping[str, str] = field(default_factory=dict)
    signs_bytes: bool = True  # False where the body's spelling is not signed, or the body not at all

    def verify(self, *secrets: str) -> None:
        scheme = make_scheme(self.scheme, self.options)
        incoming = RawRequest("POST", self.url, self.headers, self.body)
        scheme.verify(incoming, secrets or (self.secret,), self.now_s)

    def is_let_in(self, *secrets: str) -> bool:
        try:
            self.verify(*secrets)
        except Unverified:
            return False
        return True


def mac(secret: str | bytes, text: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.digest(secret.encode() if isinstance(secret, str) else secret, text, algorithm)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


VECTORS = [
    Case(
        "github",
        "It's a Secret to Everybody",
        {"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        b"Hello, World!",
    ),
    Case(
        "stripe",
        "whsec_test",
        {"Stripe-Signature": "t=1492774577,v1=7656fc2882a7ca0a651666b36bf2f2f22ee204f54f608f227498a2419f2890b2"},
        b'{"id":"evt_1"}',
        1492774577,
    ),
    Case(
        "standard-webhooks",
        "whsec_plJ3nmyCDGBKInavdOK15jsl",
        {
            "webhook-id": "msg_loFOjxBNrRLzqYUf",
            "webhook-timestamp": "1731705121",
            "webhook-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
        },
        b'{"event_type":"ping","data":{"success":true}}',
        1731705121,
    ),
    Case(
        "standard-webhooks",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        {
            "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "svix-timestamp": "1614265330",
            "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        b'{"test": 2432232314}',
        1614265330,
    ),
    Case(
        "slack",
        "8f742231b10e8888abcd99yyyzzz85a5",
        {
            "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            "X-Slack-Request-Timestamp": "1531420618",
        },
        SLACK_BODY,
        1531420618,
    ),
    Case(
        "twilio",
        "12345",
        {**FORM, "X-Twilio-Signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="},
        TWILIO_FORM,
        url=TWILIO_URL,
        signs_bytes=False,
    ),
    Case(
        "twilio",
        "12345",
        {**FORM, "X-Twilio-Signature": "IK+Dwps556ElfBT0I3Rgjkr1wJU="},
        b"Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234",
        url=TWILIO_URL,
        signs_bytes=False,
    ),
]
OWN = [
    Case("shopify", "s", {"X-Shopify-Hmac-SHA256": b64(mac("s", b"{}"))}, b"{}"),
    Case(
        "messagebird",
        "s",
        {
            "MessageBird-Signature": b64(mac("s", f"{NOW}\n{URL}\n".encode() + hashlib.sha256(b"{}").digest())),
            "MessageBird-Request-Timestamp": str(NOW),
        },
        b"{}",
    ),
    Case(
        "twilio",
        "s",
        {
            "Content-Type": "application/json",
            "X-Twilio-Signature": b64(
                mac("s", f"{URL}&bodySHA256={hashlib.sha256(b'{}').hexdigest()}".encode(), "sha1")
            ),
        },
        b"{}",
        url=f"{URL}&bodySHA256={hashlib.sha256(b'{}').hexdigest()}",
    ),
    Case(
        "hmac",
        "s",
        {"X-Signature": f"v2={mac('s', f'{NOW}/{URL}/'.encode() + b'{}', 'sha512').hex().upper()}", "X-Time": str(NOW)},
        b"{}",
        options={
            "header": "X-Signature",
            "algorithm": "sha512",
            "encoding": "HEX",
            "prefix": "v2=",
            "timestamp_header": "X-Time",
            "template": "{timestamp}/{url}/{body}",
        },
    ),
    Case(
        "hmac",
        "s",
        {"X-Signature": base64.urlsafe_b64encode(mac("s", b"{}", "sha1")).decode()},
        b"{}",
        options={"header": "x-signature", "algorithm": "sha1", "encoding": "base64url"},
    ),
    Case("bearer", "s3cret", {"Authorization": "Bearer s3cret"}, b"{}", signs_bytes=False),
    Case(
        "bearer", "s3cret", {"X-Gitlab-Token": "s3cret"}, b"{}", options={"header": "X-Gitlab-Token"}, signs_bytes=False
    ),
    Case("basic", "pä:ss", {"Authorization": f"Basic {b64('u:pä:ss'.encode())}"}, b"{}", signs_bytes=False),
]
CASES = [*VECTORS, *OWN]
ids = [f"{case.scheme}-{number}" for number, case in enumerate(CASES)]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_what_its_sender_signed_is_let_in(case: Case) -> None:
    """The senders' own published examples among them; the case of a header's name does not matter."""
    case.verify()
    replace(case, headers={name.upper(): value for name, value in case.headers.items()}).verify()


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_any_of_several_secrets_works(case: Case) -> None:
    """While one is being replaced, the old and the new are both there, in any order."""
    other = "whsec_b3RoZXI=" if case.scheme == "standard-webhooks" else "other"

    assert case.is_let_in(other, case.secret)
    assert case.is_let_in(case.secret, other, "")
    assert not case.is_let_in(other)


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_without_a_secret_nothing_is_let_in(case: Case) -> None:
    """Neither a missing secret nor an empty one, with which any client could sign."""
    scheme = make_scheme(case.scheme, case.options)
    incoming = RawRequest("POST", case.url, case.headers, case.body)
    for secrets in ([], [""], ["", ""]):
        with pytest.raises(Unverified):
            scheme.verify(incoming, secrets, case.now_s)


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_a_missing_header_is_refused(case: Case) -> None:
    """Whichever it is, absent or empty."""
    for name in case.headers:
        if name == "Content-Type":
            continue
        rest = {other: value for other, value in case.headers.items() if other != name}
        assert not replace(case, headers=rest).is_let_in()
        assert not replace(case, headers={**rest, name: ""}).is_let_in()


def _says_the_same(left: bytes, right: bytes) -> bool:
    """Return whether two credentials differ only in their scheme's name, the user, or base64's unused bits."""
    tokens = [text[6:].strip() for text in (left, right)]
    if left[:6].lower() != b"basic ":
        return tokens[0] == tokens[1]
    try:
        passwords = [base64.b64decode(token, validate=True).partition(b":")[2] for token in tokens]
    except ValueError:
        return False
    return passwords[0] == passwords[1]


@pytest.mark.slow
@settings(deadline=None)
@given(st.sampled_from(CASES), st.data())
def test_a_flipped_bit_anywhere_is_refused(case: Case, data: st.DataObject) -> None:
    """In the body, or in any header that the scheme reads."""
    where = ["body"] if case.signs_bytes else []
    where += [name for name in case.headers if name != "Content-Type"]
    place = data.draw(st.sampled_from(where))
    text = case.body if place == "body" else case.headers[place].encode()
    at = data.draw(st.integers(0, len(text) * 8 - 1))
    flipped = bytearray(text)
    flipped[at // 8] ^= 1 << at % 8
    if place == "body":
        changed = replace(case, body=bytes(flipped))
    else:
        changed = replace(case, headers={**case.headers, place: flipped.decode("latin-1")})
    if place == "Authorization" and _says_the_same(text, bytes(flipped)):
        return

    assert not changed.is_let_in()


@settings(deadline=None)
@given(st.sampled_from([case for case in CASES if case.url != URL]), st.data())
def test_twilio_signs_every_field_and_the_address(case: Case, data: st.DataObject) -> None:
    """One more, one less, or one changed: refused."""
    junk = data.draw(st.sampled_from([b"&x=", b"&Digits=9", b"&From=a", b"&CallSid="]))
    assert not replace(case, body=case.body + junk).is_let_in()
    assert not replace(case, url=case.url.replace("example", "evil").replace("mycompany", "evil")).is_let_in()


@pytest.mark.parametrize("case", [case for case in CASES if case.now_s != NOW or "X-Time" in case.headers])
def test_what_is_older_than_five_minutes_is_refused(case: Case) -> None:
    """Both ways: a time in the future is no better. The tolerance is a setting."""
    for apart_s, is_in in ((300, True), (-300, True), (301, False), (-301, False)):
        assert replace(case, now_s=case.now_s + apart_s).is_let_in() is is_in
    wide = replace(case, now_s=case.now_s + 301, options={**case.options, "tolerance_s": "302"})
    assert wide.is_let_in()


@pytest.mark.parametrize("timestamp", ["", "abc", "-1", "1.5", " 1", "１２３", "1" * 13, "nan", "inf", "0x10"])
def test_an_invalid_timestamp_is_refused(timestamp: str) -> None:
    """Even when its text is signed rightly."""
    headers = {
        "X-Slack-Signature": "v0=" + mac("s", f"v0:{timestamp}:x".encode()).hex(),
        "X-Slack-Request-Timestamp": timestamp,
    }
    assert not Case("slack", "s", headers, b"x", 0).is_let_in()


def test_stripe_signs_with_several_secrets_at_once() -> None:
    """Any `v1` counts, `v0` never does, and there is one time."""
    good = mac("s", f"{NOW}.x".encode()).hex()
    for header, is_in in (
        (f"t={NOW},v1={'0' * 64},v1={good}", True),
        (f"t={NOW}, v1={good}", True),
        (f"t={NOW},v0={good}", False),
        (f"t={NOW},t={NOW},v1={good}", False),
        (f"v1={good}", False),
        ("nonsense", False),
        (f"t={NOW},v1=" + "0" * 64 + f",v1={'é' * 3}", False),
    ):
        assert Case("stripe", "s", {"Stripe-Signature": header}, b"x").is_let_in() is is_in


def test_standard_webhooks_takes_a_public_key() -> None:
    """`v1a` is ed25519; a list holds signatures of both kinds, and unknown versions are passed over."""
    key = Ed25519PrivateKey.generate()
    public = "whpk_" + b64(key.public_key().public_bytes_raw())
    signed = f"msg_1.{NOW}.".encode() + b"{}"
    good = "v1a," + b64(key.sign(signed))
    shared = "whsec_" + b64(b"k" * 24)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": f"v9,x v1,AAAA {good}"}
    case = Case("standard-webhooks", public, headers, b"{}")

    case.verify()
    case.verify(shared, public)
    assert not case.is_let_in(shared)
    assert not replace(case, body=b"{ }").is_let_in()
    assert not replace(case, headers={**headers, "webhook-signature": good.replace("v1a", "v1")}).is_let_in()
    for broken in ("v1a,", "v1a,AAAA", "v1a,%%%", "v1a", "", "v1a," + b64(b"x" * 64)):
        assert not replace(case, headers={**headers, "webhook-signature": broken}).is_let_in()
    for broken in ("whpk_", "whpk_AAAA", "whpk_%%%", "whsec_%%%"):
        assert not case.is_let_in(broken)
    both = f"{good} v1,{b64(mac(b'k' * 24, signed))}"
    replace(case, headers={**headers, "webhook-signature": both}).verify(shared)


@pytest.mark.parametrize(
    ("signed", "seen"),
    [
        ("https://mycompany.com/x?a=1", "https://mycompany.com:443/x?a=1"),
        ("https://mycompany.com:443/x?a=1", "https://mycompany.com/x?a=1"),
        ("https://mycompany.com:8443/x", "https://mycompany.com:8443/x"),
        ("https://mycompany.com/x", "https://mycompany.com:8443/x"),
        ("http://mycompany.com:80/", "http://mycompany.com/"),
        ("https://[::1]/x", "https://[::1]:443/x"),
    ],
)
def test_twilio_may_or_may_not_name_the_port(signed: str, seen: str) -> None:
    """It signs the address as configured; the server may see a port more or less."""
    headers = {**FORM, "X-Twilio-Signature": b64(mac("s", f"{signed}A1".encode(), "sha1"))}

    Case("twilio", "s", headers, b"A=1", url=seen).verify()


def test_behind_a_proxy_twilios_address_is_set() -> None:
    """What the proxy shows us is not what Twilio signed."""
    url = "https://hooks.example.com:8443/api?x=1"
    headers = {**FORM, "X-Twilio-Signature": b64(mac("s", f"{url}A1".encode(), "sha1"))}
    case = Case("twilio", "s", headers, b"A=1", url="http://10.0.0.7:8000/api?x=1")

    assert not case.is_let_in()
    replace(case, options={"public_url": "https://hooks.example.com:8443"}).verify()


def test_twilio_signs_json_by_its_hash() -> None:
    """The published hash of the published body; without one a body that is no form is not signed by anything."""
    body = b'{"property": "value", "boolean": true}'
    url = f"{URL}&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
    case = Case("twilio", "s", {"X-Twilio-Signature": b64(mac("s", url.encode(), "sha1"))}, body, url=url)

    case.verify()
    assert not replace(case, body=body + b" ").is_let_in()
    assert not replace(case, headers={**case.headers, **FORM}, body=b"&&").is_let_in()
    bare = Case("twilio", "s", {"X-Twilio-Signature": b64(mac("s", URL.encode(), "sha1"))}, b"{}")
    assert not bare.is_let_in()
    replace(bare, body=b"").verify()


def test_basic_may_insist_on_a_name() -> None:
    """Where it does, both must be right."""
    headers = {"Authorization": f"basic {b64(b'threatstack:key')}"}

    Case("basic", "key", headers, b"", options={"username": "threatstack"}).verify()
    assert not Case("basic", "key", headers, b"", options={"username": "another"}).is_let_in()
    for broken in ("Basic", "Basic %%%", f"Basic {b64(b'key')}", "Bearer key", f"Basic {b64(b'u:')}"):
        assert not Case("basic", "key", {"Authorization": broken}, b"").is_let_in()


def test_none_lets_everything_in() -> None:
    """That is what it is called; only `local` and `test` take it."""
    Case("none", "", {}, b"x").verify("")


def test_a_refusal_says_why_to_the_log_only() -> None:
    """It is an error of the tree, survives pickling, and holds neither secret nor signature."""
    with pytest.raises(Refused) as caught:
        replace(VECTORS[0], body=b"other").verify()

    assert "secret" in caught.value.why
    assert VECTORS[0].secret not in str(caught.value)
    assert "757107" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301


def test_every_fault_of_a_source_is_reported_at_once() -> None:
    """Not one per start."""
    with pytest.raises(ConfigurationError) as caught:
        make_scheme(
            "hmac", {"algorithm": "md5", "encoding": "octal", "tolerance_s": "0", "hedaer": "X", "template": "{x}"}
        )

    assert [fault.pointer for fault in caught.value.faults] == [
        *("hedaer", "algorithm", "encoding", "tolerance_s", "header", "template", "template"),
    ]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gihtub", {}),
        ("", {}),
        ("github", {"tolerance_s": "10"}),
        ("slack", {"tolerance_s": "inf"}),
        ("slack", {"tolerance_s": "soon"}),
        ("twilio", {"public_url": "hooks.example.com"}),
        ("twilio", {"public_url": "https://hooks.example.com/?a=1"}),
        ("bearer", {"header": "X Token"}),
        ("hmac", {"header": "X-Signature", "template": "{timestamp}.{body}"}),
        ("hmac", {"header": "X-Signature", "timestamp_header": "X-Time"}),
        ("hmac", {"header": "X-Signature", "timestamp_header": "X-Time", "template": "{timestamp}"}),
    ],
)
def test_a_source_that_would_prove_nothing_stops_the_start(name: str, options: Mapping[str, str]) -> None:
    """An unknown scheme or option is not ignored, and what is not signed is not trusted."""
    with pytest.raises(ConfigurationError) as caught:
        make_scheme(name, options)
    assert caught.value.faults


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.sampled_from(["github", "stripe", "slack", "standard-webhooks", "twilio", "messagebird", "bearer", "basic"]),
    st.text(max_size=60),
    st.text(max_size=40),
    st.binary(max_size=40),
)
def test_nonsense_is_refused_and_nothing_worse(scheme: str, value: str, url: str, body: bytes) -> None:
    """With any headers and address."""
    names = ["X-Hub-Signature-256", "Stripe-Signature", "X-Slack-Signature", "X-Slack-Request-Timestamp", "webhook-id"]
    names += ["webhook-timestamp", "webhook-signature", "X-Twilio-Signature", "MessageBird-Signature", "Authorization"]
    headers = {**dict.fromkeys(names, value), "MessageBird-Request-Timestamp": str(NOW), **FORM}

    assert not Case(scheme, "a secret that no text above holds", headers, body, url=url).is_let_in()
