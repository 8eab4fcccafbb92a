"""The newest refused webhooks, and secrets that senders bring themselves."""

import sqlalchemy as sa
from alembic import op

from carboy.db.migrate import makes
from carboy.db.schema import ExactString, big_id

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the tables."""
    if not makes("archive"):
        return
    op.create_table(
        "archive_refused",
        sa.Column("id", big_id(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("source", ExactString(64), nullable=False),
        sa.Column("reason", ExactString(32), nullable=False),
        sa.Column("detail", ExactString(255), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("address", ExactString(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("request_id", ExactString(128), nullable=False),
        sa.Column("headers", sa.LargeBinary(1 << 20)),
        sa.Column("body", sa.LargeBinary(1 << 20)),
    )
    op.create_table(
        "archive_exchanged_secrets",
        sa.Column("source", ExactString(64), primary_key=True),
        sa.Column("sealed", sa.LargeBinary(2048), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    if makes("archive"):
        op.drop_table("archive_exchanged_secrets")
        op.drop_table("archive_refused")
