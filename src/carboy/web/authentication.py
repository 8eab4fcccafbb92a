"""Who is calling, and may they: for plain views and for `carboy.api`."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from carboy.problems import Problem
from carboy.web.auth.api_keys import Key
from carboy.web.http.problem_responses import too_many
from carboy.web.runtime import Runtime, runtime

if TYPE_CHECKING:
    from flask import Request

__all__ = ["authenticate", "basic_info", "bearer_info", "current_key", "require"]

A = ParamSpec("A")
R = TypeVar("R")

_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_CHALLENGES = {"WWW-Authenticate": 'Bearer, Basic realm="api", charset="UTF-8"'}


def require(*scopes: str, basic: bool = False) -> Callable[[Callable[A, R]], Callable[A, R]]:
    """Let only callers into a view whose key has all of these scopes.

    The view is answered 401 without a key that is known, 403 without a scope, 429 when the key asks too often.

    Args:
        scopes: what the key must be good for; none of them means any key.
        basic: whether the key may come as the password of HTTP basic, for senders that know nothing else.
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
    """Return the key that let the current request in; None where none was asked for."""
    from flask import g

    key: Key | None = g.get("carboy_key")
    return key


def bearer_info(token: str, required_scopes: Sequence[str] = ()) -> dict[str, Any] | None:
    """Return what is known of a bearer, as `carboy.api` asks for it; None when the key is unknown.

    The scopes that it has are told, and judged by who asks. Where `AUTH` is off, anyone has what is required.

    Raises:
        Problem: 429, the key asks too often.
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
    """Return what is known of a caller by HTTP basic: the password is the key, the name is anything."""
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
