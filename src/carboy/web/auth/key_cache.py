"""Find API keys through a short-lived cache of their rows."""

import threading
from typing import TYPE_CHECKING, Any, NoReturn

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import ConfigurationError
from carboy.logs import BoundLogger, get_logger
from carboy.web.auth.api_keys import Key, hash_key, matches, parse_key_id

if TYPE_CHECKING:
    from carboy.web.auth.key_store import KeyStore

__all__ = ["KeyRing", "NoKeys"]

log: BoundLogger = get_logger(__name__)

_MINUTE_MS = 60_000
_CLOSE_S = 5.0


class KeyRing:
    """Looks keys up.

    Args:
        store: the rows.
        cache_s: how long what a row said is believed: for so long a revoked key still works here.
        clock: what time it is.
        max_kept: of how many keys it is believed: ids come from outside, so there is a bound.
    """

    def __init__(
        self, store: "KeyStore | NoKeys", cache_s: float, clock: Clock = SYSTEM_CLOCK, *, max_kept: int = 10_000
    ) -> None:
        self.store: Any = store
        self._cache_s, self._clock, self._max_kept = cache_s, clock, max_kept
        self._good: dict[str, tuple[float, Key]] = {}  # by the hash of the key: what was found good not long ago
        self._kept: dict[str, tuple[float, tuple[Key, str] | None]] = {}
        self._lock = threading.Lock()
        self._noted: dict[str, int] = {}  # key id → the minute that was written or will be
        self._unwritten: dict[str, int] = {}
        self._is_writing = False
        self._writing: threading.Thread | None = None

    def __len__(self) -> int:
        """Return of how many keys something is believed."""
        return len(self._kept)

    def find(self, text: str) -> Key | None:
        """Return the key that this is; None when it is unknown, revoked or no key at all.

        Raises:
            Unreachable: the database is unavailable.
        """
        digest = hash_key(text)
        good = self._good.get(digest)
        if good is not None and self._clock.monotonic_s() - good[0] <= self._cache_s:
            self._note(good[1])
            return good[1]
        key_id = parse_key_id(text)
        found = None if key_id is None else self._row(key_id)
        if key_id is None or found is None:
            return None
        key, kept_hash = found
        if not matches(text, kept_hash) or not self._is_good(key):
            return None
        if len(self._good) >= self._max_kept:
            self._good.clear()
        kept = self._kept.get(key_id)  # another thread may have made room meanwhile
        if kept is not None:
            self._good[digest] = kept[0], key  # as old as the row that it was read from
        self._note(key)
        return key

    def find_by_id(self, key_id: str) -> Key | None:
        """Return the key of an id while it is good; None when it is unknown, revoked or over.

        Raises:
            Unreachable: the database is unavailable.
        """
        found = self._row(key_id)
        return found[0] if found is not None and self._is_good(found[0]) else None

    def forget(self, key_id: str) -> None:
        """Read a key again the next time: it was changed just now."""
        self._kept.pop(key_id, None)
        self._good.clear()

    def _is_good(self, key: Key) -> bool:
        return key.revoked_at is None and (key.expires_at is None or key.expires_at > self._clock.now_ms())

    def _row(self, key_id: str) -> tuple[Key, str] | None:
        now = self._clock.monotonic_s()
        kept = self._kept.get(key_id)
        if kept is not None and now - kept[0] <= self._cache_s:
            return kept[1]
        row: tuple[Key, str] | None = self.store.find(key_id)
        if len(self._kept) >= self._max_kept:
            self._kept.clear()
        self._kept[key_id] = (now, row)
        return row

    def _note(self, key: Key) -> None:
        """Have the minute of use written in the background, at most once a minute; no caller waits for it."""
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
        """Wait a little for what is being written: its connection would be left open."""
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
            except Exception as error:  # noqa: BLE001 (the next minute tries again; a request must not care)
                log.warning("key_use_not_kept", keys=len(times), error=type(error).__name__)


class NoKeys:
    """Where there is no database there is no key: who sends webhooks proves it in another way."""

    def find(self, key_id: str) -> None:
        """Find nothing."""

    def create(self, *_: Any) -> NoReturn:
        """Raise `ConfigurationError`: there is no database to keep keys in."""
        raise _no_keys()

    def list(self, *_: Any) -> NoReturn:
        """Raise `ConfigurationError`: there is no database to keep keys in."""
        raise _no_keys()

    def revoke(self, *_: Any) -> NoReturn:
        """Raise `ConfigurationError`: there is no database to keep keys in."""
        raise _no_keys()


def _no_keys() -> ConfigurationError:
    return ConfigurationError(
        "there are no API keys",
        "they are rows, and with JOBS_ENGINE `sqs` there is a database only where it is named",
        "set DATABASE_URL or DB_SECRET_NAME",
    )
