"""Tokens of JWT: whose key signed them, for whom, when, and over which body."""

import hashlib
import hmac
from typing import Any

import jwt
import jwt.algorithms
import jwt.utils
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from carboy.api import RawRequest
from carboy.errors import Unreachable
from carboy.webhooks import Unverified
from carboy.webhooks.jwt import JsonWebToken, KeySet

NOW_S = 1_700_000_000
KEYS = {name: rsa.generate_private_key(65537, 2048) for name in ("first", "second")}
CLAIMS: dict[str, Any] = {"iss": "https://issuer.example", "aud": "https://us.example", "iat": NOW_S, "exp": NOW_S + 60}


class Issuer:
    """Lists public keys at its address, or does not answer."""

    def __init__(self, *listed: str) -> None:
        self.listed, self.calls, self.is_away = list(listed), 0, False

    def __call__(self, _: str) -> bytes:
        self.calls += 1
        if self.is_away:
            raise Unreachable("the keys could not be fetched", "no answer", "")
        keys = [jwt.algorithms.RSAAlgorithm.to_jwk(KEYS[name].public_key(), as_dict=True) for name in self.listed]
        return orjson.dumps({"keys": [{**key, "kid": name} for key, name in zip(keys, self.listed, strict=True)]})


def scheme_of(issuer: Issuer) -> JsonWebToken:
    url = "https://issuer.example/keys"
    return JsonWebToken(jwks_url=url, issuer=CLAIMS["iss"], audience=CLAIMS["aud"], keys=KeySet(url, issuer))


def request_with(key: str = "first", body: bytes = b"{}", **claims: Any) -> RawRequest:
    claimed = orjson.dumps({**CLAIMS, **claims})  # jwt.encode refuses what a sender may still claim
    token = jwt.api_jws.encode(claimed, KEYS[key], "RS256", headers={"kid": key})
    return RawRequest("POST", "http://h/", {"Authorization": f"Bearer {token}"}, body)


def test_keys_are_fetched_once_and_followed_when_they_roll() -> None:
    """An unknown key id has the keys fetched again, at most every 30 seconds."""
    issuer = Issuer("first")
    scheme = scheme_of(issuer)
    for _ in range(3):
        scheme.verify(request_with(), (), NOW_S)
    assert issuer.calls == 1

    issuer.listed = ["second"]
    for _ in range(3):
        with pytest.raises(Unverified):
            scheme.verify(request_with("second"), (), NOW_S + 1)
    assert issuer.calls == 1
    scheme.verify(request_with("second"), (), NOW_S + 31)
    with pytest.raises(Unverified):
        scheme.verify(request_with("first"), (), NOW_S + 32)


def test_the_last_good_keys_serve_while_the_issuer_is_unavailable() -> None:
    issuer = Issuer("first")
    scheme = scheme_of(issuer)
    scheme.verify(request_with(), (), NOW_S)
    issuer.is_away = True

    scheme.verify(request_with(iat=NOW_S + 7200, exp=NOW_S + 7300), (), NOW_S + 7200)

    fresh = scheme_of(issuer)
    for _ in range(2):
        with pytest.raises(Unreachable):
            fresh.verify(request_with(), (), NOW_S)
    assert issuer.calls == 3


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.example"},
        {"iss": "https://other.example"},
        {"iss": ["https://issuer.example"]},
        {"exp": NOW_S - 301},
        {"exp": "never"},
        {"nbf": NOW_S + 301},
        {"iat": NOW_S + 301},
    ],
)
def test_a_token_for_another_or_another_time_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(Unverified):
        scheme_of(Issuer("first")).verify(request_with(**claims), (), NOW_S)


def test_a_public_key_is_never_a_shared_secret() -> None:
    """The algorithm of a token cannot turn a public key into the key of an HMAC; `none` is refused."""
    public = KEYS["first"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    scheme = JsonWebToken(body_claim="sha256")
    claims = {**CLAIMS, "sha256": hashlib.sha256(b"{}").hexdigest()}
    head = jwt.utils.base64url_encode(b'{"alg":"HS256"}') + b"." + jwt.utils.base64url_encode(orjson.dumps(claims))

    forged = head + b"." + jwt.utils.base64url_encode(hmac.digest(public.encode(), head, "sha256"))
    unsigned = jwt.encode(claims, "", "none")

    for token in (forged.decode(), unsigned, "", "a.b", "a.b.c"):
        with pytest.raises(Unverified):
            scheme.verify(RawRequest("POST", "http://h/", {"Authorization": token}, b"{}"), [public], NOW_S)
    good = jwt.encode(claims, KEYS["first"], "RS256")
    scheme.verify(RawRequest("POST", "http://h/", {"Authorization": good}, b"{}"), [public], NOW_S)
