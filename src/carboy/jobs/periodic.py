"""Find the rows to publish again: requeued ones, those that fall due, and those whose message was lost.

Many processes sweep, and in each period one of them: the one that moves the row of a periodic lock has it. Every
function runs in the caller's transaction.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update

from carboy.db.bulk import insert_rows
from carboy.db.group_commit import one_by_one
from carboy.jobs.engine_registry import Ready
from carboy.jobs.job_rows import READY, owners, release_some
from carboy.jobs.owner import is_dead
from carboy.jobs.tables import JOBS, TURNS, in_state

_AT_MOST = 1000


@dataclass(frozen=True, slots=True)
class PeriodicLock:
    """A request for work that one process does in each period of `every_ms`."""

    name: str
    now_ms: int
    every_ms: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """A request to look after the rows of these kinds, up to those that are due `ahead_ms` from now."""

    turn: PeriodicLock
    kinds: tuple[str, ...]
    ahead_ms: int


@dataclass(frozen=True, slots=True)
class Lost:
    """A request for rows of these kinds that have been due since `before_ms`."""

    kinds: tuple[str, ...]
    before_ms: int


@one_by_one
def take_turn(connection: Connection, turn: PeriodicLock) -> bool:
    """Return whether the caller has a periodic lock."""
    return _take_turn(connection, turn) is not None


@one_by_one
def sweep(connection: Connection, request: Sweep) -> tuple[Ready, ...]:
    """Requeue the rows whose owner is dead, and return them with those that fall due; nothing without the lock.

    Rows that were due when they were written are left out: the process that wrote them published them.
    """
    mark = _take_turn(connection, request.turn)
    if mark is None:
        return ()
    until_ms = request.turn.now_ms + request.ahead_ms
    upcoming = (
        select(*READY)
        .where(
            in_state("queued"),
            JOBS.c.kind.in_(request.kinds),
            JOBS.c.run_at > mark,
            JOBS.c.run_at <= until_ms,
            JOBS.c.run_at > JOBS.c.created_at,
        )
        .order_by(JOBS.c.run_at)
        .limit(_AT_MOST)
    )
    due = [Ready(*row) for row in connection.execute(upcoming)]
    if len(due) == _AT_MOST:  # the rest in the next turn; of one millisecond some may wait until they count as lost
        until_ms = due[-1].run_at_ms
    connection.execute(update(TURNS).where(TURNS.c.name == request.turn.name).values(mark=until_ms))
    return (*_release(connection, request.turn.now_ms), *due)


@one_by_one
def requeue_orphaned(connection: Connection, now_ms: int) -> list[Ready]:
    """Requeue the rows whose lease has ended or whose owner is known to be dead; return them."""
    return _release(connection, now_ms)


def _release(connection: Connection, now_ms: int) -> list[Ready]:
    dead = [owner for owner in owners(connection) if is_dead(owner)]
    return release_some(connection, now_ms, dead, _AT_MOST)


@one_by_one
def find_lost(connection: Connection, wanted: tuple[Lost, int]) -> tuple[Ready, ...]:
    """Return rows that wait in vain, the urgent ones first.

    A broker that holds messages may well hold those of these rows: with each request comes how many it holds, and only
    what is due beyond that is lost for certain. So a long queue is never published again and again.
    """
    request, at_broker = wanted
    overdue = select(*READY).where(
        in_state("queued"), JOBS.c.kind.in_(request.kinds), JOBS.c.run_at <= request.before_ms
    )
    counted = overdue.with_only_columns(JOBS.c.id).limit(at_broker + _AT_MOST).subquery()
    lost = (connection.execute(select(func.count()).select_from(counted)).scalar() or 0) - at_broker
    if lost <= 0:
        return ()
    query = overdue.order_by(JOBS.c.priority, JOBS.c.run_at).limit(lost)
    return tuple(Ready(*row) for row in connection.execute(query))


def _take_turn(connection: Connection, turn: PeriodicLock) -> int | None:
    """Return how far the last one looked, where it is our turn.

    A turn that lies too far ahead was taken by a clock that is wrong; it is not waited for.
    """
    found = connection.execute(
        select(TURNS.c.next_at, TURNS.c.mark).where(TURNS.c.name == turn.name).with_for_update(skip_locked=True)
    ).one_or_none()
    next_at = turn.now_ms + turn.every_ms
    if found is None:
        known = connection.execute(select(TURNS.c.name).where(TURNS.c.name == turn.name)).one_or_none()
        if known is None:  # else another takes it at this moment
            row = {"name": turn.name, "next_at": turn.now_ms, "mark": turn.now_ms}
            insert_rows(connection, TURNS, [row], skip_known="name")
        return None
    if turn.now_ms < found.next_at <= next_at:
        return None
    connection.execute(update(TURNS).where(TURNS.c.name == turn.name).values(next_at=next_at))
    return min(int(found.mark), next_at)
