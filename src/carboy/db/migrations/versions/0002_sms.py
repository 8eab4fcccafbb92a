"""The SMS gateway's requests, messages, receipts, budgets and codes."""

import sqlalchemy as sa
from alembic import op

from carboy.db.migrate import makes

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    if not makes("sms"):
        return
    _make_requests()
    _make_messages()
    _make_receipts()
    _make_codes()


def downgrade() -> None:
    """Drop them with all that they hold."""
    if not makes("sms"):
        return
    for name in ("sms_codes", "sms_budgets", "sms_receipts", "sms_messages", "sms_requests"):
        op.drop_table(name)


def _make_requests() -> None:
    op.create_table(
        "sms_requests",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("claim", sa.String(64)),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("template", sa.String(100), nullable=False),
        sa.Column("provider", sa.String(64)),
        sa.Column("params", sa.LargeBinary(1 << 20)),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_requests")),
        sa.UniqueConstraint("claim", name=op.f("uq_sms_requests_claim")),
    )


def _make_messages() -> None:
    op.create_table(
        "sms_messages",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("request", sa.BigInteger, nullable=False),
        sa.Column("receiver", sa.String(20)),
        sa.Column("receiver_shown", sa.String(24), nullable=False),
        sa.Column("receiver_hash", sa.String(64), nullable=False),
        sa.Column("template", sa.String(100), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("owner", sa.String(16)),
        sa.Column("attempts", sa.SmallInteger, nullable=False),
        sa.Column("segments", sa.SmallInteger),
        sa.Column("provider", sa.String(64)),
        sa.Column("provider_id", sa.String(128)),
        sa.Column("code", sa.String(100)),
        sa.Column("words", sa.String(500)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("settled_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_messages")),
    )
    for columns in (
        ["request"],
        ["receiver_hash", "template", "created_at"],
        ["provider_id"],
        ["state", "id"],
        ["created_at"],
    ):
        op.create_index(op.f("ix_sms_messages_" + "_".join(columns)), "sms_messages", columns)


def _make_receipts() -> None:
    op.create_table(
        "sms_receipts",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("provider_id", sa.String(128), nullable=False),
        sa.Column("receiver_hash", sa.String(64)),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("code", sa.String(100)),
        sa.Column("words", sa.String(500)),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_receipts")),
    )
    for column in ("provider_id", "at"):
        op.create_index(op.f(f"ix_sms_receipts_{column}"), "sms_receipts", [column])


def _make_codes() -> None:
    op.create_table(
        "sms_budgets",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sms_budgets")),
    )
    op.create_index(op.f("ix_sms_budgets_expires_at"), "sms_budgets", ["expires_at"])
    op.create_table(
        "sms_codes",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("tries_left", sa.SmallInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_codes")),
        sa.UniqueConstraint("subject", name=op.f("uq_sms_codes_subject")),
    )
    op.create_index(op.f("ix_sms_codes_expires_at"), "sms_codes", ["expires_at"])
