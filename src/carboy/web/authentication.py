"""Authenticate and authorize callers by API key: for plain views and for `carboy.api`."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from carboy.problems import Problem
from carboy.web.auth.api_keys import Key
from carboy.web.http.problem_responses import too_many
from carboy.web.runtime import Runtime, runtime

if TYPE_CHECKING:
    from flask import Request

A = ParamSpec("A")
R = TypeVar("R")

_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_CHALLENGES = {"WWW-Authenticate": 'Bearer, Basic realm="api", charset="UTF-8"'}


def require(*scopes: str, basic: bool = False) -> Callable[[Callable[A, R]], Callable[A, R]]:
    """Require an API key with all of these scopes for a view.

    The response is 401 without a valid key, 403 without a scope, 429 over the rate limit.

    Args:
        scopes: those that the key must have; without any, every key is accepted.
        basic: whether the key may be the password of HTTP basic, for senders that cannot send a bearer.
    """

    def wrap(view: Callable[A, R]) -> Callable[A, R]:
        @functools.wraps(view)
        def guarded(*args: A.args, **kwargs: A.kwargs) -> R:
            authenticate(*scopes, basic=basic)
            return view(*args, **kwargs)

        return guarded

    return wrap


def authenticate(*scopes: str, basic: bool = False) -> Key | None:
    """Return the key of the current request; None where `AUTH` is off.

    Raises:
        Problem: 401, 403 or 429, as `require` says.
    """
    from flask import g, request

    current = runtime()
    if not current.web.auth:
        return None
    text = _credentials(request, basic=basic)
    if text is None:
        raise Problem(401, "a key is needed", headers=_CHALLENGES if basic else _CHALLENGE)
    key = _find(current, text)
    if key is None:
        headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        raise Problem(401, "the key is not known", headers=headers)
    if not set(scopes) <= set(key.scopes):
        needed = " ".join(scopes)
        headers = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'}
        raise Problem(403, f"the key lacks the scope {needed}", headers=headers)
    g.carboy_key = key
    return key


def current_key() -> Key | None:
    """Return the key that authenticated the current request; None without authentication."""
    from flask import g

    key: Key | None = g.get("carboy_key")
    return key


def bearer_info(token: str, required_scopes: Sequence[str] = ()) -> dict[str, Any] | None:
    """Return the caller of a bearer token for `carboy.api`; None when the key is unknown.

    The result lists the key's scopes; the API checks them. Where `AUTH` is off, every caller has the required scopes.

    Raises:
        Problem: 429, the key is over the rate limit.
    """
    from flask import g

    current = runtime()
    if not current.web.auth:
        return {"sub": "", "scope": " ".join(required_scopes)}
    key = _find(current, token)
    if key is None:
        return None
    g.carboy_key = key
    return {"sub": key.id, "name": key.name, "scope": " ".join(key.scopes)}


def basic_info(username: str, password: str, required_scopes: Sequence[str] = ()) -> dict[str, Any] | None:
    """Return the caller of HTTP basic, whose password is the key; the user name is ignored."""
    return bearer_info(password, required_scopes)


def _find(runtime: Runtime, text: str) -> Key | None:
    key = runtime.keys.find(text)
    if key is not None and runtime.limiter is not None:
        wait_s = runtime.limiter.take(f"key:{key.id}")
        if wait_s:
            raise too_many(wait_s)
    return key


def _credentials(request: "Request", *, basic: bool) -> str | None:
    header: str = request.environ.get("HTTP_AUTHORIZATION", "")
    kind, _, text = header.strip().partition(" ")
    kind = kind.lower()
    if kind == "bearer" and text.strip():
        return text.strip()
    if basic and kind == "basic" and request.authorization is not None:
        return request.authorization.password or None
    return None
