"""The destinations of an application: who they are now, what each gets, and what can be done with them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson

from carboy.clock import Clock
from carboy.db import insert_rows
from carboy.errors import Missing
from carboy.http_values import render_time
from carboy.jobs import Job
from carboy.logs import BoundLogger, get_logger
from carboy.services.archive.destinations.config import Destination
from carboy.services.archive.destinations.events import Event, event_of
from carboy.services.archive.destinations.kinds import Outgoing
from carboy.services.archive.destinations.replay import Replayer
from carboy.services.archive.destinations.rows import REMOVED, delivery_row, schedule
from carboy.services.archive.destinations.senders import Senders, Surroundings
from carboy.services.archive.destinations.store import (
    DeliveryFilter,
    DeliveryStore,
    Drop,
    Retry,
    SetPaused,
    drop,
    each_batch,
    retry,
    set_paused,
)
from carboy.services.archive.destinations.tables import DELIVERIES
from carboy.services.archive.destinations.worker import Deliverer
from carboy.services.archive.items import NewItem, Submission
from carboy.webhooks import Attempt, Progress

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from carboy.db import GroupCommit
    from carboy.services.archive.index import Index

log: BoundLogger = get_logger("carboy.archive")

BY_HAND = "paused by hand"


@dataclass(frozen=True, slots=True)
class Destinations:
    """All destinations: those of the settings and the functions of `@on_archived`.

    Attributes:
        all: returns them by name, as the settings are now.
        store: reads the rows of deliveries.
        sender: returns what makes the attempts of one.
    """

    all: Callable[[], Mapping[str, Destination]]
    index: "Index"
    store: DeliveryStore
    writer: "GroupCommit"
    clock: Clock
    around: Surroundings
    sender: Senders
    deliverer: Deliverer
    replayer: Replayer

    def names(self) -> list[str]:
        """Return the names of all destinations, and of removed ones that have deliveries which wait or failed."""
        known = self.all()
        return sorted([*known, *self.store.removed(known)])

    def get(self, name: str) -> Destination:
        """Return a destination of the settings.

        Raises:
            Missing: there is no destination of that name.
        """
        found = self.all().get(name)
        if found is None:
            self._check_known(name)
            why = f"{REMOVED}, so nothing is delivered to it"
            hint = f"put it back, or end what waits: `carboy archive destinations drop {name}`"
            raise Missing(f"destination `{name}`", why, hint)
        return found

    def _check_known(self, name: str) -> str:
        if name not in self.all() and not self.store.has(name):
            known = ", ".join(self.names()) or "none"
            raise Missing(f"destination `{name}`", "there is no such destination", f"there are: {known}")
        return name

    # --- accepting ---

    def gather(self) -> "Gathering":
        """Begin to gather the deliveries of a transaction."""
        enabled = [one for one in self.all().values() if one.config.enabled]
        return Gathering(enabled, self.deliverer.job)

    # --- by hand ---

    def pause(self, name: str) -> None:
        """Hold a destination's deliveries back; none is lost."""
        self._set_paused(name, BY_HAND)

    def resume(self, name: str) -> None:
        """Let a destination's deliveries go."""
        self._set_paused(name, "")

    def _set_paused(self, name: str, reason: str) -> None:
        change = SetPaused(self.get(name).name, reason, self.deliverer.job, self.clock.now_ms())
        self.writer.run(set_paused, change)
        self.around.notify()

    def retry(self, name: str, state: str = "failed") -> int:
        """Try all deliveries of a destination that are in a state again, now; return how many.

        Args:
            name: of the destination.
            state: `failed` or `waiting`.
        """
        change = Retry(self.get(name).name, self.deliverer.job, self.clock.now_ms(), state=state)
        count = sum(each_batch(self.writer.run, change))
        self.around.notify()
        return count

    def retry_delivery(self, delivery: int) -> int:
        """Try one delivery again, now; return 0 where it is on its way or was taken.

        Raises:
            Missing: there is no such delivery.
        """
        name = self.get(self.delivery(delivery)["destination"]).name
        change = Retry(name, self.deliverer.job, self.clock.now_ms(), delivery=delivery)
        count: int = self.writer.run(retry, change)[0]
        self.around.notify()
        return count

    def drop(self, name: str) -> int:
        """End what waits for a destination as `expired`, without a further attempt; return how many.

        Args:
            name: of a destination of the settings, or of one that was removed from them.
        """
        change, count = Drop(self._check_known(name), self.clock.now_ms()), 0
        while dropped := self.writer.run(drop, change):
            count += dropped
        self.store.forget(name)
        log.warning("deliveries_dropped", destination=name, count=count)
        return count

    def test(self, name: str) -> Attempt:
        """Send a sample event to a destination now, outside of its schedule, and return the attempt."""
        destination = self.get(name)
        now_ms = self.clock.now_ms()
        source = next(iter(destination.config.sources), "threatstack")
        sample = {"id": f"test-{uuid4().hex[:12]}", "created_at": now_ms, "title": "A test of this destination"}
        body = orjson.dumps({**sample, "severity": 1, "test": True})
        event = Event(source, str(sample["id"]), "test", now_ms, now_ms, "application/json", body)
        return self.sender(destination).send([Outgoing(f"test-{uuid4().hex}", event)])[0]

    # --- looking ---

    def describe(self, name: str) -> dict[str, Any]:
        """Return what is known of a destination; no secret."""
        destination, now_ms = self.all().get(self._check_known(name)), self.clock.now_ms()
        progress = self.store.progress(name)
        waiting, failed, oldest = self.store.counts(name)
        success_rate, p50_ms, p95_ms = self.store.last_hour(name, now_ms)
        state, reason = _state_of(destination, progress)
        return {
            "name": name,
            "kind": None if destination is None else destination.config.kind or "function",
            "state": state,
            "reason": reason or None,
            "waiting": waiting,
            "failed": failed,
            "oldest_waiting_s": 0.0 if oldest is None else max(0.0, (now_ms - oldest) / 1000),
            "success_rate": success_rate,
            "p50_ms": p50_ms,
            "p95_ms": p95_ms,
        }

    def deliveries(self, name: str, chosen: DeliveryFilter, limit: int) -> list[dict[str, Any]]:
        """Return deliveries of a destination, the newest first."""
        next_ms = self._next_ms(self._check_known(name))
        return [_describe_delivery(row, next_ms) for row in self.store.list(name, chosen, limit)]

    def _next_ms(self, name: str) -> int | None:
        """Return before when no attempt is made; None where none is made until someone acts."""
        progress = self.store.progress(name)
        state, _ = _state_of(self.all().get(name), progress)
        return None if state in {"paused", "removed"} else progress.blocked_until()

    def items_of(self, event_id: str, sources: Sequence[str]) -> list[int]:
        """Return the rows of the events of an id, in the index."""
        return self.index.rows_of(event_id, sources)

    def delivery(self, delivery: int) -> dict[str, Any]:
        """Return a delivery with its attempts.

        Raises:
            Missing: there is no such delivery.
        """
        found = self.store.get(delivery)
        if found is None:
            raise Missing(f"delivery {delivery}", "there is no such delivery", "see the list of its destination")
        row, attempts = found
        described = _describe_delivery(row, self._next_ms(row.destination))
        return {**described, "attempts": [describe_attempt(one) for one in attempts]}


class Gathering:
    """Gathers the deliveries of what is new in a transaction."""

    def __init__(self, destinations: Sequence[Destination], deliver: Job[[str]]) -> None:
        self._destinations, self._deliver = destinations, deliver
        self._rows: list[dict[str, Any]] = []
        self._names: set[str] = set()
        self._last: Submission | None = None

    def add(self, submission: Submission, item: NewItem, row: int) -> None:
        """Add a delivery for each destination that wants an item."""
        event: Event | None = None
        for one in self._destinations:
            if not one.takes(item.source, item.type or ""):
                continue
            if one.reads_content:
                event = event or event_of(item, submission.now_ms, item.body)
                if not one.wants(event):
                    continue
            self._rows.append(delivery_row(one.name, item, row, submission.now_ms, one.config.schedule_s[0]))
            self._names.add(one.name)
            self._last = submission

    def write(self, connection: "Connection") -> None:
        """Write the deliveries, and queue the jobs that make them."""
        last = self._last
        if last is not None:
            schedule(connection, self._deliver, sorted(self._names), last.now_ms, last.request_id)  # locks first
            insert_rows(connection, DELIVERIES, self._rows)


def _state_of(destination: Destination | None, progress: Progress) -> tuple[str, str]:
    """Return the state of a destination, and the reason where nothing is delivered to it."""
    if destination is None:
        return "removed", REMOVED
    if progress.paused or not destination.config.enabled:
        return "paused", progress.paused or "enabled is false"
    return ("failing" if progress.failures else "active"), ""


def _describe_delivery(row: Any, next_ms: int | None) -> dict[str, Any]:
    is_waiting = row.state == "waiting" and next_ms is not None
    return {
        "id": str(row.id),
        "destination": row.destination,
        "event": {"source": row.source, "id": row.event_id, "type": row.event_type},
        "state": row.state,
        "attempts_made": row.attempts,
        "next_try": render_time(max(row.next_at, next_ms or 0)) if is_waiting else None,
        "created_at": render_time(row.created_at),
        "finished_at": render_time(row.finished_at),
    }


def describe_attempt(row: Any) -> dict[str, Any]:
    """Return an attempt as JSON has it: a row, or an `Attempt`."""
    at_ms = row.at_ms if isinstance(row, Attempt) else row.at
    return {
        "at": render_time(at_ms),
        "duration_ms": row.duration_ms,
        "status": row.status,
        "error": row.error or None,
        "response": (row.response or b"").decode("utf-8", "replace"),
    }
