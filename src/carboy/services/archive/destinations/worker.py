"""Deliver: take what is due for a destination, attempt it, and write what came of it.

The job `archive.deliver` has a turn of some seconds at one destination; what is left gets the next job. A destination
that hangs holds one thread of the job engine, and of all threads some are always left for other work.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from carboy.clock import Clock
from carboy.errors import Missing, UpstreamError
from carboy.jobs import Job, Later, make_owner
from carboy.logs import BoundLogger, get_logger
from carboy.services.archive.destinations.config import Destination
from carboy.services.archive.destinations.events import Event, event_of
from carboy.services.archive.destinations.kinds import Outgoing, Sender
from carboy.services.archive.destinations.rows import (
    Begin,
    Ended,
    Finish,
    Pending,
    Take,
    begin,
    finish,
    record,
    take,
)
from carboy.services.archive.items import Item
from carboy.services.archive.objects import ObjectMissing, Store
from carboy.services.archive.pacer import Pacer
from carboy.webhooks import Attempt, Progress, next_wait_s

if TYPE_CHECKING:
    from carboy.db import GroupCommit
    from carboy.services.archive.index import Index

__all__ = ["Deliverer"]

log: BoundLogger = get_logger("carboy.archive")

_ATTEMPTS = 10_000
_TURN_S = 10.0
_LEASE_MS = 15_000
_LOOK_S = 0.1
_MAX_SLEEP_S = 1.0
_UNREAD_MS = 5_000

OnAttempt = Callable[[str, str, float], None]
"""Gets the destination, `delivered` or `failed`, and the seconds of each attempt, for the metrics."""


@dataclass(slots=True)
class _Turn:
    """A turn at a destination."""

    destination: Destination
    sender: Sender
    until_s: float
    waiting: deque[tuple[Pending, Item | None]] = field(default_factory=deque)
    flying: set[Future[None]] = field(default_factory=set)
    is_blocked: bool = False
    is_probing: bool = False
    is_empty: bool = False
    taken_at_s: float = 0.0
    hold_until_ms: int = 0


class Deliverer:
    """Delivers to all destinations.

    Args:
        destinations: returns them by name, as the settings are now.
        sender: returns what makes the attempts of one.
        index: where the events are.
        store: where their bytes are, once archived.
        writer: writes.
        clock: the time.
        most: destinations that get deliveries at the same time in this process.
        on_attempt: counts attempts.
    """

    def __init__(
        self,
        destinations: Callable[[], Mapping[str, Destination]],
        sender: Callable[[Destination], Sender],
        *,
        index: "Index",
        store: Store,
        writer: "GroupCommit",
        clock: Clock,
        most: int,
        on_attempt: OnAttempt,
    ) -> None:
        self._destinations, self._sender = destinations, sender
        self._index, self._store, self._writer, self._clock = index, store, writer, clock
        self._most, self._on_attempt = most, on_attempt
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self._again: set[str] = set()
        self._pacers: dict[tuple[str, str], Pacer] = {}
        self.job: Job[[str]] = Job("archive.deliver", self.deliver, attempts=_ATTEMPTS, timeout_s=900.0)

    def deliver(self, name: str) -> None:
        """Deliver what is due for a destination.

        Raises:
            Later: this process delivers to as many destinations as it may.
        """
        destination = self._destinations().get(name)
        if destination is None or not destination.config.enabled:
            return
        with self._lock:
            if name in self._running:
                self._again.add(name)
                return
            if len(self._running) >= self._most:
                raise Later("deliveries to other destinations come first", 0.5)
            self._running.add(name)
        try:
            while True:
                self._take_turn(destination)
                with self._lock:
                    if name not in self._again:
                        self._running.discard(name)
                        return
                    self._again.discard(name)
        except BaseException:
            with self._lock:
                self._running.discard(name)
                self._again.discard(name)
            raise

    def _take_turn(self, destination: Destination) -> None:
        owner = make_owner()
        progress = self._writer.run(begin, self._begin(destination.name, owner), durable=False)
        if progress is None:
            return
        turn = _Turn(destination, self._sender(destination), self._clock.monotonic_s() + _TURN_S)
        try:
            with ThreadPoolExecutor(destination.config.max_in_flight, f"deliver-{destination.name}") as pool:
                self._run(turn, owner, pool)
        finally:
            end = Finish(destination.name, owner, self._clock.now_ms(), self.job, turn.hold_until_ms)
            self._writer.run(finish, end, durable=False)

    def _begin(self, name: str, owner: str) -> Begin:
        now_ms = self._clock.now_ms()
        return Begin(name, owner, now_ms, now_ms + _LEASE_MS)

    def _run(self, turn: _Turn, owner: str, pool: ThreadPoolExecutor) -> None:
        """Keep as many attempts in flight as the destination allows, until nothing is due or the turn ends."""
        renew_at_s = self._clock.monotonic_s() + _LEASE_MS / 3000
        while True:
            now_s = self._clock.monotonic_s()
            has_time = now_s < turn.until_s and not turn.is_blocked and not turn.hold_until_ms
            if (has_time and self._wants_more(turn, now_s)) or now_s >= renew_at_s:
                self._take(turn, owner, has_time=has_time)
                renew_at_s = now_s + _LEASE_MS / 3000
            while turn.waiting and self._may_start(turn):
                self._start(turn, pool)
            if turn.is_blocked or turn.hold_until_ms:
                self._give_back(turn)
            if not turn.flying and (not turn.waiting or now_s >= turn.until_s):
                if turn.is_empty or turn.is_blocked or turn.hold_until_ms or now_s >= turn.until_s:
                    break
                continue
            if turn.flying:
                done, turn.flying = wait(turn.flying, _LOOK_S, FIRST_COMPLETED)
                for one in done:
                    one.result()
        self._give_back(turn)

    @staticmethod
    def _wants_more(turn: _Turn, now_s: float) -> bool:
        if turn.is_probing and (turn.flying or turn.waiting):
            return False
        if turn.is_empty and turn.flying and now_s < turn.taken_at_s + _LOOK_S:
            return False
        return len(turn.waiting) < turn.destination.config.max_in_flight

    def _take(self, turn: _Turn, owner: str, *, has_time: bool) -> None:
        config = turn.destination.config
        count = config.max_in_flight * 4 * turn.sender.batch - len(turn.waiting) if has_time else 0
        request = self._begin(turn.destination.name, owner)
        until_ms = request.now_ms + round(config.timeout_s * 10_000) + 600_000
        turn.taken_at_s = self._clock.monotonic_s()
        taken = self._writer.run(take, Take(request, count, until_ms), durable=False)
        if taken is None:
            turn.is_blocked = True
            return
        progress, found = taken
        turn.is_probing = progress.open_until is not None
        turn.is_blocked = bool(progress.paused) or progress.blocked_until() > request.now_ms
        turn.is_empty = not found
        items = {item.id: item for item in self._index.rows([one.item for one in found])} if found else {}
        turn.waiting.extend((one, items.get(one.item)) for one in found)

    def _may_start(self, turn: _Turn) -> bool:
        """Return whether an attempt may begin now, after a short wait for the destination's rate where it has one."""
        config = turn.destination.config
        if turn.is_blocked or len(turn.flying) >= config.max_in_flight:
            return False
        if config.rate is None:
            return True
        key = turn.destination.name, str(config.rate)
        pacer = self._pacers.get(key)
        if pacer is None:
            pacer = self._pacers[key] = Pacer(config.rate, self._clock)
        wait_s = pacer.take(_MAX_SLEEP_S)
        if wait_s > _MAX_SLEEP_S:
            turn.hold_until_ms = self._clock.now_ms() + round(wait_s * 1000)
            return False
        if wait_s > 0:
            self._clock.sleep(wait_s)
        return True

    def _start(self, turn: _Turn, pool: ThreadPoolExecutor) -> None:
        size = 1 if turn.destination.config.rate is not None else turn.sender.batch
        batch = [turn.waiting.popleft() for _ in range(min(size, len(turn.waiting)))]
        turn.flying.add(pool.submit(self._attempt, turn, batch))

    def _give_back(self, turn: _Turn) -> None:
        if turn.waiting:
            now_ms = self._clock.now_ms()
            name = turn.destination.name
            self._writer.run(
                record, [Ended(name, one, None, "waiting", now_ms) for one, _ in turn.waiting], durable=False
            )
            turn.waiting.clear()

    def _attempt(self, turn: _Turn, batch: Sequence[tuple[Pending, Item | None]]) -> None:
        """Attempt deliveries and write what came of them; in a thread of its own."""
        name, ended, outgoing = turn.destination.name, [], []
        for one, item in batch:
            try:
                outgoing.append((one, Outgoing(str(one.id), self._event(item))))
            except Missing:
                ended.append(Ended(name, one, None, "expired", None, self._clock.now_ms()))
            except UpstreamError as error:
                log.warning("delivery_unreadable", destination=name, delivery=str(one.id), error=str(error))
                ended.append(Ended(name, one, None, "waiting", self._clock.now_ms() + _UNREAD_MS))
        attempts = turn.sender.send([one for _, one in outgoing]) if outgoing else []
        for (one, _), attempt in zip(outgoing, attempts, strict=True):
            ended.append(self._plan(turn.destination, one, attempt))
            outcome = "delivered" if attempt.is_delivered else "failed"
            self._on_attempt(name, outcome, attempt.duration_ms / 1000)
        for change, end in zip(self._writer.run(record, ended, durable=False), ended, strict=True):
            self._report(turn, change, end)

    def _event(self, item: Item | None) -> Event:
        if item is None:
            raise ObjectMissing("the event", "it is no longer archived", "")
        body = item.body if item.body is not None else self._store.get(item.object_key)
        return event_of(item, item.received_at_ms, body)

    def _plan(self, destination: Destination, one: Pending, attempt: Attempt) -> Ended:
        """Return what follows from an attempt."""
        if attempt.is_delivered:
            return Ended(destination.name, one, attempt, "delivered", None)
        wait_s = next_wait_s(one.tries + 1, destination.config.schedule_s, attempt.retry_after_s)
        if wait_s is None or attempt.is_gone or attempt.is_final:
            return Ended(destination.name, one, attempt, "failed", None)
        return Ended(destination.name, one, attempt, "waiting", self._clock.now_ms() + round(wait_s * 1000))

    def _report(self, turn: _Turn, change: tuple[Progress, Progress], one: Ended) -> None:
        before, after = change
        facts = {"destination": one.destination, "delivery": str(one.delivery.id)}
        if one.attempt is not None and not one.attempt.is_delivered:
            level = log.warning if one.state == "failed" else log.info
            level(
                "delivery_failed", **facts, error=one.attempt.error, number=one.delivery.attempts + 1, state=one.state
            )
        if after.paused and not before.paused:
            log.error("destination_paused", alarm=True, destination=one.destination, why=after.paused)
        elif after.open_until is not None and before.open_until is None:
            log.warning("destination_failing", destination=one.destination, failures=after.failures)
        if after.paused or after.blocked_until() > self._clock.now_ms():
            turn.is_blocked = True
        elif after.open_until is None:
            turn.is_probing = False
