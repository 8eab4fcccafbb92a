"""Rows of jobs: add, lease, settle, release. Every function runs in the caller's transaction."""

import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

import orjson
from sqlalchemy import Connection, Select, Update, bindparam, delete, func, select, update

from carboy.db.bulk import chunks, insert_rows
from carboy.db.group_commit import one_by_one
from carboy.jobs.after_commit import note
from carboy.jobs.definitions import Dead, Done, Job, Outcome, Queued
from carboy.jobs.engine_registry import Ready
from carboy.jobs.owner import is_dead
from carboy.jobs.tables import JOBS, in_state


@dataclass(frozen=True, slots=True)
class LeasedRow:
    """A row that this process has leased."""

    id: int
    kind: str
    args: tuple[Any, ...]
    attempt: int
    request_id: str
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """A request for at most `count` rows of these kinds, by priority, leased to `owner` until `lease_until_ms`."""

    owner: str
    kinds: tuple[str, ...]
    priorities: tuple[int, ...]
    count: int
    now_ms: int
    lease_until_ms: int


@dataclass(frozen=True, slots=True)
class TakenRows:
    """The rows of a `LeaseRequest`, and when the next row falls due (None: there is no other)."""

    rows: tuple[LeasedRow, ...]
    next_at_ms: int | None


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A request for the one row of a message, leased to `owner` until `lease_until_ms`."""

    id: int
    owner: str
    now_ms: int
    lease_until_ms: int


@dataclass(frozen=True, slots=True)
class Settled:
    """How a try of a leased row ended."""

    id: int
    owner: str
    attempt: int
    outcome: Outcome
    at_ms: int


AT_ONCE = 500
"""How many rows maintenance changes in one transaction."""
READY = (JOBS.c.id, JOBS.c.kind, JOBS.c.priority, JOBS.c.run_at)
"""The columns of a `Ready`."""

_COUNT_BITS = 22
_CLOCKS_DIFFER_MS = 60_000


class _Count:
    """Counts from a random number, another one in each process."""

    def __init__(self) -> None:
        self.restart()
        os.register_at_fork(after_in_child=self.restart)

    def restart(self) -> None:
        self.next: Callable[[], int] = count(secrets.randbits(_COUNT_BITS)).__next__


_COUNT = _Count()


def new_id(now_ms: int) -> int:
    """Return a 63-bit key that grows with time: 41 bits of milliseconds since the epoch, then 22 of a count.

    A process never makes one twice. Two processes can, once in a very long time; then the database refuses the second.
    """
    return (now_ms << _COUNT_BITS | _COUNT.next() & (1 << _COUNT_BITS) - 1) & 0x7FFF_FFFF_FFFF_FFFF


def first_id(at_ms: int) -> int:
    """Return the smallest key that `new_id` makes from a time on, milliseconds since the epoch."""
    return max(0, at_ms) << _COUNT_BITS


def accepted_ms(row: int) -> int:
    """Return when a key of `new_id` was made, milliseconds since the epoch."""
    return row >> _COUNT_BITS


def row_of(
    one: Job[...],
    args: Sequence[Any],
    *,
    now_ms: int,
    key: str | None = None,
    after_s: float = 0.0,
    request_id: str = "",
) -> dict[str, Any]:
    """Return the row of a new job."""
    return {
        "id": new_id(now_ms),
        "kind": one.kind,
        "key": key,
        "args": orjson.dumps(list(args)),
        "state": "queued",
        "priority": one.priority,
        "attempts": 0,
        "run_at": now_ms + round(after_s * 1000),
        "request_id": request_id or None,
        "created_at": now_ms,
    }


def put(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows of jobs; those whose key is there already are left out."""
    for has_key in (False, True):  # apart: with a key MySQL would leave out an equal id too
        chosen = [row for row in rows if (row["key"] is not None) is has_key]
        if chosen:
            insert_rows(connection, JOBS, chosen, skip_known="key" if has_key else "")
    note(connection, lambda: [Ready(row["id"], row["kind"], row["priority"], row["run_at"]) for row in rows])


def put_each(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[None]:
    """Do the same in a group commit, which wants a result for each row."""
    put(connection, rows)
    return [None] * len(rows)


def withdraw(connection: Connection, ids: Sequence[int]) -> None:
    """Delete rows that still wait, as their work is no longer wanted."""
    for some in chunks(ids, AT_ONCE):
        connection.execute(delete(JOBS).where(JOBS.c.id.in_(some), in_state("queued")))


@one_by_one
def take(connection: Connection, request: LeaseRequest) -> TakenRows:
    """Lease rows that are due; no row is leased twice."""
    found: list[LeasedRow] = []
    kinds = {"b_kinds": list(request.kinds)}
    for priority in request.priorities:
        if len(found) >= request.count:
            break
        due = {"b_priority": priority, "b_now": request.now_ms, "b_most": request.count - len(found)}
        found += [_leased(row) for row in connection.execute(_DUE, kinds | due)]
    if found:
        ids = {"b_ids": [row.id for row in found]}
        connection.execute(_LEASE, ids | {"b_owner": request.owner, "b_until": request.lease_until_ms})
    if len(found) >= request.count:
        return TakenRows(tuple(found), request.now_ms)
    upcoming = connection.execute(_upcoming(request.priorities), kinds).one() if request.priorities else ()
    return TakenRows(tuple(found), min((at for at in upcoming if at is not None), default=None))


def _leased(row: Any) -> LeasedRow:
    args = tuple(orjson.loads(row.args))
    return LeasedRow(row.id, row.kind, args, row.attempts + 1, row.request_id or "", row.created_at)


_WAITING = (in_state("queued"), JOBS.c.kind.in_(bindparam("b_kinds", expanding=True)))
_DUE = (  # made once, as is what follows: building a statement costs more than running it
    select(JOBS.c.id, JOBS.c.kind, JOBS.c.args, JOBS.c.attempts, JOBS.c.request_id, JOBS.c.created_at)
    .where(*_WAITING, JOBS.c.priority == bindparam("b_priority"), JOBS.c.run_at <= bindparam("b_now"))
    .order_by(JOBS.c.run_at)
    .limit(bindparam("b_most"))
    .with_for_update(skip_locked=True)
)
_LEASE = (
    update(JOBS)
    .where(JOBS.c.id.in_(bindparam("b_ids", expanding=True)))
    .values(state="running", owner=bindparam("b_owner"), lease_until=bindparam("b_until"), attempts=JOBS.c.attempts + 1)
)


@lru_cache(maxsize=64)
def _upcoming(priorities: tuple[int, ...]) -> Select[Any]:
    """Return the query of when the next row of each priority falls due."""
    first = [
        select(JOBS.c.run_at).where(*_WAITING, JOBS.c.priority == priority).order_by(JOBS.c.run_at).limit(1)
        for priority in priorities
    ]
    return select(*(one.scalar_subquery() for one in first))


@one_by_one
def claim(connection: Connection, request: ClaimRequest) -> LeasedRow | int | None:
    """Lease the row of a request.

    The result is the time where the row is not due yet, and None where the row is missing or has ended, or another live
    owner has a lease of it.
    """
    row = connection.execute(
        select(JOBS).where(JOBS.c.id == request.id).with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None or row.state not in {"queued", "running"}:
        return None
    if row.state == "queued" and row.run_at > request.now_ms:
        return int(row.run_at)
    if row.state == "running" and row.lease_until >= request.now_ms and not is_dead(row.owner):
        return None
    connection.execute(
        update(JOBS)
        .where(JOBS.c.id == request.id)
        .values(state="running", owner=request.owner, lease_until=request.lease_until_ms, attempts=row.attempts + 1)
    )
    return _leased(row)


def still_leased(connection: Connection, ended: Sequence[Settled]) -> set[int]:
    """Return the ids of rows that are still leased to their owners, and lock them."""
    found = {tuple(row) for row in connection.execute(_RUNNING, {"b_ids": [one.id for one in ended]})}
    return {one.id for one in ended if (one.id, one.owner, one.attempt) in found}


_RUNNING = (
    select(JOBS.c.id, JOBS.c.owner, JOBS.c.attempts)
    .where(JOBS.c.id.in_(bindparam("b_ids", expanding=True)), in_state("running"))
    .order_by(JOBS.c.id)  # one order of locks: no deadlock
    .with_for_update()
)


def settle(connection: Connection, ended: Sequence[Settled]) -> list[None]:
    """Write how tries ended; a row whose lease went to another since is left alone."""
    for kind, statement in _BY_OUTCOME.items():
        rows = [_settled_row(one) for one in sorted(ended, key=lambda one: one.id) if isinstance(one.outcome, kind)]
        if rows:
            connection.execute(statement, rows)
    return [None] * len(ended)


_LEASED = update(JOBS).where(
    JOBS.c.id == bindparam("b_id"),
    JOBS.c.owner == bindparam("b_owner"),
    JOBS.c.attempts == bindparam("b_attempt"),
    in_state("running"),
)
_FREE: dict[str, Any] = {"owner": None, "lease_until": None}
_BY_OUTCOME = {
    Done: _LEASED.values(state="done", finished_at=bindparam("b_at"), error=None, **_FREE),
    Dead: _LEASED.values(state="dead", finished_at=bindparam("b_at"), error=bindparam("b_error"), **_FREE),
    Queued: _LEASED.values(
        state="queued",
        run_at=bindparam("b_run_at"),
        error=bindparam("b_error"),
        attempts=JOBS.c.attempts - bindparam("b_uncounted"),
        owner=None,
        lease_until=bindparam("b_at"),
    ),
}


def _settled_row(one: Settled) -> dict[str, Any]:
    row: dict[str, Any] = {"b_id": one.id, "b_owner": one.owner, "b_attempt": one.attempt, "b_at": one.at_ms}
    match one.outcome:
        case Dead(error):
            row |= {"b_error": error}
        case Queued(run_at_ms, error, counts):
            row |= {"b_run_at": run_at_ms, "b_error": error, "b_uncounted": 0 if counts else 1}
    return row


@one_by_one
def renew(connection: Connection, request: tuple[str, Sequence[int], int]) -> int:
    """Renew the leases of rows; a request is an owner, row ids and the time in milliseconds."""
    owner, ids, until_ms = request
    return connection.execute(_of_owner(owner, ids).values(lease_until=until_ms)).rowcount


@one_by_one
def give_back(connection: Connection, request: tuple[str, Sequence[int], bool]) -> int:
    """Queue leased rows again, now; a request is an owner, row ids and whether the try that was begun counts."""
    owner, ids, counts = request
    attempts = JOBS.c.attempts - (0 if counts else 1)
    return connection.execute(_of_owner(owner, ids).values(state="queued", attempts=attempts, **_FREE)).rowcount


def _of_owner(owner: str, ids: Sequence[int]) -> Update:
    return update(JOBS).where(JOBS.c.id.in_(ids), JOBS.c.owner == owner, in_state("running"))


@one_by_one
def release_expired(connection: Connection, request: tuple[int, Sequence[str]]) -> int:
    """Queue the rows whose lease has ended before a time, or whose owner is among the dead ones; return how many."""
    now_ms, dead = request
    count = 0
    while released := release_some(connection, now_ms, dead, AT_ONCE):
        count += len(released)
    return count


def release_some(connection: Connection, now_ms: int, dead: Sequence[str], at_most: int) -> list[Ready]:
    """Queue at most so many of the rows whose lease has ended before a time or whose owner is dead, and return them."""
    pull_back(connection, now_ms)
    ended = JOBS.c.lease_until < now_ms
    query = (
        select(*READY)
        .where(in_state("running"), (ended | JOBS.c.owner.in_(dead)) if dead else ended)
        .limit(at_most)
        .with_for_update(skip_locked=True)  # a row that another transaction works on stays as it is
    )
    released = [Ready(*row) for row in connection.execute(query)]
    if released:
        ids = [one.id for one in released]
        connection.execute(update(JOBS).where(JOBS.c.id.in_(ids)).values(state="queued", **_FREE))
    return released


def pull_back(connection: Connection, now_ms: int) -> int:
    """Let rows that were written by a clock that was ahead wait for their own delay from now on; return how many.

    A queued row that has run before has in `lease_until` when it was queued again. Rows are looked for only where the
    youngest one was made more than a minute from now.
    """
    latest_ms = now_ms + _CLOCKS_DIFFER_MS
    if accepted_ms(connection.execute(select(func.max(JOBS.c.id))).scalar() or 0) <= latest_ms:
        return 0
    written_at = func.coalesce(JOBS.c.lease_until, JOBS.c.created_at)
    waits = (in_state("queued"), JOBS.c.run_at > latest_ms, written_at > latest_ms)
    moved = {"run_at": now_ms + JOBS.c.run_at - written_at, "lease_until": now_ms}
    return connection.execute(update(JOBS).where(*waits).values(moved)).rowcount


def owners(connection: Connection) -> list[str]:
    """Return the owners of running rows."""
    return list(connection.execute(select(JOBS.c.owner).where(in_state("running")).distinct()).scalars())


def prune(connection: Connection, befores_ms: Sequence[int], at_most: int = AT_ONCE) -> list[int]:
    """Delete at most so many done rows that ended before a time, the oldest first; return how many.

    Rows that another process is deleting are left to it.
    """
    counts = []
    for before_ms in befores_ms:
        ids = list(
            connection.execute(
                select(JOBS.c.id)
                .where(in_state("done"), JOBS.c.finished_at < before_ms)
                .order_by(JOBS.c.finished_at)
                .limit(at_most)
                .with_for_update(skip_locked=True)
            ).scalars()
        )
        if ids:
            connection.execute(delete(JOBS).where(JOBS.c.id.in_(ids)))
        counts.append(len(ids))
    return counts


def count_by_kind(connection: Connection) -> Iterable[Mapping[str, Any]]:
    """Yield kind, state, count and the oldest `run_at` of the rows that are not done."""
    columns = (JOBS.c.kind, JOBS.c.state, func.count().label("count"), func.min(JOBS.c.run_at).label("oldest_at"))
    return [
        dict(row._mapping)
        for state in ("queued", "running", "dead")  # each by its own partial index
        for row in connection.execute(select(*columns).where(in_state(state)).group_by(JOBS.c.kind, JOBS.c.state))
    ]
