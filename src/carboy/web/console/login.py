"""Log in and out: by API key, by a one-time address, or through an identity provider."""

from typing import TYPE_CHECKING

from flask import Blueprint, Response, current_app, g, redirect, request

from carboy.config import Rate
from carboy.http_values import render_retry_after
from carboy.problems import Problem
from carboy.web.console.access import COOKIE, safe_next, sessions
from carboy.web.console.audit import record_as
from carboy.web.console.rendering import render_page, translate
from carboy.web.console.sessions import SESSION_MS
from carboy.web.http.client_address import bucket_of
from carboy.web.pages import mark
from carboy.web.runtime import Runtime, runtime

if TYPE_CHECKING:
    from carboy.web.http.rate_limits import RateLimiter

_FAILURES = Rate(10, 60.0)


def add_routes(blueprint: Blueprint) -> None:
    """Add the addresses for logging in and out."""
    blueprint.add_url_rule("/login", "enter", _enter, methods=["GET", "POST"])
    blueprint.add_url_rule("/login/<token>", "enter_once", _enter_once)
    blueprint.add_url_rule("/logout", "leave", _leave, methods=["POST"])


def is_secure() -> bool:
    """Return whether cookies are sent over TLS only: everywhere but on the profile `local`."""
    return runtime().settings.profile.name != "local"


def begin_session(name: str, target: str, *, key_id: str | None = None, scopes: tuple[str, ...] = ()) -> Response:
    """Open a session and return the redirect that carries its cookie."""
    token = sessions(runtime()).open(name, key_id=key_id, scopes=scopes)
    record_as(name, key_id, "login")
    response: Response = redirect(request.script_root + safe_next(target), 303)  # type: ignore[assignment]
    response.set_cookie(
        COOKIE, token, SESSION_MS // 1000, httponly=True, samesite="Lax", secure=is_secure(),
        path=request.script_root or "/",
    )  # fmt: skip
    return response


def _enter() -> Response:
    target = safe_next(request.values.get("next"))
    if request.method == "GET":
        if g.visitor is not None and request.args.get("next"):
            done: Response = redirect(request.script_root + target)  # type: ignore[assignment]
            return done
        return _form(target)
    current, caller = runtime(), bucket_of(request.remote_addr or "")
    limiter = _limiter(current)
    wait_s = limiter.peek(caller)
    key = None if wait_s else current.keys.find(request.form.get("key", "").strip())
    if key is not None:
        return begin_session(key.name, target, key_id=key.id)
    wait_s = wait_s or limiter.take(caller)
    if wait_s:
        raise Problem(
            429, "too many failed logins from this address", headers={"Retry-After": render_retry_after(wait_s)}
        )
    return _form(target, 401, translate(mark("This key is not known, or was revoked.")))


def _enter_once(token: str) -> Response:
    if request.method == "HEAD":  # of a program that previews links: the address stays good
        return Response()
    current, caller = runtime(), bucket_of(request.remote_addr or "")
    limiter = _limiter(current)
    found = None if limiter.peek(caller) else sessions(current).redeem(token)
    if found is None or found.key_id is None or current.keys.find_by_id(found.key_id) is None:
        if wait_s := limiter.take(caller):
            raise Problem(429, "too many failed logins", headers={"Retry-After": render_retry_after(wait_s)})
        return _form(
            safe_next(None), 401, translate(mark("This address was used, or is too old. Log in with an API key."))
        )
    return begin_session(found.name, request.args.get("next", ""), key_id=found.key_id)


def _leave() -> Response:
    if (token := request.cookies.get(COOKIE)) is not None:
        if g.visitor is not None:
            record_as(g.visitor.name, g.visitor.key_id, "logout")
        sessions(runtime()).close(token)
    response: Response = redirect(f"{request.script_root}/login", 303)  # type: ignore[assignment]
    response.delete_cookie(COOKIE, path=request.script_root or "/")
    return response


def _form(target: str, status: int = 200, error: str = "") -> Response:
    has_oidc = bool(runtime().web.console_oidc_issuer)
    return render_page("console/login.html", status, target=target, error=error, has_oidc=has_oidc)


def _limiter(current: Runtime) -> "RateLimiter":
    made: RateLimiter | None = current_app.config.get("LOGIN_LIMITER")
    if made is None:
        made = current_app.config["LOGIN_LIMITER"] = current.make_limiter("console-login", _FAILURES, 10_000)
    return made
