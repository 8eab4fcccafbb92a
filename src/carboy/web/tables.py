"""The table of API keys."""

from sqlalchemy import BigInteger, Column, String, Table

from carboy.db import metadata

__all__ = ["KEYS"]

KEYS = Table(
    "carboy_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("scopes", String(1000), nullable=False),  # separated by blanks
    Column("hash", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),  # times are milliseconds since the epoch
    Column("last_used_at", BigInteger),
    Column("revoked_at", BigInteger),
)
