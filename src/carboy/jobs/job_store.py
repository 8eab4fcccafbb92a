"""List, retry, purge and count the rows of jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import delete, false, select, update

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.db.group_commit import GroupCommit, one_by_one
from carboy.errors import Missing
from carboy.jobs.after_commit import note
from carboy.jobs.engine_registry import Ready
from carboy.jobs.job_rows import count_by_kind
from carboy.jobs.tables import JOBS, in_state

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_STATES = ("queued", "running", "done", "dead")
_RETRIABLE = ("dead", "queued")
_NOTIFIED_AT_ONCE = 10_000  # the engine finds the others at its next poll


@dataclass(frozen=True, slots=True)
class JobView:
    """A row in lists and in the API; times are milliseconds since the epoch."""

    id: str
    kind: str
    key: str | None
    args: list[Any]
    state: str
    attempts: int
    run_at: int
    created_at: int
    finished_at: int | None
    request_id: str | None
    error: str | None


class JobStore:
    """The rows of jobs in a database."""

    def __init__(self, engine: "Engine", writer: GroupCommit, clock: Clock = SYSTEM_CLOCK) -> None:
        self._engine, self._writer, self._clock = engine, writer, clock

    def list(
        self, *, state: str | None = None, kind: str | None = None, limit: int = 100, before: int | None = None
    ) -> list[JobView]:
        """Return rows, the newest first.

        Args:
            state: `queued`, `running`, `done` or `dead`; all by default.
            kind: only of this kind.
            limit: at most so many.
            before: only rows with a smaller id than this, for the next page.
        """
        query = select(JOBS).order_by(JOBS.c.id.desc()).limit(limit)
        if state is not None:
            query = query.where(_is_in(state))
        if kind is not None:
            query = query.where(JOBS.c.kind == kind)
        if before is not None:
            query = query.where(JOBS.c.id < before)
        with self._engine.connect() as connection:
            return [_view(row._mapping) for row in connection.execute(query)]

    def get(self, job_id: int) -> JobView:
        """Return one row.

        Raises:
            Missing: no row has that id.
        """
        with self._engine.connect() as connection:
            row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one_or_none()
        if row is None:
            raise Missing(f"job {job_id}", "there is no such job", "`carboy jobs list` shows what there is")
        return _view(row._mapping)

    def retry(self, job_id: int) -> JobView:
        """Queue a dead or waiting row to run now, with all its tries before it; a running or done one stays as it is.

        Raises:
            Missing: no row has that id.
        """
        self._writer.run(_requeue, (self._clock.now_ms(), JOBS.c.id == job_id))
        return self.get(job_id)

    def retry_all(self, *, state: str = "dead", kind: str | None = None) -> int:
        """Queue all rows of a state (`dead` or `queued`) and kind to run now; return how many."""
        chosen = _is_in(state)
        if kind is not None:
            chosen &= JOBS.c.kind == kind
        count: int = self._writer.run(_requeue, (self._clock.now_ms(), chosen))
        return count

    def purge(self, *, state: str = "done", kind: str | None = None, before_ms: int | None = None) -> int:
        """Delete done or dead rows; return how many.

        Args:
            state: `done` or `dead`.
            kind: only of this kind.
            before_ms: only those that ended before this time.
        """
        chosen = _is_in(state) if state in {"done", "dead"} else false()
        if kind is not None:
            chosen &= JOBS.c.kind == kind
        if before_ms is not None:
            chosen &= JOBS.c.finished_at < before_ms
        count: int = self._writer.run(_delete, chosen)
        return count

    def cancel(self, job_id: int) -> bool:
        """Make a waiting row dead, which can be tried again; return whether it waited."""
        count: int = self._writer.run(_cancel, (self._clock.now_ms(), job_id))
        return count > 0

    def delete(self, job_id: int) -> bool:
        """Delete a row that is done or dead; return whether there was one."""
        chosen = (JOBS.c.id == job_id) & JOBS.c.state.in_(("done", "dead"))
        count: int = self._writer.run(_delete, chosen)
        return count > 0

    def stats(self) -> Sequence[dict[str, Any]]:
        """Return kind, state, count and the age of the oldest due row in seconds, of all that is not done."""
        now_ms = self._clock.now_ms()
        with self._engine.connect() as connection:
            return [
                {
                    "kind": row["kind"],
                    "state": row["state"],
                    "count": row["count"],
                    "age_s": max(0.0, (now_ms - row["oldest_at"]) / 1000),
                }
                for row in count_by_kind(connection)
            ]


def _is_in(state: str) -> Any:
    """Return the condition of a state; an unknown state matches no rows."""
    return in_state(state) if state in _STATES else false()


def _view(row: Any) -> JobView:
    return JobView(
        id=str(row["id"]),
        args=orjson.loads(row["args"]),
        **{name: row[name] for name in JobView.__dataclass_fields__ if name not in {"id", "args"}},
    )


@one_by_one
def _requeue(connection: "Connection", request: tuple[int, Any]) -> int:
    now_ms, chosen = request[0], request[1] & JOBS.c.state.in_(_RETRIABLE)
    query = select(JOBS.c.id, JOBS.c.kind, JOBS.c.priority).where(chosen).order_by(JOBS.c.id).limit(_NOTIFIED_AT_ONCE)
    note(connection, lambda: [Ready(row.id, row.kind, row.priority, now_ms) for row in connection.execute(query)])
    values = {"state": "queued", "attempts": 0, "run_at": now_ms, "finished_at": None}
    return connection.execute(update(JOBS).where(chosen).values(values)).rowcount


@one_by_one
def _cancel(connection: "Connection", request: tuple[int, int]) -> int:
    now_ms, job_id = request
    values = {"state": "dead", "finished_at": now_ms, "error": "cancelled by an operator"}
    return connection.execute(update(JOBS).where(JOBS.c.id == job_id, JOBS.c.state == "queued").values(values)).rowcount


@one_by_one
def _delete(connection: "Connection", chosen: Any) -> int:
    return connection.execute(delete(JOBS).where(chosen)).rowcount
