"""The one table of jobs."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, SmallInteger, String, Table, Text

from carboy.db.metadata import big_id, metadata

__all__ = ["JOBS", "QUEUED_INDEX"]

JOBS = Table(
    "carboy_jobs",
    metadata,
    Column("id", big_id(), primary_key=True, autoincrement=False),
    Column("kind", String(100), nullable=False),
    Column("key", String(255), unique=True),
    Column("args", LargeBinary(1 << 20), nullable=False),  # a JSON array
    Column("state", String(8), nullable=False),  # queued, running, done, dead
    Column("priority", SmallInteger, nullable=False),  # the lower first
    Column("attempts", Integer, nullable=False),
    Column("run_at", BigInteger, nullable=False),  # times are milliseconds since the epoch
    Column("lease_until", BigInteger),
    Column("owner", String(160)),
    Column("request_id", String(128)),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("error", Text),
)

_STATE = JOBS.c.state
QUEUED_INDEX = Index(
    "ix_carboy_jobs_queued",
    JOBS.c.priority,
    JOBS.c.run_at,
    sqlite_where=_STATE == "queued",
    postgresql_where=_STATE == "queued",
)
Index(
    "ix_carboy_jobs_running",
    JOBS.c.lease_until,
    sqlite_where=_STATE == "running",
    postgresql_where=_STATE == "running",
)
Index("ix_carboy_jobs_finished", JOBS.c.finished_at, sqlite_where=_STATE == "done", postgresql_where=_STATE == "done")
Index("ix_carboy_jobs_dead", JOBS.c.id, sqlite_where=_STATE == "dead", postgresql_where=_STATE == "dead")
Index("ix_carboy_jobs_state", JOBS.c.state, JOBS.c.priority, JOBS.c.run_at).ddl_if(dialect="mysql")
