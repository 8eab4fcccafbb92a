"""Text that is compared byte by byte, in every language, on MySQL and MariaDB; the other databases do so anyway."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

from carboy.db.migrate import makes
from carboy.db.schema import exact_collation

revision = "0006"
down_revision = "0005"

_TABLES = (
    "archive_items", "carboy_jobs", "carboy_keys", "carboy_shared", "carboy_turns",
    "sms_budgets", "sms_codes", "sms_messages", "sms_receipts", "sms_requests",
)  # fmt: skip
_NOT_ONLINE = {1221, 1845, 1846, 1064}  # the server cannot, or does not know the words


def upgrade() -> None:
    """Convert the tables that are not yet; no value that was unique stops being so.

    Each is one statement, without a lock where the server can (MariaDB from 11.2 on), else with writes waiting.
    """
    connection = op.get_bind()
    if connection.dialect.name not in {"mysql", "mariadb"}:
        return
    collation = exact_collation(connection.dialect)
    for table in _TABLES:
        if makes(table.partition("_")[0]) and not _is_exact(connection, table, collation):
            _convert(connection, f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}")


def downgrade() -> None:
    """Do nothing: the columns hold what the earlier ones could not."""


def _is_exact(connection: sa.Connection, table: str, collation: str) -> bool:
    query = sa.text(
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = :table"
        " AND collation_name IS NOT NULL AND collation_name <> :collation"
    )
    return connection.execute(query, {"table": table, "collation": collation}).scalar() == 0


def _convert(connection: sa.Connection, statement: str) -> None:
    try:
        connection.exec_driver_sql(f"{statement}, LOCK=NONE")
    except DBAPIError as error:
        if error.orig is None or error.orig.args[0] not in _NOT_ONLINE:
            raise
        connection.exec_driver_sql(statement)
