"""Find the rows that a lost message would leave undone."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, or_, select, update

from carboy.jobs.engines import Ready
from carboy.jobs.tables import JOBS, in_state

__all__ = ["Search", "find_lost"]


@dataclass(frozen=True, slots=True)
class Search:
    """A wish for at most `count` rows that were due at `due_ms`; they are not found again before `until_ms`."""

    now_ms: int
    due_ms: int
    until_ms: int
    count: int


def find_lost(connection: Connection, wishes: Sequence[Search]) -> list[list[Ready]]:
    """Return queued rows that are overdue, the oldest first.

    `lease_until` of a queued row says until when its second message is believed to be on its way.
    """
    return [_find(connection, wish) for wish in wishes]


def _find(connection: Connection, wish: Search) -> list[Ready]:
    overdue = (
        select(JOBS.c.id, JOBS.c.kind, JOBS.c.priority, JOBS.c.run_at)
        .where(in_state("queued"), JOBS.c.run_at <= wish.due_ms)
        .where(or_(JOBS.c.lease_until.is_(None), JOBS.c.lease_until < wish.now_ms))
        .order_by(JOBS.c.run_at)
        .limit(wish.count)
        .with_for_update(skip_locked=True)
    )
    found = [Ready(row.id, row.kind, row.priority, row.run_at) for row in connection.execute(overdue)]
    if found:
        ids = [row.id for row in found]
        connection.execute(update(JOBS).where(JOBS.c.id.in_(ids), in_state("queued")).values(lease_until=wish.until_ms))
    return found
