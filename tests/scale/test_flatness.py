"""However many finished rows lie in the table of jobs, nobody who looks for work meets them."""

from typing import Any

from sqlalchemy import event
from tests.scale.conftest import Base

from carboy.db import GroupCommit, insert_rows
from carboy.jobs import Job, JobStore, row_of
from carboy.jobs.rows import Take, owners, prune, release_expired, take
from carboy.jobs.tables import JOBS

FINISHED = 10_000


def test_no_look_at_the_jobs_reads_the_finished_ones(base: Base) -> None:
    """Each statement of the engine and of its tools goes by the index of what it looks for."""
    engine = base.engine()
    for start in range(0, FINISHED, 2000):
        rows = [
            row_of(Job("one", print), (number,), now_ms=1000 + number) | {"state": "done", "finished_at": 1000 + number}
            for number in range(start, start + 2000)
        ]
        with engine.begin() as connection:
            insert_rows(connection, JOBS, rows)
    analyze = f"ANALYZE {'TABLE ' if base.server.dialect == 'mysql' else ''}{JOBS.name}"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(analyze)

    said: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _u, text, values, *_: said.append((text, values)))
    with engine.connect() as connection:
        take(connection, [Take("me", ("one",), (1, 5), 16, 10**13, 10**13)])
        release_expired(connection, [(10**13, ("gone",))])
        owners(connection)
        prune(connection, [1500], 50)
        connection.rollback()
    store = JobStore(engine, GroupCommit(engine))
    store.stats()
    store.list(state="dead")
    store.list(state="queued")
    store.retry_all(kind="one")

    looks = [(text, values) for text, values in said if JOBS.name in text]
    assert len(looks) >= 10
    for text, values in looks:
        plan = _plan(engine, text, values)
        assert "Seq Scan" not in plan, (text, plan)
        assert "ALL" not in plan.split(), (text, plan)


def _plan(engine: Any, text: str, values: Any) -> str:
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN {text}", values).all()
    return "\n".join(" ".join(str(value) for value in row) for row in rows)
