"""Times to delivery of past days in one row for each state; delivery reports that wait keep that they are temporary."""

import sqlalchemy as sa
from alembic import op

from carboy.db.migrate import makes
from carboy.db.schema import ExactText

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the columns; rows of past days are packed by the next clean-up."""
    if makes("sms"):
        op.add_column("sms_receipts", sa.Column("is_temporary", sa.SmallInteger, nullable=False, server_default="0"))
        op.add_column("sms_daily", sa.Column("delays", ExactText))


def downgrade() -> None:
    """Drop them, with the times to delivery of days that were packed; all sums stay."""
    if makes("sms"):
        op.drop_column("sms_daily", "delays")
        op.drop_column("sms_receipts", "is_temporary")
