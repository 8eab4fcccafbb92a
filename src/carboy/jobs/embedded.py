"""The embedded engine: threads of this process take rows by lease and run them.

One thread, the keeper, leases rows and renews leases; the others run them. A worker that dies loses nothing: its rows
are requeued when their lease ends, or at once by a process on the same machine that finds the owner dead. A thread
whose job does not end counts as lost: the keeper takes no more rows than the remaining threads can begin.
"""

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from carboy.errors import Degraded
from carboy.jobs.engine_registry import JobEngine, Ready
from carboy.jobs.execution import Runner
from carboy.jobs.job_rows import (
    AT_ONCE,
    LeasedRow,
    LeaseRequest,
    give_back,
    prune,
    release_expired,
    renew,
    take,
)
from carboy.jobs.owner import make_owner
from carboy.jobs.periodic import requeue_orphaned
from carboy.logs import BoundLogger, get_logger

log: BoundLogger = get_logger("carboy.jobs")

_PRUNE_EVERY_S = 60.0


@dataclass(slots=True, eq=False)
class _Kept:
    """A row that this process has leased.

    Attributes:
        taken_s: the monotonic time of the lease.
        began_s: the monotonic time when its run began; None while it waits for a thread.
    """

    row: LeasedRow
    taken_s: float
    began_s: float | None = None


@dataclass(eq=False, repr=False)
class Embedded(JobEngine):
    """Takes and runs jobs until it is stopped."""

    def __post_init__(self) -> None:
        self._runner = Runner(self, lambda: self._stopping)
        self._owner = ""
        self._inbox: queue.SimpleQueue[_Kept | None] = queue.SimpleQueue()
        self._kept: dict[int, _Kept] = {}
        self._lost: list[_Kept] = []  # each keeps a thread that may never come back
        self._changed = threading.Condition()  # guards the attributes around it
        self._notified = self._stopping = False
        self._has_enough = not self.settings.jobs_concurrency  # rows: more would only wait here instead of there
        self._prefetch_at_s = 0.0
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
        keeper = threading.Thread(target=self._keep, name="carboy-jobs-keeper", daemon=True)
        numbers = range(self.settings.jobs_concurrency)
        workers = [threading.Thread(target=self._work, name=f"carboy-jobs-{one}", daemon=True) for one in numbers]
        self._threads = [keeper, *workers]
        for thread in self._threads:
            thread.start()

    def notify(self, rows: Sequence[Ready] = ()) -> None:
        """Take rows now, not at the next poll; which ones were added does not matter."""
        if self._notified or self._has_enough:
            return
        with self._changed:
            self._notified = True
            self._changed.notify_all()

    def check(self) -> None:
        """Report threads that are lost; the table is in the database, which has a check of its own.

        Raises:
            Degraded: jobs run for longer than their `timeout_s` allows and keep their threads.
        """
        with self._changed:
            kinds = sorted({kept.row.kind for kept in self._lost})
            count = len(self._lost)
        if count:
            raise Degraded(
                "the job engine",
                f"{count} of {self.settings.jobs_concurrency} threads are lost in jobs that do not end "
                f"({', '.join(kinds)})",
                "give these jobs timeouts of their own, and restart the process",
            )

    def stop(self, drain_s: float | None = None) -> bool:
        """Take no more rows, release those that have not begun, wait for the others; return whether all ended in time.

        Rows that still run after `drain_s` (`JOBS_DRAIN_S` by default) are released too: the process is about to end.
        """
        if not self._threads:
            return True
        deadline_s = self.clock.monotonic_s() + (self.settings.jobs_drain_s if drain_s is None else drain_s)
        with self._changed:
            self._stopping = True
            waiting = [row_id for row_id, kept in self._kept.items() if kept.began_s is None]
            for row_id in waiting:
                del self._kept[row_id]
            self._changed.notify_all()
        for _ in range(self.settings.jobs_concurrency):
            self._inbox.put(None)
        self._return(waiting, counts=False)
        with self._changed:
            while self._kept and (left_s := deadline_s - self.clock.monotonic_s()) > 0:
                self._changed.wait(left_s)
            unfinished = [*self._kept, *(kept.row.id for kept in self._lost)]
            self._kept.clear()
            self._changed.notify_all()
        self._return(unfinished, counts=True)
        self._threads[0].join(max(0.0, deadline_s - self.clock.monotonic_s()))  # it releases what it just took
        self.registry.stop(max(0.0, deadline_s - self.clock.monotonic_s()))
        return not unfinished

    # --- the keeper: takes rows, renews their leases, looks after those of others ---

    def _keep(self) -> None:
        lease_at_s = sweep_at_s = self.clock.monotonic_s() + self.settings.jobs_lease_s / 3
        prune_at_s = self.clock.monotonic_s()
        has_requeued = False
        while not self._stopping or self._kept:
            wait_s = self.settings.jobs_poll_s
            try:
                if not has_requeued:
                    self._requeue_orphaned()
                    has_requeued = True
                now_s = self.clock.monotonic_s()
                if now_s >= lease_at_s:
                    self._renew(now_s)
                    lease_at_s = now_s + self.settings.jobs_lease_s / 3
                if not self._stopping:
                    wait_s = min(wait_s, self._take())
                if now_s >= sweep_at_s:
                    self._release_expired()
                    sweep_at_s = now_s + min(self.settings.jobs_lease_s / 3, 5.0)
                if now_s >= prune_at_s and not self._stopping:
                    more = self._prune()
                    prune_at_s = now_s + (0.0 if more else _PRUNE_EVERY_S)
                    wait_s = 0.0 if more else wait_s
            except Exception as error:  # noqa: BLE001 (the keeper outlives every fault of the database)
                log.warning("jobs_database_failed", error=str(error))
            with self._changed:
                if not self._notified and (not self._stopping or self._kept):
                    self._changed.wait(wait_s)
                self._notified = False

    def _room(self) -> int:
        """Return how many rows to take: one for each thread that is free, and some that begin soon."""
        with self._changed:
            live = self.settings.jobs_concurrency - len(self._lost)
            ahead = live if self.clock.monotonic_s() >= self._prefetch_at_s else 0
            room = live + ahead - len(self._kept)
        return room if room > ahead // 2 else 0

    def _take(self) -> float:
        """Fill the inbox; return for how many seconds there is nothing to take."""
        room = self._room()
        if room <= 0 or not self.registry.kinds:
            return self.settings.jobs_poll_s
        now_ms = self.clock.now_ms()
        request = LeaseRequest(
            self._owner,
            self.registry.kinds,
            self.registry.priorities,
            room,
            now_ms,
            now_ms + round(self.settings.jobs_lease_s * 1000),
        )
        got = self.writer.run(take, request, durable=False)  # a power cut ends the lease with its owner
        if not self._hand_out(got.rows):
            self._return([row.id for row in got.rows], counts=False)
        if got.next_at_ms is None or self._has_enough:
            return self.settings.jobs_poll_s
        return max(0.0, (got.next_at_ms - now_ms) / 1000)

    def _hand_out(self, rows: Sequence[LeasedRow]) -> bool:
        """Give rows to the threads; return False, and do nothing, where a stop came first."""
        with self._changed:
            if self._stopping:
                return False
            now_s = self.clock.monotonic_s()
            for row in rows:
                kept = self._kept[row.id] = _Kept(row, now_s)
                self._inbox.put(kept)
            self._has_enough = len(self._kept) > self.settings.jobs_concurrency - len(self._lost)
            return True

    def _renew(self, now_s: float) -> None:
        """Renew the leases of rows that run in time, or that wait for a thread and not for longer than a lease."""
        lease_s = self.settings.jobs_lease_s
        renewed: list[int] = []
        late: list[int] = []  # another process may have a thread free
        overdue: list[LeasedRow] = []
        with self._changed:
            for row_id, kept in list(self._kept.items()):
                if kept.began_s is None and now_s - kept.taken_s > lease_s:
                    late.append(row_id)
                    self._prefetch_at_s = now_s + lease_s
                elif kept.began_s is not None and now_s - kept.began_s > self.registry.get(kept.row.kind).timeout_s:
                    overdue.append(kept.row)
                    self._lost.append(kept)
                else:
                    renewed.append(row_id)
                    continue
                del self._kept[row_id]
            if len(self._lost) >= self.settings.jobs_concurrency:  # no thread is left to begin what waits
                late += self._kept
                renewed.clear()
                self._kept.clear()
        for row in overdue:
            log.warning("job_overdue", job_id=str(row.id), kind=row.kind)
        self._return(late, counts=False)
        until_ms = self.clock.now_ms() + round(lease_s * 1000)
        if renewed:
            self.writer.run(renew, (self._owner, renewed, until_ms), durable=False)

    def _release_expired(self) -> None:
        count = self.writer.run(release_expired, (self.clock.now_ms(), ()))
        if count:
            log.warning("job_leases_ended", count=count)
            self._notified = True

    def _requeue_orphaned(self) -> None:
        while requeued := self.writer.run(requeue_orphaned, self.clock.now_ms()):
            log.info("job_leases_released", count=len(requeued))

    def _prune(self) -> bool:
        before_ms = self.clock.now_ms() - round(float(self.settings.jobs_retention) * 1000)
        return self.writer.run(prune, before_ms) >= AT_ONCE

    # --- the workers ---

    def _work(self) -> None:
        while (kept := self._inbox.get()) is not None:
            with self._changed:
                if self._kept.get(kept.row.id) is not kept:  # released, or lost and leased again, before it began
                    continue
                kept.began_s = self.clock.monotonic_s()
            try:
                self._runner.run(kept.row, self._owner)
            finally:
                self._release(kept)

    def _release(self, kept: _Kept) -> None:
        with self._changed:
            if self._kept.get(kept.row.id) is kept:
                del self._kept[kept.row.id]
            if kept in self._lost:
                self._lost.remove(kept)
            if len(self._kept) <= self.settings.jobs_concurrency - len(self._lost):
                self._has_enough = False
                self._notified = True
                self._changed.notify_all()

    def _return(self, ids: list[int], *, counts: bool) -> None:
        if not ids:
            return
        try:
            self.writer.run(give_back, (self._owner, ids, counts))
        except Exception as error:  # noqa: BLE001 (they come back when their lease ends)
            log.warning("jobs_not_released", count=len(ids), error=str(error))
