"""Webhooks that are proven by a JSON Web Token, with a claim that holds the body's hash or a fixed audience.

Source: RFC 7515, RFC 7517, RFC 7519.
"""

import base64
import hashlib
import hmac
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from carboy.errors import Unreachable, UpstreamError
from carboy.extras import extra
from carboy.raw_request import RawRequest
from carboy.webhooks.certificates import fetch_url
from carboy.webhooks.verification import Unverified, check_secret, decode_base64, text_bytes

BODY_ENCODINGS: Mapping[str, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "base64": lambda digest: base64.b64encode(digest).decode(),
}
_SHARED = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_PUBLIC = ("RS256", "RS384", "RS512", "ES256", "ES384", "PS256", "EdDSA")
_TTL_S = 3600.0
_RETRY_S = 30.0


class KeySet:
    """The public keys at a JWKS address, by key id; for any number of threads.

    They are fetched again once an hour, and for an unknown key id at most every 30 seconds: senders roll their keys.
    Where they cannot be fetched, the last good ones stay in use.

    Args:
        url: of the JSON Web Key Set.
        fetch: gets what is at a URL; raises an `UpstreamError`.
    """

    def __init__(self, url: str, fetch: Callable[[str], bytes] = fetch_url) -> None:
        self._url, self._fetch = url, fetch
        self._keys: dict[str, Any] = {}
        self._fetched_at_s = self._tried_at_s = float("-inf")
        self._error: UpstreamError | None = None
        self._lock = threading.Lock()

    def find(self, key_id: str, now_s: float) -> Any:
        """Return the key of an id.

        Raises:
            Unverified: no key has that id.
            UpstreamError: no keys could be fetched so far.
        """
        if key_id not in self._keys or now_s - self._fetched_at_s >= _TTL_S:
            with self._lock:
                if now_s - self._tried_at_s >= _RETRY_S:
                    self._tried_at_s = now_s
                    self._renew(now_s)
        if key_id in self._keys:
            return self._keys[key_id]
        if self._error is not None:
            raise self._error
        raise Unverified("the token is signed by a key that its issuer does not list")

    def _renew(self, now_s: float) -> None:
        try:
            found = orjson.loads(self._fetch(self._url))
            keys = {str(one.get("kid", "")): key for one in found["keys"] if (key := _public_key(one)) is not None}
        except UpstreamError as error:
            self._error = error
        except (ValueError, KeyError, TypeError, AttributeError):
            self._error = Unreachable(
                "the public keys could not be read", "it is no JSON Web Key Set", "try again later"
            )
        else:
            self._keys, self._error, self._fetched_at_s = keys, None, now_s


@dataclass(frozen=True, slots=True)
class JsonWebToken:
    """A token in a header, signed by a shared secret, by a public key, or by a key of a JWKS address.

    A text secret verifies HMAC only, a public key (PEM or JWK) its own algorithms only.

    Attributes:
        header: where the token stands, with or without `Bearer` before it.
        jwks_url: where public keys are fetched; empty where the secrets are the keys.
        issuer: the `iss` to insist on.
        audience: the `aud` to insist on.
        body_claim: the claim that holds the SHA-256 of the body.
        body_encoding: how it is written: hex or base64.
        tolerance_s: how far `exp`, `nbf` and, without `exp`, `iat` may be from now.
        keys: those of `jwks_url`.
    """

    header: str = "Authorization"
    jwks_url: str = ""
    issuer: str = ""
    audience: str = ""
    body_claim: str = ""
    body_encoding: str = "hex"
    tolerance_s: float = 300.0
    keys: KeySet | None = field(default=None, compare=False)

    def verify(self, request: RawRequest, secrets: Sequence[str], now_s: float) -> None:
        """Check the token's signature, its times, issuer and audience, and the body's hash in it."""
        token = request.headers.get(self.header.lower(), "")
        token = token[7:] if token[:7].lower() == "bearer " else token
        if not token:
            raise Unverified(f"the header {self.header} is absent", "missing")
        claims = self._claims(token.strip(), secrets, now_s)
        self._check_times(claims, now_s)
        if self.issuer and claims.get("iss") not in (self.issuer, self.issuer.removeprefix("https://")):
            raise Unverified("the token is of another issuer")
        given = claims.get("aud")
        if self.audience and self.audience not in (given if isinstance(given, list) else [given]):
            raise Unverified("the token is for another audience")
        if self.body_claim:
            digest = BODY_ENCODINGS[self.body_encoding](hashlib.sha256(request.body).digest())
            if not hmac.compare_digest(digest.encode(), text_bytes(str(claims.get(self.body_claim, "")))):
                raise Unverified("the body is not the one that the token names")

    def sign(self, body: bytes, secret: str, now_s: int) -> str:
        """Return a token that a shared secret signs by HMAC-SHA256, with what this scheme looks for."""
        digest = BODY_ENCODINGS[self.body_encoding](hashlib.sha256(body).digest())
        named = {"iss": self.issuer, "aud": self.audience, self.body_claim: digest}
        claims = {"iat": now_s, **{name: value for name, value in named.items() if name and value}}
        parts = (base64.urlsafe_b64encode(orjson.dumps(one)).rstrip(b"=") for one in ({"alg": "HS256"}, claims))
        signed = b".".join(parts)
        signature = base64.urlsafe_b64encode(hmac.digest(text_bytes(secret), signed, "sha256")).rstrip(b"=")
        return b".".join((signed, signature)).decode()

    def check_secret(self, secret: str) -> str:
        """Return what is wrong with a secret; empty where nothing is."""
        if not is_public_key(secret):
            return check_secret(secret, "text")
        return "" if _public_key(secret) is not None else "must be a public key as PEM or JWK, or a shared secret"

    def _claims(self, token: str, secrets: Sequence[str], now_s: float) -> dict[str, Any]:
        if self.keys is not None:
            header, _ = _read(token)
            if (claims := _opened(token, self.keys.find(str(header.get("kid", "")), now_s))) is not None:
                return claims
        for secret in secrets if self.keys is None else ():
            claims = _opened(token, _public_key(secret)) if is_public_key(secret) else _opened_by_hmac(token, secret)
            if claims is not None:
                return claims
        raise Unverified("no key of the source signed the token")

    def _check_times(self, claims: Mapping[str, Any], now_s: float) -> None:
        times = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
        if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in times.values()):
            raise Unverified("a time of the token cannot be read", "time")
        is_old = times.get("exp", now_s) + self.tolerance_s < now_s if "exp" in times else False
        if "exp" not in times and "iat" in times:
            is_old = times["iat"] + self.tolerance_s < now_s
        if is_old or max(times.get("nbf", now_s), times.get("iat", now_s)) - self.tolerance_s > now_s:
            raise Unverified("the token is not valid at this time", "time")


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of a token that nothing has proven yet."""
    parts = [decode_base64(part) for part in token.split(".")[:2]]
    try:
        header, claims = (orjson.loads(part) for part in parts)
    except ValueError as error:
        raise Unverified("the token cannot be read", "missing") from error
    if not (isinstance(header, dict) and isinstance(claims, dict)):
        raise Unverified("the token cannot be read", "missing")
    return header, claims


def _opened_by_hmac(token: str, secret: str) -> dict[str, Any] | None:
    """Return the claims of a token that a shared secret signed, however short that is; else None."""
    header, claims = _read(token)
    digest = _SHARED.get(str(header.get("alg")))
    signed, _, given = token.rpartition(".")
    if not secret or digest is None or "crit" in header:
        return None
    expected = hmac.digest(text_bytes(secret), text_bytes(signed), digest)
    return claims if hmac.compare_digest(expected, decode_base64(given)) else None


def _opened(token: str, key: Any) -> dict[str, Any] | None:
    """Return the claims of a token that the owner of a public key signed; else None."""
    with extra("archive"):
        import jwt

    options: Any = {f"verify_{one}": False for one in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
    try:
        return jwt.decode(token, key, algorithms=_PUBLIC, options=options)
    except (jwt.PyJWTError, TypeError, ValueError):
        return None


def is_public_key(secret: str) -> bool:
    """Return whether a secret is written as a public key is: PEM or JWK."""
    return secret.lstrip().startswith(("-----BEGIN", "{"))


def _public_key(text: Any) -> Any:
    """Return the public key in a PEM text or in a JWK; None without one."""
    with extra("archive"):
        import jwt
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        if isinstance(text, str) and "-----BEGIN" in text:
            return load_pem_public_key(text.encode())
        key = jwt.PyJWK.from_dict(orjson.loads(text) if isinstance(text, str) else text)
    except (ValueError, jwt.PyJWTError, KeyError, TypeError):
        return None
    return None if isinstance(key.key, bytes) or hasattr(key.key, "private_bytes") else key.key
