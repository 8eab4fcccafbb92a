"""The table of jobs, and that of whose turn it is to look after them."""

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    literal_column,
)

from carboy.db.schema import ExactString, ExactText, big_id, metadata

JOBS = Table(
    "carboy_jobs",
    metadata,
    Column("id", big_id(), primary_key=True, autoincrement=False),
    Column("kind", ExactString(100), nullable=False),
    Column("key", ExactString(255)),  # most have none
    Column("args", LargeBinary(1 << 20), nullable=False),  # a JSON array
    Column("state", ExactString(8), nullable=False),  # queued, running, done, dead
    Column("priority", SmallInteger, nullable=False),  # the lower first
    Column("attempts", Integer, nullable=False),
    Column("run_at", BigInteger, nullable=False),  # times are milliseconds since the epoch
    Column("lease_until", BigInteger),
    Column("owner", ExactString(160)),
    Column("request_id", ExactString(128)),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("error", ExactText),
)

TURNS = Table(
    "carboy_turns",
    metadata,
    Column("name", ExactString(50), primary_key=True),
    Column("next_at", BigInteger, nullable=False),
    Column("mark", BigInteger, nullable=False),  # how far the last one looked
)


def in_state(state: str) -> ColumnElement[bool]:
    """Return the condition that a row is in a state, written out so that the partial index of that state serves it."""
    return JOBS.c.state == literal_column(f"'{state}'")


_HAS_KEY = JOBS.c.key.is_not(None)
Index("uq_carboy_jobs_key", JOBS.c.key, unique=True, sqlite_where=_HAS_KEY, postgresql_where=_HAS_KEY)
for _name, _columns, _state in (
    ("queued", (JOBS.c.priority, JOBS.c.run_at), "queued"),
    ("running", (JOBS.c.lease_until,), "running"),
    ("finished", (JOBS.c.finished_at,), "done"),
    ("dead", (JOBS.c.id,), "dead"),
):
    Index(f"ix_carboy_jobs_{_name}", *_columns, sqlite_where=in_state(_state), postgresql_where=in_state(_state))
