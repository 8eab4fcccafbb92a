"""Finished rows in the table of jobs do not slow down workers that look for work."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from tests.scale.kit import Base

from carboy.db import DbSettings, GroupCommit, engine, insert_rows, upgrade
from carboy.jobs import Job, JobStore, row_of
from carboy.jobs.job_rows import LeaseRequest, owners, prune, release_expired, take
from carboy.jobs.tables import JOBS
from carboy.services.archive.index import Index
from carboy.services.archive.items import TimeRange
from carboy.services.archive.tables import ITEMS
from carboy.testing.processes import DatabaseServer

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
        take(connection, [LeaseRequest("me", ("one",), (1, 5), 16, 10**13, 10**13)])
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


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_filtered_list_goes_by_the_index_of_what_has_that_field(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It leaves out the items that have none, so that those who send none pay nothing for it."""
    url = f"sqlite:///{tmp_path}/carboy.db"
    if kind == "postgres":
        server: DatabaseServer = request.getfixturevalue("postgres_server")
        url = server.url(database=server.create_database())
    made = engine(DbSettings(database_url=url))
    upgrade(made)
    with made.begin() as connection:
        insert_rows(connection, ITEMS, [_item(number) for number in range(2000)])
        connection.exec_driver_sql("ANALYZE")
    said: list[tuple[str, Any]] = []
    event.listen(made, "before_cursor_execute", lambda _c, _u, text, values, *_: said.append((text, values)))
    index = Index(made)
    assert len(index.between(TimeRange("a", 0, 3000, severity="3"), limit=50).items) == 20
    index.between(TimeRange("a", 0, 3000, organization_id="3"), limit=50)
    index.between(TimeRange("a", 0, 3000, origin="3"), limit=50)
    looks = [(text, values) for text, values in said if ITEMS.name in text]
    for column, (text, values) in zip(("severity", "organization_id", "origin"), looks, strict=True):
        assert f"ix_archive_items_source_{column}_at_id" in _plan(made, text, values)
    made.dispose()


def _item(number: int) -> dict[str, Any]:
    filled = dict.fromkeys(("severity", "organization_id", "origin"), str(number % 100) if number % 2 else None)
    return filled | {
        "id": number, "source": "a", "item_id": str(number), "digest": b"", "sha256": b"", "at": number,
        "received_at": number, "newest": True, "state": "archived", "detail": "off", "object_key": "x",
        "content_type": "text/plain",
    }  # fmt: skip


def _plan(engine: Engine, text: str, values: Any) -> str:
    verb = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(f"{verb} {text}", values).all()
    return "\n".join(" ".join(str(value) for value in row) for row in rows)
