"""Find API keys through a short-lived cache of their rows."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import ConfigurationError
from carboy.logs import BoundLogger, get_logger
from carboy.web.auth.api_keys import Key, hash_key, matches, parse_key_id

if TYPE_CHECKING:
    from carboy.web.auth.key_store import KeyStore

log: BoundLogger = get_logger(__name__)

_MINUTE_MS = 60_000
_CLOSE_S = 5.0


class KeyRing:
    """Cache of API keys.

    Args:
        store: the rows.
        cache_s: how long a row is cached: for so long a revoked key still works in this process.
        clock: the time.
        max_kept: the most keys in the cache, as ids come from clients.
    """

    def __init__(
        self, store: "KeyStore | NoKeys", cache_s: float, clock: Clock = SYSTEM_CLOCK, *, max_kept: int = 10_000
    ) -> None:
        self.store: Any = store
        self._cache_s, self._clock, self._max_kept = cache_s, clock, max_kept
        self._valid: dict[str, tuple[float, Key]] = {}  # by the hash of the key, without a look at its row
        self._rows: dict[str, tuple[float, tuple[Key, str] | None]] = {}
        self._lock = threading.Lock()
        self._noted: dict[str, int] = {}  # key id → the minute that was written or will be
        self._unwritten: dict[str, int] = {}
        self._is_writing = False
        self._writing: threading.Thread | None = None

    def __len__(self) -> int:
        """Return the number of cached rows."""
        return len(self._rows)

    def find(self, text: str) -> Key | None:
        """Return the key of a text; None when it is unknown, revoked or not a key.

        Raises:
            Unreachable: the database is unavailable.
        """
        digest = hash_key(text)
        valid = self._valid.get(digest)
        if valid is not None and self._clock.monotonic_s() - valid[0] <= self._cache_s:
            self._note(valid[1])
            return valid[1]
        key_id = parse_key_id(text)
        found = None if key_id is None else self._row(key_id)
        if key_id is None or found is None:
            return None
        key, kept_hash = found
        if not matches(text, kept_hash) or not self._is_valid(key):
            return None
        if len(self._valid) >= self._max_kept:
            self._valid.clear()
        cached = self._rows.get(key_id)  # another thread may have made room meanwhile
        if cached is not None:
            self._valid[digest] = cached[0], key  # as old as the row that it was read from
        self._note(key)
        return key

    def find_by_id(self, key_id: str) -> Key | None:
        """Return the valid key of an id; None when it is unknown, revoked or expired.

        Raises:
            Unreachable: the database is unavailable.
        """
        found = self._row(key_id)
        return found[0] if found is not None and self._is_valid(found[0]) else None

    def forget(self, key_id: str) -> None:
        """Remove a key from the cache after a change."""
        self._rows.pop(key_id, None)
        self._valid.clear()

    def _is_valid(self, key: Key) -> bool:
        return key.revoked_at is None and (key.expires_at is None or key.expires_at > self._clock.now_ms())

    def _row(self, key_id: str) -> tuple[Key, str] | None:
        now = self._clock.monotonic_s()
        cached = self._rows.get(key_id)
        if cached is not None and now - cached[0] <= self._cache_s:
            return cached[1]
        row: tuple[Key, str] | None = self.store.find(key_id)
        if len(self._rows) >= self._max_kept:
            self._rows.clear()
        self._rows[key_id] = (now, row)
        return row

    def _note(self, key: Key) -> None:
        """Record the minute of use in the background, at most once a minute."""
        minute = self._clock.now_ms() // _MINUTE_MS * _MINUTE_MS
        if self._noted.get(key.id) == minute:
            return
        with self._lock:
            if len(self._noted) >= self._max_kept:
                self._noted.clear()
            self._noted[key.id] = self._unwritten[key.id] = minute
            if self._is_writing:
                return
            self._is_writing = True
            self._writing = threading.Thread(target=self._write, name="carboy-keys", daemon=True)
            self._writing.start()

    def close(self) -> None:
        """Wait a moment for a write in progress, whose connection would be left open."""
        if self._writing is not None:
            self._writing.join(_CLOSE_S)

    def _write(self) -> None:
        while True:
            with self._lock:
                times, self._unwritten = self._unwritten, {}
                if not times:
                    self._is_writing = False
                    return
            try:
                self.store.note_used(times)
            except Exception as error:  # noqa: BLE001 (the next minute tries again)
                log.warning("key_use_not_kept", keys=len(times), error=type(error).__name__)


class NoKeys:
    """The key store of a service without a database, which authenticates callers by other schemes."""

    def find(self, key_id: str) -> None:
        """Return None."""

    def create(self, *_: Any) -> NoReturn:
        """Raise `ConfigurationError`: keys need a database."""
        raise ConfigurationError(
            "there are no API keys",
            "with JOBS_ENGINE `sqs` there is one only where it is configured",
            "set DATABASE_URL or DB_SECRET_NAME",
        )

    list: Callable[..., NoReturn] = create
    revoke: Callable[..., NoReturn] = create
