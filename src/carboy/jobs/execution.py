"""Run one leased row and record its outcome: the part that all engines share."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.db.group_commit import GroupCommit
from carboy.errors import CarboyError, Unreachable
from carboy.jobs.definitions import Commit, Dead, Done, Later, Outcome, Registry, plan_failure
from carboy.jobs.job_rows import LeasedRow, Settled, settle, still_leased
from carboy.jobs.settings import JobsSettings
from carboy.logs import BoundLogger, get_logger, request_context

log: BoundLogger = get_logger("carboy.jobs")


class Runner:
    """Runs rows that this process has leased.

    Args:
        writer: the process's writer.
        registry: the jobs that are known here.
        settings: lease and poll.
        context: entered around each job, such as `app.app_context`.
        clock: the time.
        on_end: called with kind, outcome and seconds of each try, for the metrics.
        is_stopping: whether the process ends, so that it cannot wait for a database that is unavailable.
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
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._writer, self._registry, self._settings = writer, registry, settings
        self._context, self._clock, self._on_end, self._is_stopping = context, clock, on_end, is_stopping

    def run(self, row: LeasedRow, owner: str) -> Outcome:
        """Run a row that `owner` has leased, record its outcome, and return it; never raises."""
        started = self._clock.monotonic_s()
        one = self._registry.get(row.kind)
        outcome: Outcome = Done()
        commit: Commit | None = None
        with request_context(request_id=row.request_id, job_id=str(row.id), job=row.kind):
            try:
                if one.attempts is not None and row.attempt > one.attempts:
                    outcome = Dead(f"its worker was lost in each of {one.attempts} tries")
                else:
                    with self._context():
                        answer = one.function(*row.args)
                    commit = answer if isinstance(answer, Commit) else None
            except BaseException as error:  # noqa: BLE001 (whatever it is, also `sys.exit`, decides about its row)
                outcome = plan_failure(one, row.attempt, error, self._clock.now_ms())
                _log_failure(outcome, row, error)
            self._settle(row, owner, outcome, commit)
        if self._on_end:
            self._on_end(row.kind, type(outcome).__name__.lower(), self._clock.monotonic_s() - started)
        return outcome

    def _settle(self, row: LeasedRow, owner: str, outcome: Outcome, commit: Commit | None) -> None:
        """Record the outcome of a try; while the database is unavailable, retry for the time of a lease."""
        settled = Settled(row.id, owner, row.attempt, outcome, self._clock.now_ms())
        give_up_at_s = self._clock.monotonic_s() + self._settings.jobs_lease_s
        while True:
            try:
                self._writer.run(_settle_with, (commit, settled))
            except Exception as error:  # noqa: BLE001 (the row is done again when its lease has ended)
                is_unavailable = isinstance(error, Unreachable)
                if not is_unavailable or self._is_stopping() or self._clock.monotonic_s() >= give_up_at_s:
                    log.warning("job_not_settled", error=str(error), outcome=type(outcome).__name__.lower())
                    return
                self._clock.sleep(min(self._settings.jobs_poll_s, 1.0))
            else:
                if commit is not None and commit.then is not None:
                    commit.then()
                return


def _settle_with(connection: Any, ended: Sequence[tuple[Commit | None, Settled]]) -> list[None]:
    """Apply the commits of jobs and settle their rows in one transaction; rows that others lease are left alone."""
    still_leased_ids = still_leased(connection, [settled for _, settled in ended])
    by_apply: dict[Any, list[Any]] = {}
    for commit, settled in ended:
        if commit is not None and settled.id in still_leased_ids:
            by_apply.setdefault(commit.apply, []).append(commit.item)
    for apply, items in by_apply.items():
        apply(connection, items)
    settle(connection, [settled for _, settled in ended if settled.id in still_leased_ids])
    return [None] * len(ended)


def _log_failure(outcome: Outcome, row: LeasedRow, error: BaseException) -> None:
    known = isinstance(error, CarboyError)
    facts: dict[str, Any] = {"error": str(error), "attempt": row.attempt}
    if isinstance(error, CarboyError) and error.hint:
        facts["hint"] = error.hint
    if isinstance(outcome, Dead):
        log.error("job_dead", **facts, exc_info=not known)
    elif isinstance(error, Later):
        log.debug("job_waits", **facts)
    else:
        log.info("job_postponed", **facts, exc_info=not known)
