"""Write to the audit log, from wherever something is done: the console, a command, a job."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert

from carboy.jobs import new_id
from carboy.web.tables import AUDIT

if TYPE_CHECKING:
    from sqlalchemy import Connection


def audit_row(
    now_ms: int,
    who: str,
    action: str,
    target: str = "",
    detail: str = "",
    *,
    key_id: str | None = None,
    address: str = "",
    request_id: str = "",
) -> dict[str, Any]:
    """Return a row of the audit log.

    Args:
        now_ms: the time, milliseconds since the epoch.
        who: a person, a key, or the account that runs a command.
        action: a constant name, such as `job.retry`.
        target: the object's id or name; never a secret.
        detail: more about it, such as a range or a count.
        key_id: of the API key that was used.
        address: the client's.
        request_id: of the request.
    """
    return {
        "id": new_id(now_ms),
        "at": now_ms,
        "who": who[:200],
        "key_id": key_id,
        "action": action[:100],
        "object": target[:255],
        "detail": detail[:2000] or None,
        "address": address[:64],
        "request_id": request_id[:128],
    }


def write_audit(connection: "Connection", groups: Sequence[Sequence[dict[str, Any]]]) -> list[None]:
    """Write rows of the audit log, those of many callers in one transaction; see `carboy.db.GroupCommit`."""
    rows = [row for group in groups for row in group]
    if rows:
        connection.execute(insert(AUDIT), rows)
    return [None] * len(groups)
