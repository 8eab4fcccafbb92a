"""The index of the archive: one row for each thing that was ever accepted."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, Table, UniqueConstraint

from carboy.db import ExactString, big_id, metadata

ITEMS = Table(
    "archive_items",
    metadata,
    Column("id", big_id(), primary_key=True, autoincrement=False),  # grows with the time of acceptance
    Column("source", ExactString(64), nullable=False),
    Column("item_id", ExactString(255), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),  # the same for the same content, however it is formatted
    Column("sha256", LargeBinary(32), nullable=False),  # of the bytes that are kept
    Column("at", BigInteger, nullable=False),  # its own time; times are milliseconds since the epoch
    Column("received_at", BigInteger, nullable=False),
    Column("version", Integer, nullable=False, server_default="0"),  # counts the contents of this id
    Column("newest", Boolean, nullable=False),  # of the versions of this id
    Column("state", ExactString(8), nullable=False),  # accepted, copied, archived
    Column("detail", ExactString(8), nullable=False),  # off, pending, missing, kept
    Column("object_key", ExactString(1024), nullable=False),
    Column("detail_key", ExactString(1024)),
    Column("detail_sha256", LargeBinary(32)),
    Column("content_type", ExactString(255), nullable=False),
    Column("headers", LargeBinary(1 << 20)),  # a JSON object
    Column("body", LargeBinary(1 << 28)),  # until it is archived
    Column("severity", ExactString(255)),
    Column("organization_id", ExactString(255)),
    Column("origin", ExactString(255)),  # an alert's own `source`: Host, CloudTrail
    Column("event_type", ExactString(255)),  # where the source's settings say what it is
    Column("size", BigInteger),  # of its bytes; None in rows of earlier releases
    # of two processes that add to one id at the same moment one is refused, looks again, and finds the other's
    UniqueConstraint("source", "item_id", "version"),
)

REFUSED = Table(
    "archive_refused",
    metadata,
    Column("id", big_id(), primary_key=True, autoincrement=False),  # grows with time
    Column("at", BigInteger, nullable=False),
    Column("source", ExactString(64), nullable=False),
    Column("reason", ExactString(32), nullable=False),
    Column("detail", ExactString(255), nullable=False),
    Column("status", Integer, nullable=False),
    Column("address", ExactString(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("request_id", ExactString(128), nullable=False),
    Column("headers", LargeBinary(1 << 20)),  # a JSON object, where the source keeps refused requests
    Column("body", LargeBinary(1 << 20)),
)
EXCHANGED = Table(
    "archive_exchanged_secrets",
    metadata,
    Column("source", ExactString(64), primary_key=True),
    Column("sealed", LargeBinary(2048), nullable=False),  # a nonce, and the secret by AES-GCM
    Column("at", BigInteger, nullable=False),
)

_NEWEST = ITEMS.c.newest.is_(True)
Index(None, ITEMS.c.source, ITEMS.c.at, ITEMS.c.id, sqlite_where=_NEWEST, postgresql_where=_NEWEST)
for _column in (ITEMS.c.severity, ITEMS.c.organization_id, ITEMS.c.origin):  # most senders have none of them
    _held = _NEWEST & _column.is_not(None)
    Index(None, ITEMS.c.source, _column, ITEMS.c.at, ITEMS.c.id, sqlite_where=_held, postgresql_where=_held)
