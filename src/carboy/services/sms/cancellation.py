"""Cancellation: end messages that no provider was asked for yet."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from carboy.services.sms.message_store import forget_params
from carboy.services.sms.state_changes import track_changes
from carboy.services.sms.states import WAITING
from carboy.services.sms.tables import MESSAGES

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Cancel:
    """A request to cancel.

    Attributes:
        row: of a request, or of one of its messages.
        now_ms: the time.
        retried: templates whose messages may be sent again later, so that their parameters are kept.
    """

    row: int
    now_ms: int
    retried: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Canceled:
    """What became of it.

    Attributes:
        request: its row.
        canceled: how many messages will not be sent.
        too_late: how many were sent, or ended in another way.
    """

    request: int
    canceled: int
    too_late: int


def cancel(connection: "Connection", requests: Sequence[Cancel]) -> list[Canceled | None]:
    """Cancel the messages that wait; None for a row that does not exist."""
    return [_cancel(connection, one) for one in requests]


def _cancel(connection: "Connection", one: Cancel) -> Canceled | None:
    columns = select(MESSAGES.c.id, MESSAGES.c.request, MESSAGES.c.state, MESSAGES.c.template).order_by(MESSAGES.c.id)
    locked = columns.with_for_update()
    rows = connection.execute(locked.where(MESSAGES.c.request == one.row)).all()
    if not rows:
        rows = connection.execute(locked.where(MESSAGES.c.id == one.row)).all()
    if not rows:
        return None
    waiting = [row.id for row in rows if row.state in WAITING]
    canceled = len(waiting) + sum(row.state == "canceled" for row in rows)
    if waiting:
        with track_changes(connection, waiting, one.now_ms):
            ended = update(MESSAGES).where(MESSAGES.c.id.in_(waiting))
            connection.execute(ended.values(state="canceled", settled_at=one.now_ms))
        if rows[0].template not in one.retried:
            forget_params(connection, {rows[0].request})
    return Canceled(rows[0].request, canceled, len(rows) - canceled)
