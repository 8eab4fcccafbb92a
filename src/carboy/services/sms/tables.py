"""Tables of the SMS gateway; times are milliseconds since the epoch."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, SmallInteger, Table

from carboy.db import ExactString, ExactText, big_id, metadata

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
    Column("send_at", BigInteger),  # None for at once
    Column("expires_after", BigInteger),  # milliseconds; None unless the request has it
    Column("callback_url", ExactString(2048)),
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
    Column("country", ExactString(3)),  # ISO 3166; None in rows of earlier releases
    Column("reference", ExactString(255), index=True),  # the caller's own
    Column("params", LargeBinary(1 << 20)),  # of this receiver; None for those of the request
    Column("due_at", BigInteger),  # when a scheduled or held message is sent
    Column("sequence", Integer, nullable=False, server_default="0"),  # grows with each change of the state
    Column("retries", SmallInteger, nullable=False, server_default="0"),  # after temporary delivery failures
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
    Column("is_temporary", SmallInteger, nullable=False, server_default="0"),
    Index(None, "provider_id"),
    Index(None, "at"),
)
"""Receipts of messages that are unknown, or not yet known."""

ATTEMPTS = Table(
    "sms_attempts",
    metadata,
    Column("id", big_id(), primary_key=True, autoincrement=False),
    Column("message", BigInteger, nullable=False, index=True),
    Column("provider", ExactString(64), nullable=False),
    Column("kind", ExactString(16), nullable=False),  # see `providers.Outcome`
    Column("code", ExactString(100)),
    Column("words", ExactString(500)),
    Column("at", BigInteger, nullable=False, index=True),
)
"""Calls that did not get a message accepted; the one that did stands in the message."""

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

OPT_OUTS = Table(
    "sms_opt_outs",
    metadata,
    Column("id", big_id(), primary_key=True, autoincrement=False),
    Column("receiver", ExactString(20), nullable=False, unique=True),  # E.164: it must outlive a new SECRET_KEY
    Column("receiver_shown", ExactString(24), nullable=False),
    Column("reason", ExactString(16), nullable=False),  # `stop`, `provider` or `api`
    Column("provider", ExactString(64)),
    Column("at", BigInteger, nullable=False),
)
"""Numbers that get no marketing messages."""

INBOUND = Table(
    "sms_inbound",
    metadata,
    Column("id", big_id(), primary_key=True, autoincrement=False),
    Column("key", ExactString(64), nullable=False, unique=True),  # hash of the provider and its id of the message
    Column("provider", ExactString(64), nullable=False),
    Column("sender", ExactString(20)),  # E.164; deleted after `SMS_RETENTION`
    Column("sender_shown", ExactString(24), nullable=False),
    Column("sender_hash", ExactString(64), nullable=False, index=True),
    Column("receiver", ExactString(32)),  # our number
    Column("text", ExactText),  # deleted after `SMS_RETENTION`
    Column("keyword", ExactString(8)),  # `stop` or `start`
    Column("at", BigInteger, nullable=False, index=True),
)
"""Messages that people sent to our numbers."""

DAILY = Table(
    "sms_daily",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),  # days since the epoch, UTC, of the acceptance
    Column("template", ExactString(100), primary_key=True),
    Column("provider", ExactString(64), primary_key=True),  # empty for none
    Column("country", ExactString(3), primary_key=True),  # empty if it is not known
    Column("state", ExactString(12), primary_key=True),
    Column("bucket", SmallInteger, primary_key=True, autoincrement=False),  # of the time to delivery; 0 for none
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),  # so that processes do not wait for a row
    Column("messages", BigInteger, nullable=False),
    Column("parts", BigInteger, nullable=False),
    Column("delays", ExactText),  # messages by bucket, as JSON, once the day is over
)
"""How many messages of a day are in each state, kept in the transactions that change the states.

A day that is over has one row for each state, with bucket and shard 0; changes that come later are added to it.
"""
