"""What the console shows: the size of each event, and the calls to providers that did not get a message accepted."""

import sqlalchemy as sa
from alembic import op

from carboy.db.migrate import makes
from carboy.db.schema import ExactString

revision = "0011"
down_revision = "0010"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the column and the table; what is there keeps an unknown size."""
    if makes("archive"):
        op.add_column("archive_items", sa.Column("size", sa.BigInteger))
    if makes("sms"):
        _make_attempts()


def downgrade() -> None:
    """Drop them with all that they hold."""
    if makes("sms"):
        op.drop_table("sms_attempts")
    if makes("archive"):
        op.drop_column("archive_items", "size")


def _make_attempts() -> None:
    op.create_table(
        "sms_attempts",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("message", sa.BigInteger, nullable=False),
        sa.Column("provider", ExactString(64), nullable=False),
        sa.Column("kind", ExactString(16), nullable=False),
        sa.Column("code", ExactString(100)),
        sa.Column("words", ExactString(500)),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_attempts")),
    )
    for column in ("message", "at"):
        op.create_index(op.f(f"ix_sms_attempts_{column}"), "sms_attempts", [column])
