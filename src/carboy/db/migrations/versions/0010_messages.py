"""Opt-outs, inbound messages, scheduling, references, call-backs and daily statistics of the SMS gateway."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from carboy.db.migrate import makes
from carboy.db.schema import ExactString, ExactText

revision = "0010"
down_revision = "0009"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_COUNT = """
    INSERT INTO sms_daily (day, template, provider, country, state, bucket, shard, messages, parts)
    SELECT day, template, provider, '', state, 0, 0, count(*), sum(parts) FROM (
        SELECT (created_at - created_at % 86400000) / 86400000 AS day, template, coalesce(provider, '') AS provider,
        state, coalesce(segments, 0) AS parts FROM sms_messages WHERE state NOT IN ('queued', 'sending')
    ) AS known GROUP BY day, template, provider, state
"""


def upgrade() -> None:
    """Add the columns and tables, and count the messages that are there."""
    if not makes("sms"):
        return
    requests: tuple[sa.Column[Any], ...] = (
        sa.Column("send_at", sa.BigInteger),
        sa.Column("expires_after", sa.BigInteger),
        sa.Column("callback_url", ExactString(2048)),
    )
    for column in requests:
        op.add_column("sms_requests", column)
    messages: tuple[sa.Column[Any], ...] = (
        sa.Column("country", ExactString(3)),
        sa.Column("reference", ExactString(255)),
        sa.Column("params", sa.LargeBinary(1 << 20)),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("sequence", sa.Integer, nullable=False, server_default="0"),
        sa.Column("retries", sa.SmallInteger, nullable=False, server_default="0"),
    )
    for column in messages:
        op.add_column("sms_messages", column)
    op.create_index(op.f("ix_sms_messages_reference"), "sms_messages", ["reference"])
    _make_opt_outs()
    _make_inbound()
    _make_daily()
    op.execute(sa.text(_COUNT))


def downgrade() -> None:
    """Drop them with all that they hold."""
    if not makes("sms"):
        return
    for name in ("sms_daily", "sms_inbound", "sms_opt_outs"):
        op.drop_table(name)
    op.drop_index(op.f("ix_sms_messages_reference"), "sms_messages")
    for column in ("retries", "sequence", "due_at", "params", "reference", "country"):
        op.drop_column("sms_messages", column)
    for column in ("callback_url", "expires_after", "send_at"):
        op.drop_column("sms_requests", column)


def _make_opt_outs() -> None:
    op.create_table(
        "sms_opt_outs",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("receiver", ExactString(20), nullable=False),
        sa.Column("receiver_shown", ExactString(24), nullable=False),
        sa.Column("reason", ExactString(16), nullable=False),
        sa.Column("provider", ExactString(64)),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_opt_outs")),
        sa.UniqueConstraint("receiver", name=op.f("uq_sms_opt_outs_receiver")),
    )


def _make_inbound() -> None:
    op.create_table(
        "sms_inbound",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("key", ExactString(64), nullable=False),
        sa.Column("provider", ExactString(64), nullable=False),
        sa.Column("sender", ExactString(20)),
        sa.Column("sender_shown", ExactString(24), nullable=False),
        sa.Column("sender_hash", ExactString(64), nullable=False),
        sa.Column("receiver", ExactString(32)),
        sa.Column("text", ExactText),
        sa.Column("keyword", ExactString(8)),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_inbound")),
        sa.UniqueConstraint("key", name=op.f("uq_sms_inbound_key")),
    )
    for column in ("sender_hash", "at"):
        op.create_index(op.f(f"ix_sms_inbound_{column}"), "sms_inbound", [column])


def _make_daily() -> None:
    op.create_table(
        "sms_daily",
        sa.Column("day", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("template", ExactString(100), nullable=False),
        sa.Column("provider", ExactString(64), nullable=False),
        sa.Column("country", ExactString(3), nullable=False),
        sa.Column("state", ExactString(12), nullable=False),
        sa.Column("bucket", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("shard", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("messages", sa.BigInteger, nullable=False),
        sa.Column("parts", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(
            "day", "template", "provider", "country", "state", "bucket", "shard", name=op.f("pk_sms_daily")
        ),
    )
