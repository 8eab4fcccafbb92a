"""Who is at the console, and what that visitor may see and do."""

import hmac
import secrets
from urllib.parse import urlsplit

from flask import Request, current_app, g, request

from carboy.problems import Problem
from carboy.web.console.sessions import SessionStore, csrf_of
from carboy.web.console.visitors import Visitor
from carboy.web.runtime import Runtime, runtime

COOKIE = "carboy_session"
ANCHOR = "carboy_form"


def sessions(current: Runtime) -> SessionStore:
    """Return the sessions of the application's database."""
    return SessionStore(current.engine, current.writer, current.clock)


def find_visitor(given: Request) -> Visitor | None:
    """Return who sent a request, by session cookie, API key or the load balancer's proof; None for a stranger."""
    current = runtime()
    if not current.web.auth:
        return Visitor("local", None)
    if current.web.console_alb:
        from carboy.web.console.load_balancer import visitor_of_alb

        if (found := visitor_of_alb(current, given)) is not None:
            return found
    header = given.headers.get("Authorization", "")
    if header[:7].lower() == "bearer ":
        key = current.keys.find(header[7:].strip())
        return None if key is None else Visitor(key.name, frozenset(key.scopes), key.id, sends_key=True)
    token = given.cookies.get(COOKIE, "")
    session = sessions(current).find(token) if token and current.has_database else None
    if session is None:
        return None
    if session.key_id is None:
        return Visitor(session.name, frozenset(session.scopes))
    key = current.keys.find_by_id(session.key_id)
    return None if key is None else Visitor(session.name, frozenset(key.scopes), session.key_id)


def visitor() -> Visitor:
    """Return the visitor of the current request."""
    found: Visitor = g.visitor
    return found


def has_scope(scope: str) -> bool:
    """Return whether the current visitor has a scope; a button without its scope is left out."""
    found: Visitor | None = g.get("visitor")
    return found is not None and found.may(scope)


def require_scope(scope: str) -> None:
    """Refuse a visitor who lacks a scope.

    Raises:
        Problem: 403.
    """
    if not visitor().may(scope):
        raise Problem(403, f"this needs the scope {scope}")


def csrf_token() -> str:
    """Return the token that the forms of this visitor carry."""
    return csrf_of(_anchor())


def check_csrf() -> None:
    """Refuse a form without the token of its visitor.

    A request with an API key in its header needs none: a browser does not send that by itself, as it does a password
    that a proxy asked for.

    Raises:
        Problem: 400.
    """
    found: Visitor | None = g.get("visitor")
    if found is not None and found.sends_key:
        return
    anchor = request.cookies.get(COOKIE) or request.cookies.get(ANCHOR)
    given = request.form.get("csrf_token", "")
    is_ours = anchor is not None and hmac.compare_digest(given.encode(), csrf_of(anchor).encode())
    if not is_ours or request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        raise Problem(400, "the form is too old, or was not made here; load the page again and repeat")


def safe_next(text: str | None) -> str:
    """Return a path of this host to go to after the login; the overview for everything else."""
    home: str = current_app.config["HOME"]
    if not text or not text.startswith("/") or text.startswith("//"):
        return home
    if any(ord(one) < 33 or one == "\\" for one in text) or urlsplit(text).netloc:
        return home
    return text


def is_html(given: Request) -> bool:
    """Return whether a client asks for HTML in so many words, as browsers do."""
    accept = given.headers.get("Accept", "").lower()
    if "text/html" not in accept and "application/xhtml+xml" not in accept:
        return False
    best = given.accept_mimetypes
    return bool(best["text/html"] >= best["application/json"])


def _anchor() -> str:
    token = request.cookies.get(COOKIE) or request.cookies.get(ANCHOR) or g.get("new_anchor")
    if not token:
        token = g.new_anchor = secrets.token_urlsafe(24)
    return str(token)
