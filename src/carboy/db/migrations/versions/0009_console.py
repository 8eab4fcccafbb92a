"""The console's sessions and audit log; API keys that end by themselves."""

import sqlalchemy as sa
from alembic import op

from carboy.db.migrate import makes
from carboy.db.schema import ExactString, ExactText, big_id

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the two tables, and the column of the keys."""
    if not makes("carboy"):
        return
    op.create_table(
        "carboy_sessions",
        sa.Column("hash", ExactString(64), nullable=False),
        sa.Column("kind", ExactString(8), nullable=False),
        sa.Column("name", ExactString(200), nullable=False),
        sa.Column("key_id", ExactString(16)),
        sa.Column("scopes", ExactString(2000), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_carboy_sessions")),
    )
    op.create_index(op.f("ix_carboy_sessions_expires_at"), "carboy_sessions", ["expires_at"])
    op.create_table(
        "carboy_audit",
        sa.Column("id", big_id(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("who", ExactString(200), nullable=False),
        sa.Column("key_id", ExactString(16)),
        sa.Column("action", ExactString(100), nullable=False),
        sa.Column("object", ExactString(255), nullable=False),
        sa.Column("detail", ExactText),
        sa.Column("address", ExactString(64), nullable=False),
        sa.Column("request_id", ExactString(128), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_carboy_audit")),
    )
    op.create_index(op.f("ix_carboy_audit_who_id"), "carboy_audit", ["who", "id"])
    op.create_index(op.f("ix_carboy_audit_action_id"), "carboy_audit", ["action", "id"])
    op.add_column("carboy_keys", sa.Column("expires_at", sa.BigInteger))


def downgrade() -> None:
    """Drop them."""
    if not makes("carboy"):
        return
    op.drop_column("carboy_keys", "expires_at")
    op.drop_table("carboy_audit")
    op.drop_table("carboy_sessions")
