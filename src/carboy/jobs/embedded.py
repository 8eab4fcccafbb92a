"""The embedded engine: threads of this process take rows by lease and run them.

One thread takes and keeps leases, the others run. A worker that dies in the middle loses nothing: its rows are taken
again when their lease ends, or at once by a process on the same machine that sees that it is gone.
"""

import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.db.group_commit import GroupCommit
from carboy.errors import CarboyError
from carboy.jobs.definitions import Commit, Dead, Done, Later, Outcome, Registry, plan_failure
from carboy.jobs.owner import is_gone, make_owner
from carboy.jobs.rows import Settled, Take, Taken, give_back, owners, prune, release_expired, renew, settle, take
from carboy.jobs.settings import JobsSettings
from carboy.logs import get_logger, request_context

__all__ = ["Embedded"]

log = get_logger("carboy.jobs")

_PRUNE_EVERY_S = 60.0


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
        self._writer, self._registry, self._settings = writer, registry, settings
        self._context, self._clock, self._on_end = context, clock, on_end
        self._owner = ""
        self._inbox: queue.SimpleQueue[Taken | None] = queue.SimpleQueue()
        self._held: dict[int, tuple[Taken, float | None]] = {}  # row id → row, monotonic start (None: not begun)
        self._changed = threading.Condition()
        self._woken = self._stopping = False
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
        self._release_the_gone()
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
        if self._woken:
            return
        with self._changed:
            self._woken = True
            self._changed.notify()

    def stop(self, drain_s: float | None = None) -> bool:
        """Take no more, give back what has not begun, wait for what runs; return whether all of it ended in time.

        What still runs after `drain_s` (`JOBS_DRAIN_S` by default) is given back too: the process is about to end.
        """
        if not self._threads:
            return True
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        waiting = [row_id for row_id, (_, started) in list(self._held.items()) if started is None]
        self._return(waiting, counts=False)
        for _ in range(self._settings.jobs_concurrency):
            self._inbox.put(None)
        deadline = self._clock.monotonic_s() + (self._settings.jobs_drain_s if drain_s is None else drain_s)
        with self._changed:
            while self._held and (left := deadline - self._clock.monotonic_s()) > 0:
                self._changed.wait(min(left, 0.5))
        unfinished = list(self._held)
        self._return(unfinished, counts=True)
        return not unfinished

    # --- the keeper: takes rows, keeps their leases, looks after those of others ---

    def _keep(self) -> None:
        lease_at = sweep_at = self._clock.monotonic_s() + self._settings.jobs_lease_s / 3
        prune_at = self._clock.monotonic_s()
        while not self._stopping:
            wait_s = self._settings.jobs_poll_s
            try:
                wait_s = min(wait_s, self._take())
                now = self._clock.monotonic_s()
                if now >= lease_at:
                    lease_at = now + self._settings.jobs_lease_s / 3
                    self._renew(now)
                if now >= sweep_at:
                    sweep_at = now + min(self._settings.jobs_lease_s / 3, 5.0)
                    self._release_expired()
                if now >= prune_at:
                    more = self._prune()
                    prune_at = now + (0.0 if more else _PRUNE_EVERY_S)
            except Exception as error:  # noqa: BLE001 (the keeper outlives every fault of the database)
                log.warning("jobs_database_failed", error=str(error))
            with self._changed:
                if not self._woken and not self._stopping:
                    self._changed.wait(wait_s)
                self._woken = False

    def _take(self) -> float:
        """Fill the inbox; return for how many seconds there is nothing to take."""
        concurrency = self._settings.jobs_concurrency
        room = 2 * concurrency - len(self._held)
        if room <= concurrency // 2 or not self._registry.kinds:
            return self._settings.jobs_poll_s
        now_ms = self._clock.now_ms()
        wish = Take(
            self._owner,
            self._registry.kinds,
            self._registry.priorities,
            room,
            now_ms,
            now_ms + round(self._settings.jobs_lease_s * 1000),
        )
        got = self._writer.run(take, wish)
        for row in got.rows:
            self._held[row.id] = (row, None)
            self._inbox.put(row)
        if got.next_at_ms is None or len(self._held) > concurrency:
            return self._settings.jobs_poll_s
        return max(0.0, (got.next_at_ms - now_ms) / 1000)

    def _renew(self, now: float) -> None:
        overdue: list[int] = []
        keep: list[int] = []
        for row_id, (row, started) in list(self._held.items()):
            late = started is not None and now - started > self._registry.get(row.kind).timeout_s
            (overdue if late else keep).append(row_id)
        until_ms = self._clock.now_ms() + round(self._settings.jobs_lease_s * 1000)
        if keep:
            self._writer.run(renew, (self._owner, keep, until_ms))
        for row_id in overdue:
            log.warning("job_overdue", job_id=str(row_id), kind=self._held[row_id][0].kind)

    def _release_expired(self) -> None:
        count = self._writer.run(release_expired, (self._clock.now_ms(), ()))
        if count:
            log.warning("job_leases_ended", count=count)
            self._woken = True

    def _release_the_gone(self) -> None:
        def look(connection: Any, wishes: Any) -> list[list[str]]:
            return [owners(connection)] * len(wishes)

        gone = tuple(owner for owner in self._writer.run(look, None) if is_gone(owner))
        count = self._writer.run(release_expired, (self._clock.now_ms(), gone))
        if count:
            log.info("job_leases_released", count=count)

    def _prune(self) -> bool:
        before_ms = self._clock.now_ms() - round(float(self._settings.jobs_retention) * 1000)
        return self._writer.run(prune, before_ms) >= 1000

    # --- the workers ---

    def _work(self) -> None:
        while (row := self._inbox.get()) is not None:
            if self._stopping or row.id not in self._held:
                continue
            self._held[row.id] = (row, self._clock.monotonic_s())
            try:
                self._run(row)
            finally:
                self._held.pop(row.id, None)
                if len(self._held) <= self._settings.jobs_concurrency or self._stopping:
                    self.wake()

    def _run(self, row: Taken) -> None:
        started = self._clock.monotonic_s()
        one = self._registry.get(row.kind)
        outcome: Outcome = Done()
        commit: Commit | None = None
        with request_context(request_id=row.request_id, job_id=str(row.id), job=row.kind):
            try:
                if row.attempt > one.attempts:
                    outcome = Dead(f"its worker was lost in each of {one.attempts} tries")
                else:
                    with self._context():
                        answer = one.function(*row.args)
                    commit = answer if isinstance(answer, Commit) else None
            except Exception as error:  # noqa: BLE001 (whatever a job raises decides what becomes of its row)
                outcome = plan_failure(one, row.attempt, error, self._clock.now_ms())
                _tell(outcome, row, error)
            self._settle(row, outcome, commit)
        if self._on_end:
            self._on_end(row.kind, type(outcome).__name__.lower(), self._clock.monotonic_s() - started)

    def _settle(self, row: Taken, outcome: Outcome, commit: Commit | None) -> None:
        settled = Settled(row.id, self._owner, row.attempt, outcome, self._clock.now_ms())
        try:
            self._writer.run(_settle_with, (commit, settled))
        except Exception as error:  # noqa: BLE001 (the row stays held until its lease ends, and is then done again)
            log.warning("job_not_settled", error=str(error), outcome=type(outcome).__name__.lower())

    def _return(self, ids: list[int], *, counts: bool) -> None:
        if not ids:
            return
        for row_id in ids:
            self._held.pop(row_id, None)
        try:
            self._writer.run(give_back, (self._owner, ids, counts))
        except Exception as error:  # noqa: BLE001 (they come back when their lease ends)
            log.warning("jobs_not_given_back", count=len(ids), error=str(error))


def _settle_with(connection: Any, ended: Any) -> list[None]:
    """Write what the jobs wanted written, and their rows, in one transaction."""
    by_apply: dict[Any, list[Any]] = {}
    for commit, _ in ended:
        if commit is not None:
            by_apply.setdefault(commit.apply, []).append(commit.item)
    for apply, items in by_apply.items():
        apply(connection, items)
    return settle(connection, [settled for _, settled in ended])


def _tell(outcome: Outcome, row: Taken, error: Exception) -> None:
    known = isinstance(error, CarboyError)
    facts: dict[str, Any] = {"error": str(error), "attempt": row.attempt}
    if isinstance(outcome, Dead):
        log.error("job_dead", **facts, exc_info=not known)
    elif isinstance(error, Later):
        log.debug("job_waits", **facts)
    else:
        log.info("job_postponed", **facts, exc_info=not known)
