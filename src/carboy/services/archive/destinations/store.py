"""Look at deliveries, and change their fate by hand: list, retry, pause, resume."""

import heapq
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import func, select, update

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.db import insert_rows
from carboy.http_values import MAX_ID
from carboy.jobs import Job, first_id
from carboy.services.archive.destinations.rows import Wake, by_destination, progress_of, wake
from carboy.services.archive.destinations.tables import ATTEMPTS, DELIVERIES, DESTINATIONS
from carboy.webhooks import Progress

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

STATES = ("waiting", "delivering", "delivered", "failed", "expired")
_UNDELIVERED = ("waiting", "delivering", "failed")
T = TypeVar("T")

_HOUR_MS = 3_600_000
_MOST_ATTEMPTS = 5_000
_AT_ONCE = 1_000
_REST = 20.0  # of the time that a look took, before the next


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries of a destination are listed; times are milliseconds since the epoch.

    Attributes:
        items: only of these rows of the index; None for all.
        before: only those with a smaller id, for the next page.
    """

    state: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    items: Sequence[int] | None = None
    before: int | None = None


class DeliveryStore:
    """Reads the rows of deliveries; counts that take long are kept for a while."""

    def __init__(self, engine: "Engine", clock: Clock = SYSTEM_CLOCK) -> None:
        self._engine, self._clock = engine, clock
        self._kept: dict[tuple[str, str], tuple[float, Any]] = {}

    def progress(self, name: str) -> Progress:
        """Return how a destination does."""
        query = select(DESTINATIONS).where(DESTINATIONS.c.name == name)
        with self._engine.connect() as connection:
            return progress_of(connection.execute(query).one_or_none())

    def counts(self, name: str) -> tuple[int, int, int | None]:
        """Return how many deliveries wait, how many failed, and when the oldest that waits was made.

        What took long to count is counted again after twenty times as long: of many rows the numbers are that old.
        """
        waiting, failed = self._seldom(("counts", name), partial(self._count, name))
        return waiting, failed, self.oldest_ms(name)

    def _seldom(self, key: tuple[str, str], look: Callable[[], T]) -> T:
        """Return what a look found: at most a twentieth of the time is spent on looking."""
        began_s = self._clock.monotonic_s()
        fresh_until_s, found = self._kept.get(key, (began_s, None))
        if began_s >= fresh_until_s:
            found = look()
            ended_s = self._clock.monotonic_s()
            self._kept[key] = ended_s + (ended_s - began_s) * _REST, found
        result: T = found
        return result

    def forget(self, name: str) -> None:
        """Forget what was counted, as it has just changed."""
        self._kept.pop(("counts", name), None)

    def _count(self, name: str) -> tuple[int, int]:
        query = select(func.count()).select_from(DELIVERIES).where(DELIVERIES.c.destination == name)
        with self._engine.connect() as connection:
            waiting, delivering, failed = (
                connection.execute(query.where(DELIVERIES.c.state == state)).scalar() or 0 for state in _UNDELIVERED
            )
        return waiting + delivering, failed

    def oldest_ms(self, name: str) -> int | None:
        """Return when the oldest delivery that waits was made; None where none does."""
        with self._engine.connect() as connection:
            found = [connection.execute(_oldest(name, state)).scalar() for state in ("waiting", "delivering")]
        return min((one for one in found if one is not None), default=None)

    def removed(self, known: Collection[str]) -> list[str]:
        """Return the names of destinations that are not known and have deliveries that wait or failed."""
        query = select(DESTINATIONS.c.name).where(DESTINATIONS.c.name.not_in(known)).order_by(DESTINATIONS.c.name)
        with self._engine.connect() as connection:
            names = connection.execute(query).scalars().all()
            return [
                name
                for name in names
                if any(connection.execute(_oldest(name, state)).scalar() is not None for state in _UNDELIVERED)
            ]

    def has(self, name: str) -> bool:
        """Return whether a destination of this name ever got a delivery."""
        query = select(DESTINATIONS.c.name).where(DESTINATIONS.c.name == name)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar() is not None

    def active(self) -> Sequence[str]:
        """Return the names of the destinations that got deliveries and are not paused or reported as removed."""
        query = select(DESTINATIONS.c.name).where(DESTINATIONS.c.paused.is_(None)).order_by(DESTINATIONS.c.name)
        with self._engine.connect() as connection:
            return connection.execute(query).scalars().all()

    def last_hour(self, name: str, now_ms: int) -> tuple[float | None, float | None, float | None]:
        """Return the part of the attempts of the last hour that succeeded, and p50 and p95 of their time in ms.

        Of many attempts the newest are counted; None where there was none. What took long is kept as `counts` are.
        """
        return self._seldom(("last hour", name), partial(self._last_hour, name, now_ms))

    def _last_hour(self, name: str, now_ms: int) -> tuple[float | None, float | None, float | None]:
        query = (
            select(ATTEMPTS.c.error, ATTEMPTS.c.duration_ms)
            .where(ATTEMPTS.c.destination == name, ATTEMPTS.c.at > now_ms - _HOUR_MS)
            .order_by(ATTEMPTS.c.at.desc())
            .limit(_MOST_ATTEMPTS)
        )
        with self._engine.connect() as connection:
            found = connection.execute(query).all()
        if not found:
            return None, None, None
        times = sorted(row.duration_ms for row in found)
        succeeded = sum(row.error is None for row in found)
        p50, p95 = (float(times[min(len(times) - 1, int(len(times) * part))]) for part in (0.5, 0.95))
        return round(succeeded / len(found), 4), p50, p95

    def list(self, name: str, chosen: DeliveryFilter, limit: int) -> list[Any]:
        """Return the rows of a destination's deliveries, the newest first, at most `limit`."""
        if chosen.items is not None and not chosen.items:
            return []
        states = STATES if chosen.state is None else (chosen.state,)
        with self._engine.connect() as connection:
            pages = [connection.execute(_page(name, state, chosen, limit)).all() for state in states]
        return list(islice(heapq.merge(*pages, key=lambda row: -row.id), limit))

    def get(self, delivery: int) -> tuple[Any, Sequence[Any]] | None:
        """Return the row of a delivery and those of its attempts, oldest first; None for an unknown id."""
        attempts = select(ATTEMPTS).where(ATTEMPTS.c.delivery == delivery).order_by(ATTEMPTS.c.number)
        with self._engine.connect() as connection:
            row = connection.execute(select(DELIVERIES).where(DELIVERIES.c.id == delivery)).one_or_none()
            return None if row is None else (row, connection.execute(attempts).all())


def _oldest(name: str, state: str) -> Any:
    query = select(DELIVERIES.c.created_at).where(DELIVERIES.c.destination == name, DELIVERIES.c.state == state)
    return query.order_by(DELIVERIES.c.id).limit(1)


def _page(name: str, state: str, chosen: DeliveryFilter, limit: int) -> Any:
    query = select(DELIVERIES).where(DELIVERIES.c.destination == name, DELIVERIES.c.state == state)
    if chosen.since_ms is not None:
        query = query.where(DELIVERIES.c.id >= first_id(chosen.since_ms))
    bounds = [chosen.before, None if chosen.until_ms is None else first_id(chosen.until_ms)]
    for bound in bounds:
        if bound is not None:
            query = query.where(DELIVERIES.c.id < min(bound, MAX_ID))
    if chosen.items is not None:
        query = query.where(DELIVERIES.c.item.in_(chosen.items))
    return query.order_by(DELIVERIES.c.id.desc()).limit(limit)


@dataclass(frozen=True, slots=True)
class Retry:
    """A request to try deliveries again, now and with all attempts of the schedule before them.

    An open circuit breaker lets one of them through at once, and the others once that is delivered.

    Attributes:
        delivery: one; 0 for those of the destination that are in a state.
        after: where the last batch ended.
    """

    destination: str
    job: Job[[str]]
    now_ms: int
    delivery: int = 0
    state: str = "failed"
    after: int = 0


@by_destination
def retry(connection: "Connection", one: Retry) -> tuple[int, int | None]:
    """Have a batch of deliveries tried again; return how many, and where the next batch begins, None at the end."""
    name = DESTINATIONS.c.name == one.destination
    connection.execute(select(name).where(name).with_for_update())  # first, as all who write deliveries
    query = select(DELIVERIES.c.id).where(DELIVERIES.c.destination == one.destination)
    if one.delivery:
        query = query.where(DELIVERIES.c.id == one.delivery, DELIVERIES.c.state.in_(("failed", "waiting")))
    else:
        query = query.where(DELIVERIES.c.state == one.state, DELIVERIES.c.id > one.after)
    ids = list(connection.execute(query.order_by(DELIVERIES.c.id).limit(_AT_ONCE).with_for_update()).scalars())
    if ids:
        values = {"state": "waiting", "tries": 0, "next_at": one.now_ms, "finished_at": None}
        connection.execute(update(DELIVERIES).where(DELIVERIES.c.id.in_(ids)).values(values))
        is_open = DESTINATIONS.c.open_until > one.now_ms
        half_open = {"open_until": one.now_ms}  # one probe
        connection.execute(update(DESTINATIONS).where(name, is_open).values(half_open))
        wake(connection, [Wake(one.destination, one.job, one.now_ms)])
    return len(ids), ids[-1] if len(ids) == _AT_ONCE else None


@dataclass(frozen=True, slots=True)
class SetPaused:
    """A request to hold a destination's deliveries back, or with an empty reason to let them go."""

    destination: str
    reason: str
    job: Job[[str]]
    now_ms: int


@by_destination
def set_paused(connection: "Connection", one: SetPaused) -> None:
    """Pause or resume a destination; one that is resumed begins with a closed circuit breaker."""
    insert_rows(connection, DESTINATIONS, [{"name": one.destination}], skip_known="name")
    values: dict[str, Any] = {"paused": one.reason or None}
    if not one.reason:
        values |= dict.fromkeys(("failing_since", "open_until", "hold_until")) | {"failures": 0}
    connection.execute(update(DESTINATIONS).where(DESTINATIONS.c.name == one.destination).values(values))
    if not one.reason:
        wake(connection, [Wake(one.destination, one.job, one.now_ms, is_forced=True)])


def each_batch(run: Any, first: Retry) -> Iterator[int]:
    """Yield how many deliveries each batch had, each in a transaction of its own."""
    after: int | None = first.after
    while after is not None:
        count, after = run(retry, Retry(first.destination, first.job, first.now_ms, state=first.state, after=after))
        yield count


@dataclass(frozen=True, slots=True)
class Drop:
    """A request to end deliveries of a destination that wait, without a further attempt."""

    destination: str
    now_ms: int


@by_destination
def drop(connection: "Connection", one: Drop) -> int:
    """End a batch of deliveries as `expired`; return how many. What a living process is sending is left to it."""
    query = select(DESTINATIONS.c.lease_until).where(DESTINATIONS.c.name == one.destination).with_for_update()
    is_leased = (connection.execute(query).scalar() or 0) > one.now_ms
    states = ("waiting",) if is_leased else ("waiting", "delivering")
    chosen = select(DELIVERIES.c.id).where(DELIVERIES.c.destination == one.destination, DELIVERIES.c.state.in_(states))
    ids = list(connection.execute(chosen.order_by(DELIVERIES.c.id).limit(_AT_ONCE).with_for_update()).scalars())
    if ids:
        values = {"state": "expired", "next_at": None, "finished_at": one.now_ms}
        connection.execute(update(DELIVERIES).where(DELIVERIES.c.id.in_(ids)).values(values))
    return len(ids)
