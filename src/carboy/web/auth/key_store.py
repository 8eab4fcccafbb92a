"""The rows of the API keys."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import DBAPIError

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.db import GroupCommit
from carboy.errors import Fault, InvalidInput, Missing, Unreachable
from carboy.web.auth.api_keys import Key, check_scopes, hash_key, make_key
from carboy.web.tables import KEYS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_MAX_NAME_CHARS = 100


class KeyStore:
    """The API keys of a database."""

    def __init__(self, engine: "Engine", writer: GroupCommit, clock: Clock = SYSTEM_CLOCK) -> None:
        self._engine, self._writer, self._clock = engine, writer, clock

    def create(self, name: str, scopes: Iterable[str], expires_at: int | None = None) -> tuple[Key, str]:
        """Make a key; return its row and the key itself, which is shown this once.

        Args:
            name: of the key.
            scopes: its rights.
            expires_at: milliseconds since the epoch; None for never.

        Raises:
            InvalidInput: the name is empty or longer than 100 characters, or a scope is not valid.
        """
        if not name.strip() or len(name) > _MAX_NAME_CHARS:
            fault = Fault("name", f"it has 1 to {_MAX_NAME_CHARS} characters")
            raise InvalidInput("the key cannot be made", "its name is not usable", "choose another name", [fault])
        key_id, text = make_key()
        key = Key(key_id, name, check_scopes(scopes), self._clock.now_ms(), expires_at=expires_at)
        row = {
            "id": key.id,
            "name": key.name,
            "scopes": " ".join(key.scopes),
            "hash": hash_key(text),
            "created_at": key.created_at,
            "expires_at": key.expires_at,
        }
        self._writer.run(_insert, row)
        return key, text

    def list(self) -> list[Key]:
        """Return every key, the oldest first, also those that were revoked."""
        with self._engine.connect() as connection:
            return [_key(row) for row in connection.execute(select(KEYS).order_by(KEYS.c.created_at, KEYS.c.id))]

    def revoke(self, key_id: str) -> Key:
        """Revoke a key; every process refuses it within `KEYS_CACHE_S`.

        Raises:
            Missing: no key has that id.
        """
        self._writer.run(_revoke, (key_id, self._clock.now_ms()))
        found = self.find(key_id)
        if found is None:
            raise Missing(f"key `{key_id}`", "there is no such key", "`carboy keys list` shows what there is")
        return found[0]

    def find(self, key_id: str) -> tuple[Key, str] | None:
        """Return a key and its hash; None for an unknown id.

        Raises:
            Unreachable: the database is unavailable.
            Missing: it has no table of keys.
        """
        try:
            with self._engine.connect() as connection:
                row = connection.execute(select(KEYS).where(KEYS.c.id == key_id)).one_or_none()
        except Missing:  # its tables
            raise
        except DBAPIError as error:
            raise Unreachable(
                "the keys cannot be read", str(error.orig or type(error).__name__), "see the database"
            ) from error
        return None if row is None else (_key(row), row.hash)

    def note_used(self, times: Mapping[str, int]) -> None:
        """Store the last use of keys by id; an older time than the stored one changes nothing."""
        self._writer.run(_note_used, times)


def _key(row: Any) -> Key:
    scopes = tuple(row.scopes.split())
    return Key(row.id, row.name, scopes, row.created_at, row.last_used_at, row.revoked_at, row.expires_at)


def _insert(connection: "Connection", rows: Sequence[Mapping[str, Any]]) -> list[None]:
    connection.execute(insert(KEYS), rows)
    return [None] * len(rows)


def _revoke(connection: "Connection", requests: Sequence[tuple[str, int]]) -> list[None]:
    for key_id, now_ms in requests:
        connection.execute(
            update(KEYS).where(KEYS.c.id == key_id, KEYS.c.revoked_at.is_(None)).values(revoked_at=now_ms)
        )
    return [None] * len(requests)


def _note_used(connection: "Connection", requests: Sequence[Mapping[str, int]]) -> list[None]:
    for key_id, at_ms in sorted(
        pair for times in requests for pair in times.items()
    ):  # one order of locks: no deadlock
        is_older = or_(KEYS.c.last_used_at.is_(None), KEYS.c.last_used_at < at_ms)
        connection.execute(update(KEYS).where(KEYS.c.id == key_id, is_older).values(last_used_at=at_ms))
    return [None] * len(requests)
