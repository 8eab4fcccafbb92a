"""State changes: what follows when the states of messages change, in the same transaction.

The daily counts move, and each change that a caller wants to know of becomes a job that calls back.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from carboy.db import chunks
from carboy.jobs import put
from carboy.services.sms.callbacks import callback_row
from carboy.services.sms.daily_counts import count_changes
from carboy.services.sms.tables import MESSAGES, REQUESTS

_MAX_PARAMETERS = 1000
_QUIET = frozenset({"queued", "sending"})
_COLUMNS = (
    MESSAGES.c.id,
    MESSAGES.c.request,
    MESSAGES.c.template,
    MESSAGES.c.provider,
    MESSAGES.c.country,
    MESSAGES.c.state,
    MESSAGES.c.segments,
    MESSAGES.c.reference,
    MESSAGES.c.sequence,
    MESSAGES.c.created_at,
    MESSAGES.c.sent_at,
    MESSAGES.c.settled_at,
)
_ROWS = select(*_COLUMNS).where(MESSAGES.c.id.in_(bindparam("b_ids", expanding=True))).order_by(MESSAGES.c.id)
_LOCKED = _ROWS.with_for_update()
_CALLBACKS = select(REQUESTS.c.id, REQUESTS.c.callback_url).where(
    REQUESTS.c.id.in_(bindparam("b_ids", expanding=True)), REQUESTS.c.callback_url.is_not(None)
)
_NUMBERED = update(MESSAGES).where(MESSAGES.c.id == bindparam("b_id")).values(sequence=bindparam("b_sequence"))


@contextmanager
def track_changes(connection: Connection, ids: Sequence[int], now_ms: int) -> Iterator[None]:
    """Count the changes that the block makes to these messages, and put the jobs of their call-backs.

    Args:
        connection: of the caller's transaction.
        ids: rows of messages; they are locked.
        now_ms: the time of the changes.
    """
    before = lock_messages(connection, ids)
    yield
    after = lock_messages(connection, ids)  # a locking read sees what this transaction and others have written
    count_changes(connection, before, after)
    changed = [row for row in after.values() if row.state != before[row.id].state and row.state not in _QUIET]
    if changed:
        _call_back(connection, changed, now_ms)


def lock_messages(connection: Connection, ids: Iterable[int]) -> dict[int, Row[Any]]:
    """Lock rows of messages in the order of their ids, and return them by id."""
    return _read(connection, _LOCKED, sorted(set(ids)))


def _call_back(connection: Connection, changed: Sequence[Row[Any]], now_ms: int) -> None:
    urls = _read(connection, _CALLBACKS, sorted({row.request for row in changed}))
    wanted = [row for row in changed if row.request in urls]
    if not wanted:
        return
    connection.execute(_NUMBERED, [{"b_id": row.id, "b_sequence": row.sequence + 1} for row in wanted])
    put(
        connection,
        [
            callback_row(
                row.request,
                {
                    "id": str(row.id),
                    "state": row.state,
                    "reference": row.reference,
                    "at": now_ms,
                    "sequence": row.sequence + 1,
                },
                now_ms,
            )
            for row in wanted
        ],
    )


def _read(connection: Connection, query: Any, ids: Sequence[int]) -> dict[int, Row[Any]]:
    return {
        row.id: row
        for some in chunks(ids, _MAX_PARAMETERS)
        if some
        for row in connection.execute(query, {"b_ids": list(some)})
    }
