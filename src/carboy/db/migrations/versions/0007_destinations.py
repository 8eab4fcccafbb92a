"""Destinations: how each does, what it gets, every attempt; and the type of each event."""

import sqlalchemy as sa
from alembic import op

from carboy.db.migrate import makes
from carboy.db.schema import ExactString, big_id

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the tables and the column; events from before have no type, but Threat Stack's."""
    if not makes("archive"):
        return
    with op.batch_alter_table("archive_items") as items:
        items.add_column(sa.Column("event_type", ExactString(255)))
    op.create_table(
        "archive_destinations",
        sa.Column("name", ExactString(64), primary_key=True),
        sa.Column("scheduled_at", sa.BigInteger),
        sa.Column("owner", ExactString(160)),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("paused", ExactString(255)),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("failing_since", sa.BigInteger),
        sa.Column("open_until", sa.BigInteger),
        sa.Column("hold_until", sa.BigInteger),
    )
    op.create_table(
        "archive_deliveries",
        sa.Column("id", big_id(), primary_key=True, autoincrement=False),
        sa.Column("destination", ExactString(64), nullable=False),
        sa.Column("item", sa.BigInteger, nullable=False),
        sa.Column("source", ExactString(64), nullable=False),
        sa.Column("event_id", ExactString(1024), nullable=False),
        sa.Column("event_type", ExactString(255)),
        sa.Column("state", ExactString(10), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_at", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
    )
    op.create_table(
        "archive_attempts",
        sa.Column("delivery", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("destination", ExactString(64), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("duration_ms", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", ExactString(500)),
        sa.Column("response", sa.LargeBinary(8192)),
    )
    is_open = sa.text("next_at IS NOT NULL")
    deliveries = "archive_deliveries"
    op.create_index("ix_archive_deliveries_destination_state_id", deliveries, ["destination", "state", "id"])
    op.create_index(
        "ix_archive_deliveries_destination_next_at",
        deliveries,
        ["destination", "next_at"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_index("ix_archive_deliveries_item", deliveries, ["item"])
    op.create_index("ix_archive_attempts_destination_at", "archive_attempts", ["destination", "at"])


def downgrade() -> None:
    """Drop them; deliveries that wait are lost."""
    if not makes("archive"):
        return
    for table in ("archive_attempts", "archive_deliveries", "archive_destinations"):
        op.drop_table(table)
    with op.batch_alter_table("archive_items") as items:
        items.drop_column("event_type")
