"""Refused requests: counted by source and reason, the newest of them kept as facts."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from carboy.api import RawRequest
from carboy.config import Rate
from carboy.errors import UpstreamError
from carboy.logs import request_id
from carboy.problems import Problem
from carboy.webhooks import Unverified

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from carboy.services.archive.sources import WebhookSource
    from carboy.web import Runtime

KEPT = 1000
"""How many refused requests are kept."""
REASONS = (
    *("signature", "missing", "time", "token", "address", "handshake", "topic"),
    *("credentials", "unknown_source", "too_large", "encoding", "too_often", "body"),
)
_MAX_BODY_BYTES = 65_536
_WRITES = Rate(20, 1.0)  # forgeries write no more than that into the database
_BY_STATUS = {401: "credentials", 404: "unknown_source", 413: "too_large", 415: "encoding", 429: "too_often"}


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that was refused.

    Attributes:
        id: grows with time.
        at_ms: when, milliseconds since the epoch.
        source: as the path has it; it may be unknown.
        reason: one of `REASONS`.
        detail: what was wrong, for the operator.
        status: of the response.
        address: the client's.
        size: of the body, bytes as they came.
        request_id: of its lines in the log.
        headers: where the source has `keep_refused`; else none.
        body: likewise, at most 64 KiB of it; else None.
    """

    id: int
    at_ms: int
    source: str
    reason: str
    detail: str
    status: int
    address: str
    size: int
    request_id: str
    headers: Mapping[str, str]
    body: bytes | None


class RefusedRequests:
    """Keeps the facts of refused requests, and reads them back.

    Without a database nothing is kept.
    """

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime
        self._limiter = runtime.make_limiter("refused", _WRITES) if runtime.has_database else None

    def add(self, name: str, source: "WebhookSource | None", request: RawRequest, error: Problem) -> None:
        """Keep the facts of a refused request, unless there are too many or the database is unavailable."""
        if self._limiter is None or self._limiter.take("refused") > 0:
            return
        keeps = source is not None and source.config.keep_refused
        cause = error.__cause__
        row = {
            "at": self._runtime.clock.now_ms(),
            "source": name[:64],
            "reason": reason_of(error),
            "detail": (cause.why if isinstance(cause, Unverified) else error.detail)[:255],
            "status": error.status,
            "address": request.client[:64],
            "size": len(request.body),
            "request_id": request_id()[:128],
            "headers": orjson.dumps(source.kept_headers(request)) if keeps and source is not None else None,
            "body": request.body[:_MAX_BODY_BYTES] if keeps else None,
        }
        with suppress(UpstreamError):
            self._runtime.writer.run(_insert, row)

    def newest(self, source: str = "", limit: int = 100, before: int | None = None) -> list[Refused]:
        """Return the newest refused requests, newest first.

        Args:
            source: only of this source.
            limit: at most so many.
            before: only those before this id: the last of the page before.
        """
        from sqlalchemy import select

        from carboy.services.archive.tables import REFUSED

        if not self._runtime.has_database:
            return []
        query = select(REFUSED).order_by(REFUSED.c.id.desc()).limit(limit)
        if source:
            query = query.where(REFUSED.c.source == source)
        if before is not None:
            query = query.where(REFUSED.c.id < before)
        with self._runtime.engine.connect() as connection:
            return [_refused(row) for row in connection.execute(query)]

    def erase(self, ids: Sequence[int], audit: Sequence[dict[str, Any]]) -> None:
        """Delete refused requests, with the rows of the audit log that say so, in one transaction."""
        self._runtime.writer.run(_erase, (ids, audit))


def reason_of(error: Problem) -> str:
    """Return the kind of a refusal, one of `REASONS`."""
    if isinstance(error.__cause__, Unverified):
        return error.__cause__.reason
    return _BY_STATUS.get(error.status, "body" if error.status in {400, 422} else "signature")


def _insert(connection: "Connection", rows: Sequence[Mapping[str, Any]]) -> list[None]:
    from sqlalchemy import delete, insert, select

    from carboy.jobs import new_id
    from carboy.services.archive.tables import REFUSED

    connection.execute(insert(REFUSED), [{"id": new_id(row["at"]), **row} for row in rows])
    oldest = select(REFUSED.c.id).order_by(REFUSED.c.id.desc()).offset(KEPT).limit(1)
    if (last := connection.execute(oldest).scalar()) is not None:
        connection.execute(delete(REFUSED).where(REFUSED.c.id <= last))
    return [None] * len(rows)


def _erase(connection: "Connection", requests: Sequence[tuple[Sequence[int], Sequence[dict[str, Any]]]]) -> list[None]:
    from sqlalchemy import delete

    from carboy.services.archive.tables import REFUSED
    from carboy.web import write_audit

    write_audit(connection, [audit for _, audit in requests])
    for ids, _ in requests:
        connection.execute(delete(REFUSED).where(REFUSED.c.id.in_(ids)))
    return [None] * len(requests)


def _refused(row: Any) -> Refused:
    found = row._mapping
    headers = orjson.loads(found["headers"]) if found["headers"] else {}
    names = ("id", "source", "reason", "detail", "status", "address", "size", "request_id", "body")
    return Refused(at_ms=found["at"], headers=headers, **{name: found[name] for name in names})
