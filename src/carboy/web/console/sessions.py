"""Sessions of the console, kept in the database so that logout and revocation end them everywhere."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select

from carboy.clock import Clock
from carboy.db import GroupCommit
from carboy.web.tables import SESSIONS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

SESSION_MS = 12 * 3_600_000
LOGIN_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Session:
    """A session as it is kept.

    Attributes:
        name: whose, as it is shown and audited.
        key_id: the API key that opened it; None for a person who came through an identity provider.
        scopes: of such a person; those of a key are read from the key.
        expires_at: milliseconds since the epoch.
    """

    name: str
    key_id: str | None
    scopes: tuple[str, ...]
    expires_at: int


class SessionStore:
    """The sessions of a database; only hashes of cookies are kept."""

    def __init__(self, engine: "Engine", writer: GroupCommit, clock: Clock) -> None:
        self._engine, self._writer, self._clock = engine, writer, clock

    def open(self, name: str, *, key_id: str | None = None, scopes: Sequence[str] = ()) -> str:
        """Open a session of 12 hours and return the value of its cookie."""
        return self._insert("session", name, key_id, scopes, SESSION_MS)

    def make_login(self, name: str, key_id: str) -> str:
        """Return a token that opens one session for a key, within an hour."""
        return self._insert("login", name, key_id, (), LOGIN_MS)

    def find(self, token: str) -> Session | None:
        """Return the session of a cookie; None where it is unknown or over."""
        query = select(SESSIONS).where(SESSIONS.c.hash == _hash(token), SESSIONS.c.kind == "session")
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or row.expires_at <= self._clock.now_ms():
            return None
        return Session(row.name, row.key_id, tuple(row.scopes.split()), row.expires_at)

    def redeem(self, token: str) -> Session | None:
        """Use up a one-time login and return for whom; None where it is unknown, used or over."""
        found: Session | None = self._writer.run(_redeem, (_hash(token), self._clock.now_ms()))
        return found

    def close(self, token: str) -> None:
        """End a session."""
        self._writer.run(_close, _hash(token))

    def _insert(self, kind: str, name: str, key_id: str | None, scopes: Sequence[str], life_ms: int) -> str:
        token, now_ms = secrets.token_urlsafe(32), self._clock.now_ms()
        row = {
            "hash": _hash(token),
            "kind": kind,
            "name": name[:200],
            "key_id": key_id,
            "scopes": " ".join(scopes),
            "created_at": now_ms,
            "expires_at": now_ms + life_ms,
        }
        self._writer.run(_insert, row)
        return token


def make_login(runtime: Any, key_text: str) -> str:
    """Return the path that logs in once, for a key that is at hand; empty where the console is off.

    Args:
        runtime: of the application.
        key_text: the API key.
    """
    key = runtime.keys.find(key_text)
    if key is None or not runtime.web.console:
        return ""
    return f"/login/{SessionStore(runtime.engine, runtime.writer, runtime.clock).make_login(key.name, key.id)}"


def csrf_of(anchor: str) -> str:
    """Return the CSRF token that belongs to a cookie's value."""
    return hmac.new(anchor.encode(), b"carboy console form", hashlib.sha256).hexdigest()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _insert(connection: "Connection", rows: Sequence[Any]) -> list[None]:
    expired = SESSIONS.c.expires_at <= min(row["created_at"] for row in rows)
    connection.execute(delete(SESSIONS).where(expired))
    connection.execute(insert(SESSIONS), rows)
    return [None] * len(rows)


def _close(connection: "Connection", hashes: Sequence[str]) -> list[None]:
    connection.execute(delete(SESSIONS).where(SESSIONS.c.hash.in_(hashes)))
    return [None] * len(hashes)


def _redeem(connection: "Connection", requests: Sequence[tuple[str, int]]) -> list[Session | None]:
    found: list[Session | None] = []
    for digest, now_ms in requests:
        one = (SESSIONS.c.hash == digest) & (SESSIONS.c.kind == "login") & (SESSIONS.c.expires_at > now_ms)
        row = connection.execute(select(SESSIONS).where(one)).one_or_none()
        is_ours = row is not None and connection.execute(delete(SESSIONS).where(one)).rowcount == 1
        found.append(Session(row.name, row.key_id, (), row.expires_at) if row is not None and is_ours else None)
    return found
