"""The rows of deliveries: put in with the event, taken by the process that delivers, and ended.

One process at a time delivers to a destination, by a lease on its row: so its rate, its circuit breaker and its limit
of deliveries in flight hold for all machines together. Every function runs in the caller's transaction; see
`carboy.db.GroupCommit`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import bindparam, select, update

from carboy.db import Apply, insert_rows, locks_in_order, ordered_by
from carboy.jobs import Job, is_dead, new_id, put, row_of
from carboy.services.archive.destinations.tables import ATTEMPTS, DELIVERIES, DESTINATIONS
from carboy.services.archive.items import Item, NewItem, event_id
from carboy.webhooks import Attempt, Progress, advance

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")
R = TypeVar("R")

REMOVED = "its table is no longer in the settings"
"""In place of a reason why a destination is paused: it was reported as removed. It pauses nothing."""
_CAME_IN_VAIN = 0  # in place of when a job is due: one found another process at work, which has to look again


@dataclass(frozen=True, slots=True)
class Pending:
    """A delivery that is being made.

    Attributes:
        attempts: made so far.
        tries: made since the last retry by hand.
        due_ms: since when it has been due.
    """

    id: int
    item: int
    attempts: int
    tries: int
    due_ms: int


@dataclass(frozen=True, slots=True)
class Begin:
    """A request of a process to be the one that delivers to a destination."""

    destination: str
    owner: str
    now_ms: int
    lease_until_ms: int


@dataclass(frozen=True, slots=True)
class Take:
    """A request for at most `count` deliveries that are due; it renews the lease.

    Attributes:
        attempt_until_ms: until when their attempts are ended, as long as this process lives.
    """

    begin: Begin
    count: int
    attempt_until_ms: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a process's turn: what is still due, or falls due later, gets the job that delivers it.

    Attributes:
        hold_until_ms: nothing is delivered before then, as the destination's rate is used up; 0 for at once.
    """

    destination: str
    owner: str
    now_ms: int
    job: Job[[str]]
    hold_until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Wake:
    """A request to have a destination's deliveries made now.

    Attributes:
        is_forced: also where a job should be queued already.
    """

    destination: str
    job: Job[[str]]
    now_ms: int
    is_forced: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt at a delivery, and what follows.

    Attributes:
        attempt: None where none was made: the delivery waits again, as if it had not been taken.
        state: `delivered`, `failed`, `expired` or `waiting`.
        next_at_ms: of the next attempt; None if no attempt follows.
        at_ms: when it ended, where no attempt was made.
    """

    destination: str
    delivery: Pending
    attempt: Attempt | None
    state: str
    next_at_ms: int | None
    at_ms: int = 0


def delivery_row(destination: str, item: Item | NewItem, row: int, now_ms: int, first_s: float = 0.0) -> dict[str, Any]:
    """Return the row of a new delivery of an item, which has this row, with a wait before the first attempt."""
    return {
        "id": new_id(now_ms),
        "destination": destination,
        "item": row,
        "source": item.source,
        "event_id": event_id(item),
        "event_type": item.type or None,
        "state": "waiting",
        "attempts": 0,
        "tries": 0,
        "next_at": now_ms + round(first_s * 1000),
        "created_at": now_ms,
    }


def schedule(
    connection: "Connection", job: Job[[str]], names: Sequence[str], now_ms: int, request_id: str = ""
) -> None:
    """Queue the job that delivers for each destination that has none which is due soon enough.

    The rows are locked for reading: a process that ends its turn at this moment looks again afterwards. Those to be
    written are locked for that from the beginning: of two that have read, neither could write before the other ends.
    """
    if not names:
        return
    query = select(DESTINATIONS).where(DESTINATIONS.c.name.in_(names)).order_by(DESTINATIONS.c.name)
    rows = connection.execute(query).all()
    writes = any(_is_late(row, now_ms) for row in rows)
    if connection.dialect.name != "sqlite":  # which has one writer
        rows = connection.execute(query.with_for_update(read=not writes)).all()
    known = {row.name: row for row in rows}
    missing = [name for name in names if name not in known]
    if missing:
        new = [{"name": name, "scheduled_at": now_ms} for name in missing]
        insert_rows(connection, DESTINATIONS, new, skip_known="name")
    late = [name for name, row in known.items() if _is_late(row, now_ms)]
    if late and writes:  # else they became late meanwhile: a job too many does no harm
        change = update(DESTINATIONS).where(DESTINATIONS.c.name.in_(late)).values(scheduled_at=now_ms)
        connection.execute(change)
    if missing or late:
        put(connection, [row_of(job, (name,), now_ms=now_ms, request_id=request_id) for name in [*missing, *late]])


def _is_late(row: Any, now_ms: int) -> bool:
    if progress_of(row).paused:
        return False
    return row.scheduled_at is None or row.scheduled_at > max(now_ms, row.open_until or 0, row.hold_until or 0)


def by_destination(write: "Callable[[Connection, T], R]") -> Apply[T, R]:
    """Return a function for `carboy.db.GroupCommit` that writes items in the order of their `destination`."""
    return ordered_by(attrgetter("destination"))(write)


@by_destination
def wake(connection: "Connection", one: Wake) -> None:
    """Queue the job that delivers."""
    row = _locked(connection, one.destination)  # also where it is only read: the next item may write it
    if one.is_forced and row is not None and (row.scheduled_at != _CAME_IN_VAIN or (row.lease_until or 0) < one.now_ms):
        change = update(DESTINATIONS).where(DESTINATIONS.c.name == one.destination).values(scheduled_at=None)
        connection.execute(change)
    schedule(connection, one.job, [one.destination], one.now_ms)


def progress_of(row: Any) -> Progress:
    """Return how a destination does, by its row; `None` is a destination that got nothing yet."""
    if row is None:
        return Progress()
    paused = "" if row.paused == REMOVED else row.paused or ""
    return Progress(row.failures, row.failing_since, row.open_until, row.hold_until, paused)


def _locked(connection: "Connection", name: str) -> Any:
    query = select(DESTINATIONS).where(DESTINATIONS.c.name == name).with_for_update()
    return connection.execute(query).one_or_none()


@by_destination
def begin(connection: "Connection", one: Begin) -> Progress | None:
    """Give a destination's lease, unless another living process has it; what a dead one was delivering waits again."""
    row = _locked(connection, one.destination)
    if row is None:
        insert_rows(connection, DESTINATIONS, [{"name": one.destination}], skip_known="name")
        row = _locked(connection, one.destination)
    name = DESTINATIONS.c.name == one.destination
    if row.owner and row.owner != one.owner and row.lease_until > one.now_ms and not is_dead(row.owner):
        connection.execute(update(DESTINATIONS).where(name).values(scheduled_at=_CAME_IN_VAIN))
        return None
    progress = progress_of(row)
    values = {"owner": one.owner, "lease_until": one.lease_until_ms, "paused": progress.paused or None}
    connection.execute(update(DESTINATIONS).where(name).values(values))
    _requeue_orphaned(connection, one.destination)
    return progress


def _requeue_orphaned(connection: "Connection", name: str) -> None:
    """Let deliveries wait again that no process makes, as it died or its commit was not confirmed."""
    orphaned = (DELIVERIES.c.destination == name) & (DELIVERIES.c.state == "delivering")
    connection.execute(update(DELIVERIES).where(orphaned).values(state="waiting", next_at=DELIVERIES.c.created_at))


@ordered_by(attrgetter("begin.destination"))
def take(connection: "Connection", one: Take) -> tuple[Progress, list[Pending]] | None:
    """Give deliveries that are due, marked as `delivering`; None where another process has the lease now."""
    name, now_ms = one.begin.destination, one.begin.now_ms
    row = _locked(connection, name)
    if row is None or row.owner != one.begin.owner:
        return None
    connection.execute(
        update(DESTINATIONS).where(DESTINATIONS.c.name == name).values(lease_until=one.begin.lease_until_ms)
    )
    progress = progress_of(row)
    if progress.paused or progress.blocked_until() > now_ms or one.count < 1:
        return progress, []
    count = 1 if progress.open_until is not None else one.count  # half-open: one probe
    columns = (DELIVERIES.c[column] for column in ("id", "item", "attempts", "tries", "next_at"))
    due = select(*columns).where(DELIVERIES.c.destination == name, DELIVERIES.c.next_at <= now_ms)
    due = due.order_by(DELIVERIES.c.next_at, DELIVERIES.c.id)
    found = [Pending(*each) for each in connection.execute(due.limit(count).with_for_update(skip_locked=True)).all()]
    if found:
        chosen = DELIVERIES.c.id.in_([each.id for each in found])
        values = {"state": "delivering", "next_at": one.attempt_until_ms}
        connection.execute(update(DELIVERIES).where(chosen).values(values))
    return progress, found


@locks_in_order
def record(connection: "Connection", groups: Sequence[Sequence[Ended]]) -> list[list[tuple[Progress, Progress]]]:
    """Write attempts and what follows; return how the destination of each did before and after.

    An attempt whose delivery went to another process since, or was ended, is left out.
    """
    changes = iter(_record(connection, [one for group in groups for one in group]))
    return [[next(changes) for _ in group] for group in groups]


def _record(connection: "Connection", ended: Sequence[Ended]) -> list[tuple[Progress, Progress]]:
    names = sorted({one.destination for one in ended})
    before = {name: progress_of(_locked(connection, name)) for name in names}  # first, as all who write here
    ids = [one.delivery.id for one in ended]
    query = select(DELIVERIES.c.id, DELIVERIES.c.attempts).where(
        DELIVERIES.c.id.in_(ids), DELIVERIES.c.state == "delivering"
    )
    found = connection.execute(query.order_by(DELIVERIES.c.id).with_for_update()).all()
    ours = {(row.id, row.attempts) for row in found}
    kept = [one for one in ended if (one.delivery.id, one.delivery.attempts) in ours]
    if kept:
        connection.execute(_END, [_end_values(one) for one in kept])
    attempts = [_attempt_row(one, one.attempt) for one in kept if one.attempt is not None]
    if attempts:
        insert_rows(connection, ATTEMPTS, attempts)
    return _advance(connection, ended, before)


_END = (
    update(DELIVERIES)
    .where(DELIVERIES.c.id == bindparam("b_id"))
    .values(
        state=bindparam("b_state"),
        attempts=bindparam("b_attempts"),
        tries=bindparam("b_tries"),
        next_at=bindparam("b_next_at"),
        finished_at=bindparam("b_finished_at"),
    )
)


def _end_values(one: Ended) -> dict[str, Any]:
    made = 0 if one.attempt is None else 1
    at_ms = one.at_ms if one.attempt is None else one.attempt.at_ms + one.attempt.duration_ms
    return {
        "b_id": one.delivery.id,
        "b_state": one.state,
        "b_attempts": one.delivery.attempts + made,
        "b_tries": one.delivery.tries + made,
        "b_next_at": one.next_at_ms,
        "b_finished_at": None if one.state == "waiting" else at_ms,
    }


def _attempt_row(one: Ended, attempt: Attempt) -> dict[str, Any]:
    return {
        "delivery": one.delivery.id,
        "number": one.delivery.attempts + 1,
        "destination": one.destination,
        "at": attempt.at_ms,
        "duration_ms": attempt.duration_ms,
        "status": attempt.status,
        "error": attempt.error[:500] or None,
        "response": attempt.response or None,
    }


def _advance(
    connection: "Connection", ended: Sequence[Ended], before: Mapping[str, Progress]
) -> list[tuple[Progress, Progress]]:
    after = dict(before)
    answers = []
    for one in ended:
        was = after[one.destination]
        if one.attempt is not None:
            after[one.destination] = advance(was, one.attempt)
        answers.append((was, after[one.destination]))
    for name in before:
        if after[name] != before[name]:
            _write(connection, name, after[name])
    return answers


def _write(connection: "Connection", name: str, progress: Progress) -> None:
    values = {
        "paused": progress.paused or None,
        "failures": progress.failures,
        "failing_since": progress.failing_since,
        "open_until": progress.open_until,
        "hold_until": progress.hold_until,
    }
    connection.execute(update(DESTINATIONS).where(DESTINATIONS.c.name == name).values(values))


@by_destination
def finish(connection: "Connection", one: Finish) -> int | None:
    """End a turn; return when the next job is due, None where nothing waits."""
    row = _locked(connection, one.destination)
    if row is None or row.owner != one.owner:
        return None
    _requeue_orphaned(connection, one.destination)
    progress = progress_of(row)
    hold_until = max(row.hold_until or 0, one.hold_until_ms) or None
    query = (
        select(DELIVERIES.c.next_at)
        .where(DELIVERIES.c.destination == one.destination, DELIVERIES.c.next_at.is_not(None))
        .order_by(DELIVERIES.c.next_at)
        .limit(1)
        .with_for_update()
    )
    first = connection.execute(query).scalar()
    next_at = None if first is None else max(first, progress.blocked_until(), one.hold_until_ms, one.now_ms)
    if progress.paused:
        next_at = None
    scheduled = one.now_ms if progress.paused else next_at
    values = {"owner": None, "lease_until": None, "scheduled_at": scheduled, "hold_until": hold_until}
    connection.execute(update(DESTINATIONS).where(DESTINATIONS.c.name == one.destination).values(values))
    if next_at is not None:
        after_s = (next_at - one.now_ms) / 1000
        is_known = after_s and row.scheduled_at != _CAME_IN_VAIN  # else the job of that key may be the one that came
        key = f"{one.job.kind}:{one.destination}:{next_at}" if is_known else None
        put(connection, [row_of(one.job, (one.destination,), now_ms=one.now_ms, key=key, after_s=after_s)])
    return next_at
