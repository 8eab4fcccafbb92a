"""Run the row of a Celery message: claim it, renew its lease, run it; and beside that, sweep.

In a worker of processes each child has a `RowWorker`, and the first of them sweeps; the parent touches no database, so
that it can be forked from at any time.
"""

import os
import threading
from collections.abc import Callable

from carboy.jobs.celery.engine import CeleryEngine
from carboy.jobs.celery.publisher import AHEAD_MS
from carboy.jobs.definitions import Dead, Queued
from carboy.jobs.engine_registry import Ready
from carboy.jobs.execution import Runner
from carboy.jobs.job_rows import AT_ONCE, ClaimRequest, LeasedRow, claim, give_back, prune, renew
from carboy.jobs.owner import make_owner
from carboy.jobs.periodic import Lost, PeriodicLock, Sweep, find_lost, requeue_orphaned, sweep, take_turn
from carboy.logs import BoundLogger, get_logger

log: BoundLogger = get_logger("carboy.jobs")

_PRUNE_EVERY_S = 60.0


class JobDead(Exception):
    """A job failed for the last time; as Celery and Flower show it."""


class RowWorker:
    """Runs rows in this process.

    Args:
        engine: publishes rows again, and is notified of the end of each try.
    """

    def __init__(self, engine: CeleryEngine) -> None:
        self._engine = engine
        self._writer, self._registry, self._settings = engine.writer, engine.registry, engine.settings
        self._clock = engine.clock
        self._runner = Runner(engine)
        self._owner = ""
        self._begun_pid = 0
        self._lock = threading.Lock()
        self._running: dict[int, tuple[LeasedRow, float]] = {}
        self._stopping = threading.Event()
        self._is_pruning = False

    def begin(self, *, sweeps: bool) -> None:
        """Start the thread that keeps leases, in the process that runs the rows, and where it says so sweeps."""
        with self._lock:
            if self._begun_pid == os.getpid():
                return
            self._begun_pid, self._owner = os.getpid(), make_owner()
        threading.Thread(target=self._keep, args=(sweeps,), name="carboy-jobs-keeper", daemon=True).start()

    def perform(self, kind: str, row_id: int) -> str:
        """Take a row and run it; a message whose row cannot be claimed does nothing.

        Returns:
            how it ended, for Celery's own tools.

        Raises:
            Retry: it is tried again later (that is written in the row, not published by Celery).
            JobDead: it was the last try.
        """
        from celery.exceptions import Retry

        self.begin(sweeps=False)
        now_ms = self._clock.now_ms()
        lease_until_ms = now_ms + round(self._settings.jobs_lease_s * 1000)
        row = self._writer.run(claim, ClaimRequest(row_id, self._owner, now_ms, lease_until_ms))
        if isinstance(row, int):
            self._notify(kind, row_id, row)
            return "it is not due"
        if row is None:
            log.debug("job_message_skipped", job_id=str(row_id))
            return "another worker has it, or it has ended"
        with self._lock:
            self._running[row.id] = row, self._clock.monotonic_s()
        try:
            outcome = self._runner.run(row, self._owner)
        finally:
            with self._lock:
                self._running.pop(row.id, None)
        match outcome:
            case Queued(run_at_ms, error):
                self._notify(kind, row_id, run_at_ms)
                raise Retry(error, when=max(0.0, (run_at_ms - self._clock.now_ms()) / 1000))
            case Dead(error):
                raise JobDead(error)
        return "done"

    def give_back(self) -> None:
        """Queue again what runs here: the process is about to end."""
        self._stopping.set()
        with self._lock:
            ids = list(self._running)
        if ids:
            self._writer.run(give_back, (self._owner, ids, True))

    def requeue_orphaned(self) -> None:
        """Queue again the rows of processes that ended, such as this one's children."""
        self._engine.notify(self._writer.run(requeue_orphaned, self._clock.now_ms()))

    def _notify(self, kind: str, row_id: int, run_at_ms: int) -> None:
        self._engine.notify([Ready(row_id, kind, self._registry.get(kind).priority, run_at_ms)])

    # --- the keeper ---

    def _keep(self, sweeps: bool) -> None:
        settings = self._settings
        tasks: list[tuple[float, Callable[[], object]]] = [(settings.jobs_lease_s / 3, self._renew)]
        if sweeps and self._registry.kinds:
            tasks += [
                (settings.jobs_poll_s, self._publish_due),
                (settings.jobs_sweep_s / 3, self._publish_lost),
                (_PRUNE_EVERY_S, self._prune),
            ]
        next_s = [0.0] * len(tasks)
        while not self._stopping.wait(min(settings.jobs_poll_s, settings.jobs_lease_s / 6)):
            for number, (every_s, task) in enumerate(tasks):
                now_s = self._clock.monotonic_s()
                if now_s < next_s[number]:
                    continue
                next_s[number] = now_s + every_s
                try:
                    if task() is True:  # there may be more
                        next_s[number] = now_s
                except Exception as error:  # noqa: BLE001 (the keeper outlives every fault of database and broker)
                    log.warning("jobs_keeper_failed", error=f"{type(error).__name__}: {error}")

    def _renew(self) -> None:
        now_s = self._clock.monotonic_s()
        with self._lock:
            running = list(self._running.values())
        overdue = [row for row, began_s in running if now_s - began_s > self._registry.get(row.kind).timeout_s]
        renewed = [row.id for row, _ in running if row not in overdue]
        if renewed:
            until_ms = self._clock.now_ms() + round(self._settings.jobs_lease_s * 1000)
            self._writer.run(renew, (self._owner, renewed, until_ms))
        for row in overdue:
            log.warning("job_overdue", job_id=str(row.id), kind=row.kind)

    def _publish_due(self) -> None:
        turn = PeriodicLock("sweep", self._clock.now_ms(), round(self._settings.jobs_poll_s * 1000))
        self._engine.notify(self._writer.run(sweep, Sweep(turn, self._registry.kinds, AHEAD_MS)))

    def _publish_lost(self) -> None:
        now_ms, sweep_ms = self._clock.now_ms(), round(self._settings.jobs_sweep_s * 1000)
        if not self._writer.run(take_turn, PeriodicLock("lost", now_ms, sweep_ms // 3)):
            return
        lost = self._writer.run(find_lost, (Lost(self._registry.kinds, now_ms - sweep_ms), self._engine.depth()))
        self._engine.notify(lost)
        if lost:
            log.warning("jobs_published_again", count=len(lost))

    def _prune(self) -> bool:
        """Delete a part of the done rows; return whether there may be more."""
        now_ms = self._clock.now_ms()
        if not self._is_pruning and not self._writer.run(
            take_turn, PeriodicLock("prune", now_ms, round(_PRUNE_EVERY_S * 1000))
        ):
            return False
        before_ms = now_ms - round(float(self._settings.jobs_retention) * 1000)
        self._is_pruning = self._writer.run(prune, before_ms) >= AT_ONCE
        return self._is_pruning
