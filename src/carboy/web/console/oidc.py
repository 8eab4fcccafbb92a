"""Log in through an OpenID Connect provider: the code flow with PKCE, state and nonce (Authlib).

Sources: OpenID Connect Core 1.0, section 3.1; RFC 7636; RFC 9207.
"""

import hmac
import secrets
from typing import Any
from urllib.parse import urlencode

import orjson
from flask import Blueprint, Response, current_app, redirect, request, url_for

from carboy.clock import SYSTEM_CLOCK
from carboy.errors import CarboyError
from carboy.extras import extra
from carboy.logs import BoundLogger, get_logger
from carboy.problems import Problem
from carboy.web.console.access import safe_next
from carboy.web.console.login import begin_session, is_secure
from carboy.web.console.roles import scopes_of
from carboy.web.console.sessions import csrf_of
from carboy.web.runtime import runtime

log: BoundLogger = get_logger("carboy.console")

_COOKIE = "carboy_oidc"
_LIFE_S = 600
_UNAVAILABLE = "the identity provider does not answer as it should"
_FRESH_S = 3600
_LEEWAY_S = 60
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"]


def add_routes(blueprint: Blueprint) -> None:
    """Add the addresses for the way to the identity provider and back."""
    blueprint.add_url_rule("/login/oidc", "go_to_oidc", _begin)
    blueprint.add_url_rule("/login/callback", "return_from_oidc", _end)


def _begin() -> Response:
    """Return the redirect to the provider; what the way back is checked with goes into a cookie.

    Raises:
        Problem: 404 where no provider is set, 503 where it does not answer.
    """
    web, target = runtime().web, safe_next(request.args.get("next"))
    if not web.console_oidc_issuer:
        raise Problem(404, "there is nothing at this address")
    with extra("console"):
        from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    query = {
        "response_type": "code",
        "client_id": web.console_oidc_client_id,
        "redirect_uri": _callback(),
        "scope": "openid profile email",
        "state": state,
        "nonce": nonce,
        "code_challenge": create_s256_code_challenge(verifier),
        "code_challenge_method": "S256",
    }
    where = _discover()["authorization_endpoint"]
    response: Any = redirect(f"{where}{'&' if '?' in where else '?'}{urlencode(query)}")
    kept = orjson.dumps([state, nonce, verifier, target]).hex()
    path = f"{request.script_root}/login"
    response.set_cookie(_COOKIE, kept, _LIFE_S, httponly=True, samesite="Lax", secure=is_secure(), path=path)
    return response  # type: ignore[no-any-return]


def _end() -> Response:
    """Exchange the code that the provider sent for an ID token, and open a session.

    Raises:
        Problem: 400 for a way back that does not belong to this browser, 403 for a person without a role.
    """
    try:
        state, nonce, verifier, target = orjson.loads(bytes.fromhex(request.cookies.get(_COOKIE, "")))
    except (ValueError, TypeError):
        raise Problem(400, "the login is too old, or began in another browser; begin again") from None
    if not hmac.compare_digest(csrf_of(state), csrf_of(request.args.get("state", ""))):
        raise Problem(400, "the login began in another browser; begin again")
    issuer = request.args.get("iss")
    if "code" not in request.args or (issuer is not None and issuer != runtime().web.console_oidc_issuer):
        log.warning("oidc_refused", error=request.args.get("error", "")[:100])
        raise Problem(403, "the identity provider refused the login")
    claims = _check_token(_exchange(request.args["code"], verifier), nonce)
    scopes = scopes_of(claims, runtime().web)
    name = str(claims.get("email") or claims.get("preferred_username") or claims["sub"])
    if not scopes:
        log.warning("oidc_without_role", subject=str(claims["sub"]), claim=runtime().web.console_oidc_claim)
        raise Problem(403, "CONSOLE_ROLES gives this person no scope")
    response = begin_session(name, target, scopes=tuple(scopes))
    response.delete_cookie(_COOKIE, path=f"{request.script_root}/login")
    return response


def _callback() -> str:
    return url_for("console.return_from_oidc", _external=True)


def _exchange(code: str, verifier: str) -> str:
    web = runtime().web
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": _callback(),
        "client_id": web.console_oidc_client_id,
        "code_verifier": verifier,
    }
    secret = web.console_oidc_client_secret
    auth = (web.console_oidc_client_id, secret.reveal()) if secret else None
    document = _fetch(_discover()["token_endpoint"], form, auth)
    token = document.get("id_token")
    if not isinstance(token, str):
        raise Problem(403, "the identity provider gave no ID token")
    return token


def _check_token(token: str, nonce: str) -> dict[str, Any]:
    """Return the claims of an ID token whose signature, issuer, audience, times and nonce are right.

    Raises:
        Problem: 403.
    """
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    web = runtime().web
    rules = jwt.JWTClaimsRegistry(
        now=runtime().clock.now_ms() // 1000,
        leeway=_LEEWAY_S,
        iss={"essential": True, "value": web.console_oidc_issuer},
        aud={"essential": True, "value": web.console_oidc_client_id},
        exp={"essential": True},
        nonce={"essential": True, "value": nonce},
        sub={"essential": True},
    )
    keys: Any = _fetch(_discover()["jwks_uri"])
    try:
        claims = jwt.decode(token, KeySet.import_key_set(keys), algorithms=_ALGORITHMS).claims
        rules.validate(claims)
    except (JoseError, ValueError, KeyError) as error:
        log.warning("oidc_token_refused", error=type(error).__name__)
        raise Problem(403, "the ID token of the identity provider is not valid") from error
    return dict(claims)


def _discover() -> dict[str, Any]:
    """Return the provider's metadata, read at most once an hour."""
    issuer = runtime().web.console_oidc_issuer
    kept: tuple[float, dict[str, Any]] | None = current_app.config.get("OIDC_METADATA")
    now_s = SYSTEM_CLOCK.monotonic_s()
    if kept is None or now_s - kept[0] > _FRESH_S:
        found = _fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != issuer:
            raise Problem(503, "the identity provider's metadata name another issuer than CONSOLE_OIDC_ISSUER")
        kept = current_app.config["OIDC_METADATA"] = now_s, found
    return kept[1]


def _fetch(url: str, form: dict[str, str] | None = None, auth: tuple[str, str] | None = None) -> dict[str, Any]:
    from carboy import net

    try:
        answer = net.request("POST" if form else "GET", url, data=form, auth=auth, timeout=10)
        answer.raise_for_status()
        document = orjson.loads(answer.content)
    except (CarboyError, OSError, ValueError) as error:
        log.warning("oidc_unavailable", url=url, error=type(error).__name__)
        raise Problem(503, _UNAVAILABLE, headers={"Retry-After": "5"}) from error
    if not isinstance(document, dict):
        raise Problem(503, _UNAVAILABLE)
    return document
