"""The table of API keys."""

from sqlalchemy import BigInteger, Column, Table

from carboy.db import ExactString, metadata

__all__ = ["KEYS"]

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
)
