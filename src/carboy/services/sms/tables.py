"""Tables of the SMS gateway; times are milliseconds since the epoch."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, SmallInteger, Table

from carboy.db import ExactString, big_id, metadata

__all__ = ["BUDGETS", "CODES", "MESSAGES", "RECEIPTS", "REQUESTS"]

REQUESTS = Table(
    "sms_requests",
    metadata,
    Column("id", big_id(), primary_key=True, autoincrement=False),  # grows with the time of acceptance
    Column("key_id", ExactString(16), nullable=False),  # the API key; empty without authentication
    Column("claim", ExactString(64), unique=True),  # of key and `Idempotency-Key`, for a day
    Column("digest", LargeBinary(32), nullable=False),  # of the body
    Column("template", ExactString(100), nullable=False),
    Column("provider", ExactString(64)),  # the only one that may carry it
    Column("params", LargeBinary(1 << 20)),  # a JSON object, until every message was handed over
    Column("expires_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

MESSAGES = Table(
    "sms_messages",
    metadata,
    Column("id", big_id(), primary_key=True, autoincrement=False),
    Column("request", BigInteger, nullable=False, index=True),
    Column("receiver", ExactString(20)),  # E.164; deleted after `SMS_RETENTION`
    Column("receiver_shown", ExactString(24), nullable=False),
    Column("receiver_hash", ExactString(64), nullable=False),
    Column("template", ExactString(100), nullable=False),
    Column("state", ExactString(12), nullable=False),
    Column("owner", ExactString(16)),  # of the call that is under way
    Column("attempts", SmallInteger, nullable=False),
    Column("segments", SmallInteger),  # None if only the provider knows the text
    Column("provider", ExactString(64)),
    Column("provider_id", ExactString(128)),
    Column("code", ExactString(100)),
    Column("words", ExactString(500)),
    Column("created_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Column("settled_at", BigInteger),
    Index(None, "receiver_hash", "template", "created_at"),
    Index(None, "provider_id"),
    Index(None, "state", "id"),
    Index(None, "created_at"),
)

RECEIPTS = Table(
    "sms_receipts",
    metadata,
    Column("id", big_id(), primary_key=True, autoincrement=False),
    Column("provider", ExactString(64), nullable=False),
    Column("provider_id", ExactString(128), nullable=False),
    Column("receiver_hash", ExactString(64)),
    Column("state", ExactString(12), nullable=False),
    Column("code", ExactString(100)),
    Column("words", ExactString(500)),
    Column("at", BigInteger, nullable=False),
    Index(None, "provider_id"),
    Index(None, "at"),
)
"""Receipts of messages that are unknown, or not yet known."""

BUDGETS = Table(
    "sms_budgets",
    metadata,
    Column("name", ExactString(100), primary_key=True),
    Column("used", Integer, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
)
"""What is used of a key's day; and a row per limited receiver, which is locked while its messages are counted."""

CODES = Table(
    "sms_codes",
    metadata,
    Column("id", big_id(), primary_key=True, autoincrement=False),  # of the request that sent it
    Column("subject", ExactString(64), nullable=False, unique=True),  # receiver and template; one code at a time
    Column("hash", ExactString(64), nullable=False),
    Column("tries_left", SmallInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
)
