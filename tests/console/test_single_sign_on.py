"""People who log in through an identity provider, or were logged in by a load balancer."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Flask, request
from joserfc import jwt
from joserfc.jwk import RSAKey
from tests.console.kit import MakeApp, Person

from carboy.web.console.load_balancer import read_alb_claims

ARN = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/front/50dc6c495c0c9188"
KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _alb_token(key: ec.EllipticCurvePrivateKey = KEY, **changes: Any) -> str:
    """Return a token as the load balancer makes it: its base64 is padded."""
    header = {"alg": "ES256", "kid": "an-id", "signer": ARN, "typ": "JWT"} | changes
    claims = {"sub": "ann", "email": "ann@example.com", "groups": ["ops"], "exp": changes.get("exp", 2000)}
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).decode() for one in (header, claims)]
    signature = key.sign(".".join(parts).encode(), ec.ECDSA(SHA256()))
    raw = b"".join(one.to_bytes(32, "big") for one in decode_dss_signature(signature))
    return ".".join([*parts, base64.urlsafe_b64encode(raw).decode()])


def test_what_the_named_load_balancer_signed_is_believed() -> None:
    asked: list[tuple[str, str]] = []

    def fetch(region: str, key_id: str) -> str:
        asked.append((region, key_id))
        return PEM

    assert read_alb_claims(_alb_token(), ARN, 1990, fetch)["email"] == "ann@example.com"
    assert asked == [("eu-west-1", "an-id")]


@pytest.mark.parametrize(
    "token",
    [
        _alb_token(ec.generate_private_key(ec.SECP256R1())),
        _alb_token(signer=ARN.replace("front", "other")),
        _alb_token(alg="none"),
        _alb_token(alg="HS256"),
        _alb_token(kid="../../other"),
        _alb_token(exp=1000),
        _alb_token()[:-8] + "AAAAAA==",
        _alb_token().replace(".", "", 1),
        "a.b.c",
        "..",
    ],
    ids=["key", "signer", "none", "algorithm", "key id", "time", "signature", "parts", "text", "empty"],
)
def test_everything_else_is_not(token: str) -> None:
    """Another key, load balancer, algorithm or time, and what is no token."""
    with pytest.raises(ValueError):  # noqa: PT011 (each has its own words)
        read_alb_claims(token, ARN, 1990, lambda *_: PEM)


class _Provider:
    """A small OpenID Connect provider on loopback; what it says of a person can be changed."""

    def __init__(self) -> None:
        self.app = Flask("provider")
        self.key = RSAKey.generate_key(2048, {"kid": "k1"})
        self.claims: dict[str, Any] = {"sub": "ann", "email": "ann@example.com", "groups": ["support"]}
        self.sent: dict[str, str] = {}
        self.changes: dict[str, Any] = {}
        self.issuer = ""
        self.app.add_url_rule("/.well-known/openid-configuration", "metadata", self._metadata)
        self.app.add_url_rule("/keys", "keys", lambda: {"keys": [self.key.as_dict(private=False)]})
        self.app.add_url_rule("/token", "token", self._token, methods=["POST"])

    def _metadata(self) -> dict[str, str]:
        names = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
        return {"issuer": self.issuer} | {name: self.issuer + path for name, path in names.items()}

    def _token(self) -> dict[str, str]:
        self.sent = request.form.to_dict()
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "carboy", "iat": now, "exp": now + 300, **self.claims, **self.changes}
        return {"id_token": jwt.encode({"alg": "RS256", "kid": "k1"}, claims, self.key), "token_type": "Bearer"}


@pytest.fixture
def provider(serve: Callable[[Flask], str]) -> _Provider:
    made = _Provider()
    made.issuer = serve(made.app)
    return made


def _app(make_app: MakeApp, provider: _Provider) -> Flask:
    return make_app(
        console_oidc_issuer=provider.issuer,
        console_oidc_client_id="carboy",
        console_roles={"support": ("jobs:admin",), "admins": ("*",)},
    )


def _begin(person: Person, provider: _Provider, target: str = "/console/jobs") -> dict[str, str]:
    """Return what the provider is asked, and give its next token the nonce."""
    sent = person.get(f"/login/oidc?next={target}")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(sent.headers["Location"]).query).items()}
    provider.claims["nonce"] = asked["nonce"]
    return asked


@pytest.mark.slow
def test_a_person_logs_in_and_has_the_scopes_of_the_role(make_app: MakeApp, provider: _Provider) -> None:
    """By code flow with PKCE, state and nonce; then back to the page."""
    person = Person(_app(make_app, provider).test_client())

    asked = _begin(person, provider)
    done = person.get(f"/login/callback?code=c1&state={asked['state']}")

    assert (asked["code_challenge_method"], asked["response_type"]) == ("S256", "code")
    digest = base64.urlsafe_b64decode(asked["code_challenge"] + "=")
    assert len(digest) == 32
    assert provider.sent["code_verifier"]
    assert (done.status_code, done.headers["Location"]) == (303, "/console/jobs")
    page = person.get("/console/jobs")
    assert page.status_code == 200
    assert "ann@example.com" in page.text
    assert person.get("/console/keys").status_code == 403


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"nonce": "other"}, {"aud": "other"}, {"iss": "https://other.example"}, {"exp": 1000}, {"groups": ["nobody"]}],
)
def test_a_token_that_is_not_for_this_login_is_refused(
    make_app: MakeApp, provider: _Provider, changes: dict[str, Any]
) -> None:
    person = Person(_app(make_app, provider).test_client())
    asked = _begin(person, provider)
    provider.changes = changes

    assert person.get(f"/login/callback?code=c1&state={asked['state']}").status_code == 403
    assert person.get("/console/jobs").status_code == 302


@pytest.mark.slow
def test_a_login_that_began_elsewhere_is_refused(make_app: MakeApp, provider: _Provider) -> None:
    app = _app(make_app, provider)
    person, other = Person(app.test_client()), Person(app.test_client())
    asked = _begin(person, provider)

    assert other.get(f"/login/callback?code=c1&state={asked['state']}").status_code == 400
    assert person.get("/login/callback?code=c1&state=other").status_code == 400
    assert person.get("/login/callback?error=access_denied&state=" + asked["state"]).status_code == 403
