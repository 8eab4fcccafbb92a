"""Retention: delete events past their age in batches, once a minute, in one process; cancel their deliveries.

Objects go first, rows after them: killed in between, the next run deletes again what is left. What is to be erased has
jobs that do it where the command ends early, since events cannot be found again without their objects. Also here: what
keeps deliveries going where a job was lost.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import delete, select, update

from carboy.clock import Clock
from carboy.db import chunks, one_by_one
from carboy.jobs import Job, PeriodicJob, first_id, put, row_of, withdraw
from carboy.logs import BoundLogger, get_logger
from carboy.services.archive.destinations.rows import REMOVED, Wake, wake
from carboy.services.archive.destinations.store import DeliveryStore
from carboy.services.archive.destinations.tables import ATTEMPTS, DELIVERIES, DESTINATIONS
from carboy.services.archive.index import SELECT_FACTS
from carboy.services.archive.items import Item, event_id
from carboy.services.archive.objects import Store
from carboy.services.archive.source_settings import SourceConfig
from carboy.services.archive.tables import ITEMS
from carboy.web import audit_row, write_audit

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Select

    from carboy.db import GroupCommit

log: BoundLogger = get_logger("carboy.archive")
audit: BoundLogger = get_logger("carboy.audit")

T = TypeVar("T")

_MINUTE_MS = 60_000
_AT_ONCE = 100
_RUN_S = 20.0  # what is left gets the next job
_REST = 2.0  # of the time of a batch, before the next: accepting comes first
_LOOK_REST = 100.0  # of the time of looking, before all of it is looked at again
_AGAIN_S = 60.0  # an archiving job that ran meanwhile has ended by then
_ENDED = ("delivered", "failed", "expired")


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept, as the settings are now.

    Attributes:
        sources: by name.
        deliveries_ms: how long deliveries that ended are kept.
        is_needed: whether there is anything to look after.
        destinations: those of the settings, each with whether it is enabled.
        late_ms: how long a delivery may wait until it is reported.
    """

    sources: Mapping[str, SourceConfig]
    deliveries_ms: int
    is_needed: bool
    destinations: Mapping[str, bool]
    late_ms: int = 900_000

    @property
    def enabled(self) -> list[str]:
        """The names of the destinations that are enabled."""
        return [name for name, is_enabled in self.destinations.items() if is_enabled]


@dataclass(slots=True)
class _Looked:
    """How far the events of a source were looked at: their rows stand between those of sources that are kept for ever.

    Attributes:
        after: the id up to which nothing is left that was received before its row was looked at.
        again_at_s: when it begins at the oldest again, as an import may have added some.
    """

    after: int
    again_at_s: float


@dataclass(slots=True)
class Upkeep:
    """The job `archive.upkeep`, once a minute.

    Attributes:
        limits: returns what is kept.
        deliver: the job that delivers to one destination.
        purge: deletes rows of jobs that ended before a time.
        on_deleted: counts deleted events, by source and reason.
    """

    engine: "Engine"
    writer: "GroupCommit"
    store: Store
    clock: Clock
    limits: Callable[[], Limits]
    deliver: Job[[str]]
    purge: Callable[[int], object]
    on_deleted: Callable[[str, str, int], None]
    periodic: PeriodicJob = field(init=False)
    erasing: Job[[str, list[int], list[str], list[str], str]] = field(init=False)
    _is_running: threading.Lock = field(default_factory=threading.Lock)
    _looked: dict[str, _Looked] = field(default_factory=dict)

    def __post_init__(self) -> None:
        work: Job[[int]] = Job("archive.upkeep", self.run, timeout_s=300.0, priority=9)
        self.periodic = PeriodicJob(work, _MINUTE_MS, self.writer, self.clock, self._is_needed)
        self.erasing = Job("archive.erase", self.finish_erasing, attempts=None, timeout_s=300.0, priority=9)

    def _is_needed(self) -> bool:
        return self.limits().is_needed or self.writer.run(_has_destinations, None, durable=False)

    def run(self, _minute: int = 0) -> bool:
        """Delete what is due, and have forgotten deliveries made; return whether all of it was done in time."""
        with self._is_running:
            return self._run()

    def _run(self) -> bool:
        limits, now_ms = self.limits(), self.clock.now_ms()
        until_s = self.clock.monotonic_s() + _RUN_S
        self.writer.run(_wake_forgotten, (self.deliver, limits.enabled, now_ms), durable=False)
        self._report_late(now_ms, limits)
        is_done = True
        for name, source in limits.sources.items():
            if source.keep is not None and not source.hold:
                is_done &= self._delete_old(name, now_ms - round(float(source.keep) * 1000), until_s)
        is_done &= self._forget(now_ms - limits.deliveries_ms, until_s)
        self.purge(now_ms - 10 * _MINUTE_MS)
        return is_done

    def _report_late(self, now_ms: int, limits: Limits) -> None:
        """Log the destinations whose oldest delivery has waited for too long: an alarm where nothing reads metrics.

        One that is no longer in the settings is logged once: a process with the settings of before may run until then.
        """
        store = DeliveryStore(self.engine)
        for name in store.active():
            oldest_ms = store.oldest_ms(name)
            if oldest_ms is None or now_ms - oldest_ms <= limits.late_ms:
                continue
            facts = {"destination": name, "oldest_s": (now_ms - oldest_ms) // 1000}
            if limits.destinations.get(name):
                log.warning("deliveries_late", alarm=True, **facts)
            elif name not in limits.destinations and self.writer.run(_mark_removed, name, durable=False):
                hint = f"put its table back, or `carboy archive destinations drop {name}`"
                log.error("destination_removed", alarm=True, **facts, hint=hint)

    def _delete_old(self, source: str, before_ms: int, until_s: float) -> bool:
        """Delete what was received before a time; return whether all of it is gone."""
        end = first_id(before_ms)
        looked, now_s, total = self._looked.get(source), self.clock.monotonic_s(), 0
        if looked is None or now_s >= looked.again_at_s:
            looked = _Looked(0, now_s)
        while items := self._old(source, looked, end):
            if self.clock.monotonic_s() >= until_s:
                break
            self.rest_after(partial(self.delete, items, "keep"))
            looked.after, total = items[-1].id, total + len(items)
        else:
            looked.after = max(end - 1, 0)
        self._looked[source] = looked
        if total:
            log.info("archive_deleted", source=source, count=total, reason="keep")
        return not items

    def _forget(self, before_ms: int, until_s: float) -> bool:
        """Delete deliveries that ended before a time; return whether all of them are gone."""
        while self.rest_after(partial(self.writer.run, _forget, before_ms, durable=False)) == _AT_ONCE:
            if self.clock.monotonic_s() >= until_s:
                return False
        return True

    def rest_after(self, act: Callable[[], T]) -> T:
        """Do a batch, and then nothing for twice as long as it took."""
        began_s = time.monotonic()
        done = act()
        time.sleep((time.monotonic() - began_s) * _REST)
        return done

    def _old(self, source: str, looked: _Looked, end: int) -> list[Item]:
        query = SELECT_FACTS.where(ITEMS.c.source == source, ITEMS.c.id > looked.after, ITEMS.c.id < end)
        began_s = self.clock.monotonic_s()
        with self.engine.connect() as connection:
            items = [Item(*row) for row in connection.execute(query.order_by(ITEMS.c.id).limit(_AT_ONCE))]
        looked.again_at_s += (self.clock.monotonic_s() - began_s) * _LOOK_REST
        return items

    def delete(self, items: Sequence[Item], reason: str, *, with_deliveries: bool = False) -> None:
        """Delete items of one source: their objects, then their rows and deliveries, in one transaction.

        Args:
            items: at most some hundreds.
            reason: for the metrics: `keep` or `erase`.
            with_deliveries: also the rows of deliveries that wait; else these end as `expired`.
        """
        ids, names = [item.id for item in items], [item.item_id for item in items]
        self._delete_objects(items[0].source, {key for item in items for key in _keys_of(item)}, names, ids)
        rows = ids, self.clock.now_ms(), with_deliveries
        self.writer.run(delete_items, rows, durable=False)  # what a power cut brings back, the next run deletes
        self.on_deleted(items[0].source, reason, len(items))

    def plan_erasing(self, batches: Sequence[Sequence[Item]], who: str) -> list[int]:
        """Enqueue the jobs that erase what this process does not, as it ends before; return their ids.

        Args:
            batches: each with items of one source; the jobs of later ones come later.
            who: for the audit log.
        """
        now_ms = self.clock.now_ms()
        rows = []
        for number, items in enumerate(batches):
            keys = sorted({key for item in items for key in _keys_of(item)})
            names = sorted({item.item_id for item in items})
            args = (items[0].source, [item.id for item in items], names, keys, who)
            rows.append(row_of(self.erasing, args, now_ms=now_ms, after_s=_AGAIN_S + number))
        self.writer.run(_put_all, rows)
        return [row["id"] for row in rows]

    def withdraw_erasing(self, ids: Sequence[int]) -> None:
        """Have these jobs erase nothing."""
        self.writer.run(_withdraw, ids)

    def finish_erasing(
        self, source: str, rows: Sequence[int], names: Sequence[str], keys: Sequence[str], who: str = ""
    ) -> None:
        """Erase what is left: rows of a process that was killed, an object that was put meanwhile.

        Items that a hold keeps since stay.
        """
        limits = self.limits().sources
        if source in limits and limits[source].hold:
            return
        with self.engine.connect() as connection:
            left = [Item(*row) for row in connection.execute(SELECT_FACTS.where(ITEMS.c.id.in_(rows)))]
        if left:
            self.erase(left, who)
        self.writer.run(delete_items, (rows, self.clock.now_ms(), True), durable=False)  # what a replay added meanwhile
        self._delete_objects(source, set(keys), names, ())

    def erase(self, items: Sequence[Item], who: str) -> None:
        """Delete items of one source, with all that is known of them; the audit log and the log get their ids first."""
        source, ids = items[0].source, sorted({event_id(item) for item in items})
        now_ms = self.clock.now_ms()
        rows = [audit_row(now_ms, who, "archive.erase", f"{source}/{one}") for one in ids]
        self.writer.run(write_audit, rows)
        self.plan_erasing([items], who)  # again later, for an object that is being put
        self.delete(items, "erase", with_deliveries=True)
        audit.warning("archive_erased", source=source, ids=ids, count=len(ids), who=who)

    def _delete_objects(self, source: str, keys: set[str], names: Sequence[str], ids: Sequence[int]) -> None:
        """Delete objects, but for those that versions of these names have too which are not of these rows."""
        others = select(ITEMS.c.object_key, ITEMS.c.detail_key).where(
            ITEMS.c.source == source, ITEMS.c.item_id.in_(names), ITEMS.c.id.not_in(ids)
        )
        with self.engine.connect() as connection:
            kept = {key for row in connection.execute(others) for key in row if key}
        self.store.delete_all(sorted(keys - kept))


_put_all = one_by_one(put)
_withdraw = one_by_one(withdraw)


def _keys_of(item: Item) -> list[str]:
    return [key for key in (item.object_key, item.detail_key) if key]


@one_by_one
def delete_items(connection: "Connection", chosen: tuple[Sequence[int], int, bool]) -> None:
    """Delete rows of the index, with deliveries that ended; those that wait end as `expired`, or are deleted too.

    The latter also of events that have no row any more.
    """
    wanted, now_ms, with_deliveries = chosen
    query = select(ITEMS.c.id).where(ITEMS.c.id.in_(wanted)).order_by(ITEMS.c.id).with_for_update()
    ids = list(connection.execute(query).scalars())  # another process may have deleted some since
    deliveries = select(DELIVERIES.c.id)
    if with_deliveries:
        _delete_deliveries(connection, deliveries.where(DELIVERIES.c.item.in_(wanted)))
    else:
        of_items, is_ended = DELIVERIES.c.item.in_(ids), DELIVERIES.c.state.in_(_ENDED)
        _delete_deliveries(connection, deliveries.where(of_items, is_ended))
        values = {"state": "expired", "next_at": None, "finished_at": now_ms}
        connection.execute(update(DELIVERIES).where(of_items, ~is_ended).values(values))
    connection.execute(delete(ITEMS).where(ITEMS.c.id.in_(ids)))


def _delete_deliveries(connection: "Connection", chosen: "Select[tuple[int]]") -> int:
    ids = list(connection.execute(chosen).scalars())
    for some in chunks(ids, 500) if ids else ():
        connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.delivery.in_(some)))
        connection.execute(delete(DELIVERIES).where(DELIVERIES.c.id.in_(some)))
    return len(ids)


@one_by_one
def _forget(connection: "Connection", before_ms: int) -> int:
    """Delete a batch of deliveries that ended before a time, with their attempts; return how many."""
    ended = (
        select(DELIVERIES.c.id)
        .where(DELIVERIES.c.id < first_id(before_ms))
        .where(DELIVERIES.c.state.in_(_ENDED), DELIVERIES.c.finished_at < before_ms)
        .order_by(DELIVERIES.c.id)
        .limit(_AT_ONCE)
    )
    return _delete_deliveries(connection, ended)


@one_by_one
def _has_destinations(connection: "Connection", _: None) -> bool:
    """Return whether any destination ever got a delivery: then there is something to look after without settings."""
    return connection.execute(select(DESTINATIONS.c.name).limit(1)).scalar() is not None


@one_by_one
def _mark_removed(connection: "Connection", name: str) -> bool:
    """Mark a destination as reported; return whether it was not yet."""
    unmarked = update(DESTINATIONS).where(DESTINATIONS.c.name == name, DESTINATIONS.c.paused.is_(None))
    return connection.execute(unmarked.values(paused=REMOVED)).rowcount > 0


@one_by_one
def _wake_forgotten(connection: "Connection", request: tuple[Job[[str]], Sequence[str], int]) -> None:
    """Queue the job of each destination of these whose deliveries have been due for a minute without a worker."""
    deliver, enabled, now_ms = request
    before_ms = now_ms - _MINUTE_MS
    is_left = DESTINATIONS.c.lease_until.is_(None) | (DESTINATIONS.c.lease_until < now_ms)
    is_late = DESTINATIONS.c.scheduled_at.is_(None) | (DESTINATIONS.c.scheduled_at < before_ms)
    may_go = DESTINATIONS.c.paused.is_(None) | (DESTINATIONS.c.paused == REMOVED)
    names = select(DESTINATIONS.c.name).where(DESTINATIONS.c.name.in_(enabled), is_left, is_late, may_go)
    for name in list(connection.execute(names).scalars()):
        due = select(DELIVERIES.c.id).where(DELIVERIES.c.destination == name, DELIVERIES.c.next_at < before_ms)
        if connection.execute(due.limit(1)).scalar() is not None:
            wake(connection, [Wake(name, deliver, now_ms, is_forced=True)])
