"""The tables of destinations: how each does, what it gets, and every attempt."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table

from carboy.db import ExactString, big_id, metadata

DESTINATIONS = Table(
    "archive_destinations",
    metadata,
    Column("name", ExactString(64), primary_key=True),
    Column("scheduled_at", BigInteger),  # when the job that delivers is due; null where none is queued
    Column("owner", ExactString(160)),  # the process that delivers, until `lease_until`
    Column("lease_until", BigInteger),  # times are milliseconds since the epoch
    Column("paused", ExactString(255)),  # the reason why deliveries are paused
    Column("failures", Integer, nullable=False, server_default="0"),  # in a row
    Column("failing_since", BigInteger),
    Column("open_until", BigInteger),  # the circuit breaker's
    Column("hold_until", BigInteger),  # as the receiver asked
)

DELIVERIES = Table(
    "archive_deliveries",
    metadata,
    Column("id", big_id(), primary_key=True, autoincrement=False),  # grows with time; the `webhook-id`
    Column("destination", ExactString(64), nullable=False),
    Column("item", BigInteger, nullable=False),
    Column("source", ExactString(64), nullable=False),
    Column("event_id", ExactString(1024), nullable=False),  # as its sender wrote it
    Column("event_type", ExactString(255)),
    Column("state", ExactString(10), nullable=False),  # waiting, delivering, delivered, failed, expired
    Column("attempts", Integer, nullable=False),  # made in all
    Column("tries", Integer, nullable=False),  # made since it was last retried by hand
    Column("next_at", BigInteger),  # of the next attempt; null once it has ended
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
)

ATTEMPTS = Table(
    "archive_attempts",
    metadata,
    Column("delivery", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("destination", ExactString(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("status", Integer),
    Column("error", ExactString(500)),
    Column("response", LargeBinary(8192)),
)

_IS_OPEN = DELIVERIES.c.next_at.is_not(None)
Index(None, DELIVERIES.c.destination, DELIVERIES.c.state, DELIVERIES.c.id)
Index(None, DELIVERIES.c.destination, DELIVERIES.c.next_at, sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN)
Index(None, DELIVERIES.c.item)
Index(None, ATTEMPTS.c.destination, ATTEMPTS.c.at)
