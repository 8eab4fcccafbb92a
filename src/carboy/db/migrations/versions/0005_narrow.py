"""Indexes that hold what they are asked for alone: most jobs have no key, and most items nothing to filter by."""

import sqlalchemy as sa
from alembic import op

from carboy.db.migrate import makes

revision = "0005"
down_revision = "0004"

_FILTERS = ("severity", "organization_id", "origin")
_KEY = "uq_carboy_jobs_key"
_BY_STATE = (
    ("queued", ["priority", "run_at"], "queued"),
    ("running", ["lease_until"], "running"),
    ("finished", ["finished_at"], "done"),
    ("dead", ["id"], "dead"),
)


def upgrade() -> None:
    """Leave out the rows that have none; MySQL and MariaDB cannot."""
    if not _has_partial():
        return
    for column in _FILTERS if makes("archive") else ():
        _index_items(column, f" AND {column} IS NOT NULL")
    if makes("carboy"):
        _constrain_keys(is_wanted=False)
        where = sa.text("key IS NOT NULL")
        op.create_index(_KEY, "carboy_jobs", ["key"], unique=True, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """Put all rows into them again."""
    if not _has_partial():
        return
    for column in _FILTERS if makes("archive") else ():
        _index_items(column, "")
    if makes("carboy"):
        op.drop_index(_KEY, "carboy_jobs")
        _constrain_keys(is_wanted=True)


def _has_partial() -> bool:
    return op.get_bind().dialect.name in {"sqlite", "postgresql"}


def _index_items(column: str, more: str) -> None:
    name, columns = f"ix_archive_items_source_{column}_at_id", ["source", column, "at", "id"]
    op.drop_index(name, "archive_items")
    op.create_index(
        name,
        "archive_items",
        columns,
        sqlite_where=sa.text(f"newest IS 1{more}"),
        postgresql_where=sa.text(f"newest IS true{more}"),
    )


def _constrain_keys(*, is_wanted: bool) -> None:
    """Add or drop the constraint; SQLite copies the table for that and needs its indexes created again."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for name, *_ in _BY_STATE if is_sqlite else ():
        op.drop_index(f"ix_carboy_jobs_{name}", "carboy_jobs")
    with op.batch_alter_table("carboy_jobs") as batch:
        if is_wanted:
            batch.create_unique_constraint(op.f(_KEY), ["key"])
        else:
            batch.drop_constraint(op.f(_KEY), type_="unique")
    for name, columns, state in _BY_STATE if is_sqlite else ():
        op.create_index(f"ix_carboy_jobs_{name}", "carboy_jobs", columns, sqlite_where=sa.text(f"state = '{state}'"))
