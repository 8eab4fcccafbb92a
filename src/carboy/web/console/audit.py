"""The audit log: who did what, on which object, when. Rows are added and never changed."""

from typing import Any

from flask import g, request
from sqlalchemy import select

from carboy.logs import BoundLogger, get_logger, request_id
from carboy.web.audit_log import audit_row, write_audit
from carboy.web.console.access import visitor
from carboy.web.runtime import runtime
from carboy.web.tables import AUDIT

log: BoundLogger = get_logger("carboy.console")


def record_action(action: str, target: str = "", detail: str = "") -> None:
    """Add an action of the current visitor to the audit log.

    Args:
        action: a constant name, such as `job.retry`.
        target: the object's id or name; never a secret.
        detail: more about it, such as a range or a count.
    """
    who = visitor()
    record_as(who.name, who.key_id, action, target, detail)


def record_as(who: str, key_id: str | None, action: str, target: str = "", detail: str = "") -> None:
    """Record an action under a given name, such as a login's."""
    current = runtime()
    row = audit_row(
        current.clock.now_ms(),
        who,
        action,
        target,
        detail,
        key_id=key_id,
        address=request.remote_addr or "",
        request_id=request_id(),
    )
    g.is_audited = True
    current.writer.run(write_audit, [row])
    log.info("console_action", who=who, action=action, target=target)


def list_audit(
    *,
    who: str = "",
    action: str = "",
    start_ms: int | None = None,
    end_ms: int | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Any]:
    """Return rows of the audit log, the newest first."""
    query = select(AUDIT).order_by(AUDIT.c.id.desc()).limit(limit)
    if who:
        query = query.where(AUDIT.c.who == who)
    if action:
        query = query.where(AUDIT.c.action == action)
    if start_ms is not None:
        query = query.where(AUDIT.c.id >= max(0, start_ms) << 22)
    if end_ms is not None:
        query = query.where(AUDIT.c.id < max(0, end_ms) << 22)
    if before is not None:
        query = query.where(AUDIT.c.id < before)
    with runtime().engine.connect() as connection:
        return list(connection.execute(query).all())
