"""Run one leased row and record its outcome: the part that all engines share."""

from collections.abc import Callable, Sequence
from typing import Any

from carboy.db.group_commit import locks_in_order, locks_rows
from carboy.errors import Unreachable
from carboy.jobs.definitions import Commit, Dead, Done, Outcome, log_failure, plan_failure
from carboy.jobs.engine_registry import JobEngine
from carboy.jobs.job_rows import LeasedRow, Settled, settle, still_leased
from carboy.logs import BoundLogger, get_logger, request_context

log: BoundLogger = get_logger("carboy.jobs")


class Runner:
    """Runs rows that this process has leased.

    Args:
        engine: whose rows they are.
        is_stopping: whether the process ends, so that it cannot wait for a database that is unavailable.
    """

    def __init__(self, engine: JobEngine, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self._engine, self._is_stopping = engine, is_stopping

    def run(self, row: LeasedRow, owner: str) -> Outcome:
        """Run a row that `owner` has leased, record its outcome, and return it; never raises."""
        engine = self._engine
        started = engine.clock.monotonic_s()
        one = engine.registry.get(row.kind)
        outcome: Outcome = Done()
        commit: Commit | None = None
        with request_context(request_id=row.request_id, job_id=str(row.id), job=row.kind):
            try:
                if one.attempts is not None and row.attempt > one.attempts:
                    outcome = Dead(f"its worker was lost in each of {one.attempts} tries")
                else:
                    with engine.context():
                        answer = one.function(*row.args)
                    commit = answer if isinstance(answer, Commit) else None
            except BaseException as error:  # noqa: BLE001 (whatever it is, also `sys.exit`, decides about its row)
                outcome = plan_failure(one, row.attempt, error, engine.clock.now_ms())
                log_failure(outcome, row.attempt, error)
            self._settle(row, owner, outcome, commit)
        if engine.on_end:
            engine.on_end(row.kind, type(outcome).__name__.lower(), engine.clock.monotonic_s() - started)
        return outcome

    def _settle(self, row: LeasedRow, owner: str, outcome: Outcome, commit: Commit | None) -> None:
        """Record the outcome of a try; while the database is unavailable, retry for the time of a lease."""
        clock, settings = self._engine.clock, self._engine.settings
        settled = Settled(row.id, owner, row.attempt, outcome, clock.now_ms())
        give_up_at_s = clock.monotonic_s() + settings.jobs_lease_s
        while True:
            try:
                self._engine.writer.run(_settle_with, (commit, settled))
            except Exception as error:  # noqa: BLE001 (the row is done again when its lease has ended)
                is_unavailable = isinstance(error, Unreachable)
                if not is_unavailable or self._is_stopping() or clock.monotonic_s() >= give_up_at_s:
                    log.warning("job_not_settled", error=str(error), outcome=type(outcome).__name__.lower())
                    return
                clock.sleep(min(settings.jobs_poll_s, 1.0))
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


locks_in_order(_settle_with, lambda ended: ended[0] is not None and locks_rows(ended[0].apply, ended[0].item))
