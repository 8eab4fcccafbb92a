"""The tables of API keys, and of the console: sessions, and the log of what was done."""

from sqlalchemy import BigInteger, Column, Index, Table

from carboy.db import ExactString, ExactText, big_id, metadata

KEYS = Table(
    "carboy_keys",
    metadata,
    Column("id", ExactString(16), primary_key=True),
    Column("name", ExactString(100), nullable=False),
    Column("scopes", ExactString(1000), nullable=False),  # separated by blanks
    Column("hash", ExactString(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),  # times are milliseconds since the epoch
    Column("last_used_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("expires_at", BigInteger),
)

SESSIONS = Table(
    "carboy_sessions",
    metadata,
    Column("hash", ExactString(64), primary_key=True),  # SHA-256 of the cookie, or of a one-time login
    Column("kind", ExactString(8), nullable=False),  # session, login
    Column("name", ExactString(200), nullable=False),
    Column("key_id", ExactString(16)),  # the API key that it stands for
    Column("scopes", ExactString(2000), nullable=False),  # of a person without a key; separated by blanks
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index(None, "expires_at"),
)

AUDIT = Table(
    "carboy_audit",
    metadata,
    Column("id", big_id(), primary_key=True, autoincrement=False),  # grows with the time
    Column("at", BigInteger, nullable=False),
    Column("who", ExactString(200), nullable=False),
    Column("key_id", ExactString(16)),
    Column("action", ExactString(100), nullable=False),
    Column("object", ExactString(255), nullable=False),
    Column("detail", ExactText),
    Column("address", ExactString(64), nullable=False),
    Column("request_id", ExactString(128), nullable=False),
    Index(None, "who", "id"),
    Index(None, "action", "id"),
)
"""Rows are only ever added."""
