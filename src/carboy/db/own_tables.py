"""The names of Carboy's own tables, in groups: `carboy_…` is there always, a service's where it is in use."""

import re

VERSION_TABLE = "carboy_version"

_TABLES = frozenset(
    {
        VERSION_TABLE,
        "archive_attempts", "archive_deliveries", "archive_destinations", "archive_exchanged_secrets",
        "archive_items", "archive_refused", "carboy_audit", "carboy_halted", "carboy_jobs",
        "carboy_keys", "carboy_sessions", "carboy_shared", "carboy_turns",
        "sms_attempts", "sms_budgets", "sms_codes", "sms_daily", "sms_inbound",
        "sms_messages", "sms_opt_outs", "sms_receipts", "sms_requests",
    }
)  # fmt: skip
GROUPS = {group: frozenset(table for table in _TABLES if table.startswith(f"{group}_")) for group in ("archive", "sms")}
"""The tables of each service."""

_MYSQL_NO_TABLE = 1146
_PG_NO_TABLE = "42P01"
_NAME = re.compile(r"\b(?:carboy|archive|sms)_[a-z_]+\b")


def is_ours(table: str) -> bool:
    """Return whether a table is one of Carboy's own parts, so that a project's migrations leave it alone."""
    return table in _TABLES


def find_missing_table(error: BaseException) -> str | None:
    """Return which of Carboy's tables a driver's error says is not there; None for any other error."""
    code = error.args[0] if error.args else None
    text = str(error)
    is_missing = (
        code == _MYSQL_NO_TABLE or getattr(error, "sqlstate", None) == _PG_NO_TABLE or text.startswith("no such table")
    )
    found = _NAME.search(text.partition("\n")[0]) if is_missing else None
    return found[0] if found and is_ours(found[0]) else None
