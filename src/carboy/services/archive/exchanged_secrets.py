"""Secrets that a sender brings itself (Asana): kept in the database, encrypted under a key from `SECRET_KEY`."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from carboy.logs import BoundLogger, get_logger
from carboy.redact import register_secret

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from carboy.web import Runtime

log: BoundLogger = get_logger("carboy.archive")

_INFO = b"carboy: exchanged secrets of webhook sources"


class ExchangedSecrets:
    """The secrets that sources got in an exchange."""

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime, self._clock = runtime, runtime.clock
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}

    def of(self, source: str, max_age_s: float = 5.0) -> tuple[str, ...]:
        """Return the secret of a source, read from the database this many seconds ago at most; empty without one."""
        now_s = self._clock.monotonic_s()
        read_at_s, found = self._known.get(source, (float("-inf"), ()))
        if now_s - read_at_s >= max_age_s or not found:
            found = self._read(source)
            self._known[source] = now_s, found
        return found

    def keep(self, source: str, secret: str) -> None:
        """Keep the secret of a source in the place of an earlier one.

        Raises:
            Unreachable: it could not be made durable.
        """
        register_secret(secret)
        nonce = os.urandom(12)
        sealed = nonce + self._cipher().encrypt(nonce, secret.encode(), source.encode())
        self._runtime.writer.run(_replace, (source, sealed, self._clock.now_ms()))
        self._known[source] = self._clock.monotonic_s(), (secret,)

    def _read(self, source: str) -> tuple[str, ...]:
        from cryptography.exceptions import InvalidTag
        from sqlalchemy import select

        from carboy.services.archive.tables import EXCHANGED

        with self._runtime.engine.connect() as connection:
            sealed = connection.execute(select(EXCHANGED.c.sealed).where(EXCHANGED.c.source == source)).scalar()
        if sealed is None:
            return ()
        try:
            secret = self._cipher().decrypt(bytes(sealed[:12]), bytes(sealed[12:]), source.encode()).decode()
        except InvalidTag:
            hint = "SECRET_KEY was changed: set up the webhook again"
            log.warning("exchanged_secret_unreadable", source=source, hint=hint)
            return ()
        register_secret(secret)
        return (secret,)

    def _cipher(self) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        key = self._runtime.app.config["SECRET_KEY"]
        data = key if isinstance(key, bytes) else str(key).encode()
        return AESGCM(HKDF(SHA256(), 32, None, _INFO).derive(data))


def _replace(connection: "Connection", changes: Sequence[tuple[str, bytes, int]]) -> list[None]:
    from sqlalchemy import delete, insert

    from carboy.services.archive.tables import EXCHANGED

    for source, sealed, at_ms in changes:
        connection.execute(delete(EXCHANGED).where(EXCHANGED.c.source == source))
        connection.execute(insert(EXCHANGED).values(source=source, sealed=sealed, at=at_ms))
    return [None] * len(changes)
