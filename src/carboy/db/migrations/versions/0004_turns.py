"""Who looks after the jobs next, where many processes could."""

import sqlalchemy as sa
from alembic import op

from carboy.db.migrate import makes

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table."""
    if not makes("carboy"):
        return
    op.create_table(
        "carboy_turns",
        sa.Column("name", sa.String(50), nullable=False),
        sa.Column("next_at", sa.BigInteger, nullable=False),
        sa.Column("mark", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_carboy_turns")),
    )


def downgrade() -> None:
    """Drop it."""
    if makes("carboy"):
        op.drop_table("carboy_turns")
