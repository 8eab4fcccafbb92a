"""Deliver: take what is due for a destination, attempt it, and write what came of it.

The job `archive.deliver` has a turn of some seconds at one destination; what is left gets the next job. Of the job
engine's threads some are always left for other work, and a turn at a destination that hangs leaves its thread to the
destinations that wait for one. Attempts are written in batches by one thread, so that those that send never wait for
the database.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from carboy.clock import Clock
from carboy.errors import CarboyError, Missing, Unreachable, UpstreamError
from carboy.jobs import Job, Later, make_owner
from carboy.logs import BoundLogger, get_logger
from carboy.services.archive.destinations.config import Destination
from carboy.services.archive.destinations.events import Event, event_of
from carboy.services.archive.destinations.kinds import Outgoing, Sender, caught
from carboy.services.archive.destinations.replay import read_bytes
from carboy.services.archive.destinations.rows import Begin, Ended, Finish, Pending, Take, begin, finish, record, take
from carboy.services.archive.destinations.turn import Turn, Work
from carboy.services.archive.items import Item
from carboy.services.archive.objects import ObjectMissing, Store
from carboy.services.archive.pacer import Pacer
from carboy.webhooks import Attempt, Progress, next_wait_s

if TYPE_CHECKING:
    from carboy.db import Apply, GroupCommit
    from carboy.services.archive.index import Index

log: BoundLogger = get_logger("carboy.archive")

T = TypeVar("T")
R = TypeVar("R")

_TURN_S = 10.0
_LONGEST_S = 330.0  # a turn, and an attempt of five minutes that begins at its end
_LEASE_MS = 15_000
_LOOK_S = 0.1
_UNREAD_MS = 5_000
_AWAY_S = 0.5
_STALLED_S = 2.0

OnAttempt = Callable[[str, str, float], None]
"""Gets the destination, `delivered` or `failed`, and the seconds of each attempt, for the metrics."""


@dataclass(slots=True)
class _Place:
    """A turn's place among those that this process may have at the same time.

    Attributes:
        moved_at_s: when an attempt ended last.
        has_left: whether the job ended before the turn.
    """

    moved_at_s: float
    has_left: bool = False
    is_stopping: bool = False
    error: BaseException | None = None
    is_over: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class _Running:
    """A turn of this process, its threads, and its lease."""

    turn: Turn
    owner: str
    place: _Place
    leased_until_s: float
    threads: list[threading.Thread] = field(default_factory=list)
    looked_at_s: float = 0.0
    is_empty: bool = False


class Deliverer:
    """Delivers to all destinations.

    Args:
        destinations: returns them by name, as the settings are now.
        sender: returns what makes the attempts of one.
        most: jobs that deliver at the same time in this process.
        on_attempt: counts attempts.
        may_leave: whether a turn may go on after its job, which a function of Lambda cannot.
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
        may_leave: bool = True,
    ) -> None:
        self._destinations, self._sender = destinations, sender
        self._index, self._store, self._writer, self._clock = index, store, writer, clock
        self._most, self._on_attempt, self._may_leave = most, on_attempt, may_leave
        self._lock = threading.Lock()
        self._running: dict[str, _Place] = {}
        self._owner, self._pid = "", 0
        self._refused_at_s = float("-inf")
        self._again: set[str] = set()
        self._pacers: dict[tuple[str, str], Pacer] = {}
        self.job: Job[[str]] = Job("archive.deliver", self.deliver, attempts=None, timeout_s=_LONGEST_S)

    def deliver(self, name: str) -> None:
        """Deliver what is due for a destination.

        Raises:
            Later: this process delivers to as many destinations as it may.
        """
        if self._enabled(name) is None:
            return
        place = self._enter(name)
        if place is None:
            return
        arguments = (self._take_turns, name, place)
        threading.Thread(target=copy_context().run, args=arguments, name=f"deliver-{name}", daemon=True).start()
        while not place.is_over.wait(_LOOK_S):
            if self._leave(place):
                return
        if place.error is not None:
            raise place.error

    def stop(self, patience_s: float) -> None:
        """End the turns that go on after their jobs: no attempt begins, and those in flight have `patience_s`."""
        deadline_s = self._clock.monotonic_s() + patience_s
        with self._lock:
            places = list(self._running.values())
            for place in places:
                place.is_stopping = True
        for place in places:
            place.is_over.wait(max(0.0, deadline_s - self._clock.monotonic_s()))

    def _enabled(self, name: str) -> Destination | None:
        """Return a destination as the settings are now; None for an unknown name, and where it is not enabled."""
        found = self._destinations().get(name)
        return found if found is not None and found.config.enabled else None

    def _enter(self, name: str) -> _Place | None:
        """Return a place; None where the destination has its turn already, which then looks again at its end."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            if name in self._running:
                self._again.add(name)
                return None
            if sum(not one.has_left for one in self._running.values()) >= self._most:
                self._refused_at_s = now_s
                raise Later("deliveries to other destinations come first", 0.5)
            if self._pid != os.getpid():  # at first, and after a fork
                self._owner, self._pid = make_owner(), os.getpid()
            place = self._running[name] = _Place(now_s)
            return place

    def _leave(self, place: _Place) -> bool:
        """Let the turn go on without its job where it hangs and others wait for a thread; return whether it does."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            is_hanging = now_s - place.moved_at_s > _STALLED_S
            place.has_left = self._may_leave and is_hanging and now_s - self._refused_at_s < _STALLED_S
            return place.has_left

    def _take_turns(self, name: str, place: _Place) -> None:
        """Have turns at a destination until none asks for another; in a thread of its own."""
        try:
            while True:
                if (destination := self._enabled(name)) is not None:
                    self._take_turn(destination, place)
                with self._lock:
                    is_wanted = name in self._again and not place.is_stopping
                    self._again.discard(name)
                    if not is_wanted:
                        del self._running[name]
                        break
        except BaseException as error:  # noqa: BLE001 (whatever it is, the job has it)
            with self._lock:
                self._running.pop(name, None)
                self._again.discard(name)
            place.error = error
            if place.has_left:
                why, hint = str(error), "it is tried again soon"
                log.warning("destination_turn_failed", destination=name, error=why, hint=hint)
        finally:
            place.is_over.set()

    def _take_turn(self, destination: Destination, place: _Place) -> None:
        """Have one turn, unless another process has it.

        All turns of a process have one owner: a lease whose commit was not confirmed, as the database was slow, is its
        own at the next try.
        """
        owner, pacer = self._owner, self._pacer(destination)
        progress = self._writer.run(begin, self._begin(destination.name, owner), durable=False)
        if progress is None:
            return
        turn = Turn(destination, self._sender(destination).batch, progress, pacer, self._clock)
        running = _Running(turn, owner, place, self._clock.monotonic_s() + _LEASE_MS / 1000)
        try:
            self._run(running)
        finally:
            now_ms = self._clock.now_ms()
            hold_ms = turn.hold_until_ms or (0 if pacer is None else now_ms + round(pacer.take(-1.0) * 1000))
            self._write(running, finish, Finish(destination.name, owner, now_ms, self.job, hold_ms))

    def _begin(self, name: str, owner: str) -> Begin:
        now_ms = self._clock.now_ms()
        return Begin(name, owner, now_ms, now_ms + _LEASE_MS)

    def _pacer(self, destination: Destination) -> Pacer | None:
        rate = destination.config.rate
        if rate is None:
            return None
        key = destination.name, str(rate)
        if key not in self._pacers:
            self._pacers[key] = Pacer(rate, self._clock)
        return self._pacers[key]

    def _run(self, running: _Running) -> None:
        """Keep as many attempts in flight as the destination allows, until nothing is due or the turn ends."""
        turn, until_s = running.turn, self._clock.monotonic_s() + _TURN_S
        try:
            while True:
                now_s = self._clock.monotonic_s()
                if now_s >= until_s or running.place.is_stopping or not turn.may_send:
                    self._give_back(running)
                self._take(running, now_s)
                self._record(running, turn.collect(_LOOK_S))
                if turn.is_idle and (running.is_empty or not turn.may_send):
                    return
        finally:
            turn.close()
            for thread in running.threads:
                thread.join()
            self._record(running, turn.collect(0.0))

    def _take(self, running: _Running, now_s: float) -> None:
        """Renew the lease and take what is due, where either is needed."""
        turn, in_flight = running.turn, running.turn.destination.config.in_flight
        room = turn.room(in_flight) if turn.may_send else 0
        if running.is_empty and not turn.is_idle and now_s < running.looked_at_s + _LOOK_S:
            room = 0
        if not room and now_s < running.leased_until_s - _LEASE_MS / 1500:
            return
        request = self._begin(turn.destination.name, running.owner)
        ends_ms = request.now_ms + round(turn.destination.config.timeout_s * 10_000) + 600_000
        running.looked_at_s = now_s
        taken = self._write(running, take, Take(request, room, ends_ms))
        if taken is None:
            log.warning("destination_lease_lost", destination=turn.destination.name)
            turn.stop()
            return
        running.leased_until_s = now_s + _LEASE_MS / 1000
        progress, found = taken
        running.is_empty = not found
        items = {item.id: item for item in self._index.rows([one.item for one in found])} if found else {}
        wanted = min(in_flight, turn.add([Work(one, items.get(one.item)) for one in found], progress))
        while len(running.threads) < wanted:
            name = f"deliver-{turn.destination.name}-{len(running.threads)}"
            thread = threading.Thread(target=self._send, args=(running,), name=name, daemon=True)
            running.threads.append(thread)
            thread.start()

    def _give_back(self, running: _Running) -> None:
        """Let the turn end: what was not attempted waits again, in its place."""
        waiting, name = running.turn.stop(), running.turn.destination.name
        if waiting:
            ended = [Ended(name, one.delivery, None, "waiting", one.delivery.due_ms) for one in waiting]
            self._write(running, record, ended)

    def _record(self, running: _Running, ended: Sequence[Ended]) -> None:
        if ended:
            running.place.moved_at_s = self._clock.monotonic_s()
            for change, end in zip(self._write(running, record, ended), ended, strict=True):
                self._report(running.turn, change, end)

    def _write(self, running: _Running, apply: "Apply[T, R]", item: T) -> R:
        """Write, again and again while the database is away and the lease lasts."""
        while True:
            try:
                return self._writer.run(apply, item, durable=False)
            except Unreachable:
                if self._clock.monotonic_s() >= running.leased_until_s:
                    raise
                self._clock.sleep(_AWAY_S)

    # --- the threads that send ---

    def _send(self, running: _Running) -> None:
        """Attempt deliveries until the turn ends; in a thread of its own."""
        turn = running.turn
        while (batch := turn.next()) is not None:
            ended: list[Ended] = []
            try:
                self._attempt(running, batch, ended)
            finally:
                turn.put(ended)

    def _attempt(self, running: _Running, batch: Sequence[Work], ended: list[Ended]) -> None:
        destination, outgoing = running.turn.destination, []
        for one in batch:
            try:
                outgoing.append((one.delivery, Outgoing(str(one.delivery.id), self._event(one.item))))
            except Missing:
                ended.append(Ended(destination.name, one.delivery, None, "expired", None, self._clock.now_ms()))
            except UpstreamError as error:
                facts = {"destination": destination.name, "delivery": str(one.delivery.id)}
                log.warning("delivery_unreadable", **facts, error=str(error))
                again_ms = self._clock.now_ms() + _UNREAD_MS
                ended.append(Ended(destination.name, one.delivery, None, "waiting", again_ms))
        attempts = self._attempts(running, [each for _, each in outgoing])
        for (delivery, _), attempt in zip(outgoing, attempts, strict=True):
            ended.append(self._plan(destination, delivery, attempt))
            outcome = "delivered" if attempt.is_delivered else "failed"
            self._on_attempt(destination.name, outcome, attempt.duration_ms / 1000)

    def _attempts(self, running: _Running, outgoing: Sequence[Outgoing]) -> Sequence[Attempt]:
        if not outgoing:
            return []
        at_ms, name = self._clock.now_ms(), running.turn.destination.name
        try:
            now = self._enabled(name) or running.turn.destination  # secrets as they are now
            return self._sender(now).send(outgoing)
        except Exception as error:
            is_known, kind = isinstance(error, CarboyError), type(error).__name__
            log.error("delivery_not_attempted", destination=name, error=kind, exc_info=not is_known)
            return [caught(error, at_ms, max(0, self._clock.now_ms() - at_ms))] * len(outgoing)

    def _event(self, item: Item | None) -> Event:
        if item is None:
            raise ObjectMissing("the event", "it is no longer archived", "")
        return event_of(item, item.received_at_ms, read_bytes(self._store, item))

    def _plan(self, destination: Destination, one: Pending, attempt: Attempt) -> Ended:
        """Return what follows from an attempt."""
        if attempt.is_delivered:
            return Ended(destination.name, one, attempt, "delivered", None)
        wait_s = next_wait_s(one.tries + 1, destination.config.schedule_s, attempt.retry_after_s)
        if wait_s is None or attempt.is_gone or attempt.is_final:
            return Ended(destination.name, one, attempt, "failed", None)
        return Ended(destination.name, one, attempt, "waiting", self._clock.now_ms() + round(wait_s * 1000))

    @staticmethod
    def _report(turn: Turn, change: tuple[Progress, Progress], one: Ended) -> None:
        before, after = change
        facts = {"destination": one.destination, "delivery": str(one.delivery.id)}
        if one.attempt is not None and not one.attempt.is_delivered:
            level = log.warning if one.state == "failed" else log.info
            number = one.delivery.attempts + 1
            level("delivery_failed", **facts, error=one.attempt.error, number=number, state=one.state)
        if after.paused:
            turn.pause(after.paused)
        if after.paused and not before.paused:
            log.error("destination_paused", alarm=True, destination=one.destination, why=after.paused)
        elif after.open_until is not None and before.open_until is None:
            log.warning("destination_failing", destination=one.destination, failures=after.failures)
