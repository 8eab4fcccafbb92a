"""The embedded engine: threads of this process take rows by lease and run them.

One thread takes and keeps leases, the others run. A worker that dies in the middle loses nothing: its rows are taken
again when their lease ends, or at once by a process on the same machine that sees that it is gone.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.db.group_commit import GroupCommit
from carboy.jobs.definitions import Registry
from carboy.jobs.engines import Ready
from carboy.jobs.execution import Runner
from carboy.jobs.owner import is_dead, make_owner
from carboy.jobs.rows import AT_ONCE, LeasedRow, LeaseRequest, give_back, owners, prune, release_expired, renew, take
from carboy.jobs.settings import JobsSettings
from carboy.logs import BoundLogger, get_logger

__all__ = ["Embedded"]

log: BoundLogger = get_logger("carboy.jobs")

_PRUNE_EVERY_S = 60.0


@dataclass(slots=True, eq=False)
class _Held:
    """A row in the hands of this process, and the monotonic time when its run began (None: it waits)."""

    row: LeasedRow
    began_s: float | None = None


class Embedded:
    """Takes and runs jobs until it is stopped.

    Args:
        writer: the process's door for writes.
        registry: the jobs that are known here; rows of other kinds are left to others.
        settings: concurrency, lease, retention.
        context: entered around each job, such as `app.app_context`.
        clock: what time it is.
        on_end: told kind, outcome and seconds of each try, for the metrics.
    """

    def __init__(
        self,
        writer: GroupCommit,
        registry: Registry,
        settings: JobsSettings,
        *,
        context: Callable[[], AbstractContextManager[Any]] = nullcontext,
        clock: Clock = SYSTEM_CLOCK,
        on_end: Callable[[str, str, float], None] | None = None,
    ) -> None:
        self._writer, self._registry, self._settings, self._clock = writer, registry, settings, clock
        self._runner = Runner(
            writer,
            registry,
            settings,
            context=context,
            clock=clock,
            on_end=on_end,
            is_stopping=lambda: self._stopping,
        )
        self._owner = ""
        self._inbox: queue.SimpleQueue[_Held | None] = queue.SimpleQueue()
        self._held: dict[int, _Held] = {}
        self._changed = threading.Condition()  # guards what stands around it
        self._woken = self._stopping = False
        self._has_enough = not settings.jobs_concurrency  # rows: more would only wait here instead of there
        self._threads: list[threading.Thread] = []

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped."""
        return bool(self._threads) and not self._stopping

    def start(self) -> None:
        """Start the threads; call it in the process that does the work, after any fork."""
        if self._threads:
            return
        self._owner = make_owner()
        names = ["keeper", *(f"{number}" for number in range(self._settings.jobs_concurrency))]
        targets = [self._keep, *[self._work] * self._settings.jobs_concurrency]
        self._threads = [
            threading.Thread(target=target, name=f"carboy-jobs-{name}", daemon=True)
            for name, target in zip(names, targets, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Say that rows were added, so that they are taken now and not at the next look."""
        if self._woken or self._has_enough:
            return
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def notify(self, rows: Sequence[Ready]) -> None:
        """Say that rows were added, whichever: they are all in the table."""
        self.wake()

    def check(self) -> None:
        """Ask nobody: the table is in the database, which has a check of its own."""

    def stop(self, drain_s: float | None = None) -> bool:
        """Take no more, give back what has not begun, wait for what runs; return whether all of it ended in time.

        What still runs after `drain_s` (`JOBS_DRAIN_S` by default) is given back too: the process is about to end.
        """
        if not self._threads:
            return True
        deadline_s = self._clock.monotonic_s() + (self._settings.jobs_drain_s if drain_s is None else drain_s)
        with self._changed:
            self._stopping = True
            waiting = [row_id for row_id, held in self._held.items() if held.began_s is None]
            for row_id in waiting:
                del self._held[row_id]
            self._changed.notify_all()
        for _ in range(self._settings.jobs_concurrency):
            self._inbox.put(None)
        self._return(waiting, counts=False)
        with self._changed:
            while self._held and (left_s := deadline_s - self._clock.monotonic_s()) > 0:
                self._changed.wait(left_s)
            unfinished = list(self._held)
            self._held.clear()
            self._changed.notify_all()
        self._return(unfinished, counts=True)
        self._threads[0].join(max(0.0, deadline_s - self._clock.monotonic_s()))  # it gives back what it just took
        return not unfinished

    # --- the keeper: takes rows, keeps their leases, looks after those of others ---

    def _keep(self) -> None:
        lease_at_s = sweep_at_s = self._clock.monotonic_s() + self._settings.jobs_lease_s / 3
        prune_at_s = self._clock.monotonic_s()
        knows_the_gone = False
        while not self._stopping or self._held:
            wait_s = self._settings.jobs_poll_s
            try:
                if not knows_the_gone:
                    self._release_the_gone()
                    knows_the_gone = True
                if not self._stopping:
                    wait_s = min(wait_s, self._take())
                now_s = self._clock.monotonic_s()
                if now_s >= lease_at_s:
                    self._renew(now_s)
                    lease_at_s = now_s + self._settings.jobs_lease_s / 3
                if now_s >= sweep_at_s:
                    self._release_expired()
                    sweep_at_s = now_s + min(self._settings.jobs_lease_s / 3, 5.0)
                if now_s >= prune_at_s and not self._stopping:
                    more = self._prune()
                    prune_at_s = now_s + (0.0 if more else _PRUNE_EVERY_S)
                    wait_s = 0.0 if more else wait_s
            except Exception as error:  # noqa: BLE001 (the keeper outlives every fault of the database)
                log.warning("jobs_database_failed", error=str(error))
            with self._changed:
                if not self._woken and (not self._stopping or self._held):
                    self._changed.wait(wait_s)
                self._woken = False

    def _take(self) -> float:
        """Fill the inbox; return for how many seconds there is nothing to take."""
        concurrency = self._settings.jobs_concurrency
        room = 2 * concurrency - len(self._held)
        if room <= concurrency // 2 or not self._registry.kinds:
            return self._settings.jobs_poll_s
        now_ms = self._clock.now_ms()
        wish = LeaseRequest(
            self._owner,
            self._registry.kinds,
            self._registry.priorities,
            room,
            now_ms,
            now_ms + round(self._settings.jobs_lease_s * 1000),
        )
        got = self._writer.run(take, wish, durable=False)  # a power cut ends the lease with its holder
        if not self._hold(got.rows):
            self._return([row.id for row in got.rows], counts=False)
        if got.next_at_ms is None or self._has_enough:
            return self._settings.jobs_poll_s
        return max(0.0, (got.next_at_ms - now_ms) / 1000)

    def _hold(self, rows: Sequence[LeasedRow]) -> bool:
        """Hand rows to the workers; return False, and do nothing, where a stop came first."""
        with self._changed:
            if self._stopping:
                return False
            for row in rows:
                held = self._held[row.id] = _Held(row)
                self._inbox.put(held)
            self._has_enough = len(self._held) > self._settings.jobs_concurrency
            return True

    def _renew(self, now_s: float) -> None:
        overdue: list[LeasedRow] = []
        keep: list[int] = []
        with self._changed:
            for held in self._held.values():
                limit_s = self._registry.get(held.row.kind).timeout_s
                if held.began_s is not None and now_s - held.began_s > limit_s:
                    overdue.append(held.row)
                else:
                    keep.append(held.row.id)
        until_ms = self._clock.now_ms() + round(self._settings.jobs_lease_s * 1000)
        if keep:
            self._writer.run(renew, (self._owner, keep, until_ms), durable=False)
        for row in overdue:
            log.warning("job_overdue", job_id=str(row.id), kind=row.kind)

    def _release_expired(self) -> None:
        count = self._writer.run(release_expired, (self._clock.now_ms(), ()))
        if count:
            log.warning("job_leases_ended", count=count)
            self._woken = True

    def _release_the_gone(self) -> None:
        def look(connection: Any, wishes: Any) -> list[list[str]]:
            return [owners(connection)] * len(wishes)

        gone = tuple(owner for owner in self._writer.run(look, None) if is_dead(owner))
        count = self._writer.run(release_expired, (self._clock.now_ms(), gone))
        if count:
            log.info("job_leases_released", count=count)

    def _prune(self) -> bool:
        before_ms = self._clock.now_ms() - round(float(self._settings.jobs_retention) * 1000)
        return self._writer.run(prune, before_ms) >= AT_ONCE

    # --- the workers ---

    def _work(self) -> None:
        while (held := self._inbox.get()) is not None:
            with self._changed:
                if self._held.get(held.row.id) is not held:  # given back, or lost and taken again, before it began
                    continue
                held.began_s = self._clock.monotonic_s()
            try:
                self._runner.run(held.row, self._owner)
            finally:
                self._let_go(held)

    def _let_go(self, held: _Held) -> None:
        with self._changed:
            if self._held.get(held.row.id) is held:
                del self._held[held.row.id]
            if len(self._held) <= self._settings.jobs_concurrency:
                self._has_enough = False
                self._woken = True
                self._changed.notify_all()

    def _return(self, ids: list[int], *, counts: bool) -> None:
        if not ids:
            return
        try:
            self._writer.run(give_back, (self._owner, ids, counts))
        except Exception as error:  # noqa: BLE001 (they come back when their lease ends)
            log.warning("jobs_not_given_back", count=len(ids), error=str(error))
