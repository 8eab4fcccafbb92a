"""Retention: delete numbers and providers' words after `SMS_RETENTION`, idempotency keys after a day, expired rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Table, case, delete, func, select, update

from carboy.clock import Clock
from carboy.db import GroupCommit
from carboy.jobs import Job
from carboy.services.sms.daily_counts import DAY_MS, pack_days
from carboy.services.sms.intake import CLAIM_MS
from carboy.services.sms.states import OPEN
from carboy.services.sms.tables import ATTEMPTS, BUDGETS, CODES, INBOUND, MESSAGES, RECEIPTS, REQUESTS

_AT_MOST = 1000
_LONGEST_WAIT_MS = 62 * 86_400_000  # `send_at`, `expires_after` and quiet hours
UPKEEP_EVERY_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The hourly clean-up."""

    writer: GroupCommit
    clock: Clock
    retention_ms: int

    def job(self) -> Job[[int]]:
        """Return the job `sms.upkeep`, with its hour."""
        return Job("sms.upkeep", self.run, priority=9)

    def run(self, _hour: int = 0) -> None:
        """Delete everything that is due."""
        now_ms = self.clock.now_ms()
        while self.writer.run(_forget, (now_ms, now_ms - self.retention_ms)):
            pass


def _forget(connection: Connection, times: Sequence[tuple[int, int]]) -> list[bool]:
    """Delete a batch, given the time and that before which numbers are deleted; return whether there may be more."""
    return [_forget_some(connection, *one) for one in times]


def _forget_some(connection: Connection, now_ms: int, before_ms: int) -> bool:
    is_open = select(MESSAGES.c.id).where(MESSAGES.c.request == REQUESTS.c.id, MESSAGES.c.state.in_(OPEN)).exists()
    has_params = REQUESTS.c.params.is_not(None)
    messages = _clear(connection, MESSAGES, _is_old(before_ms), "receiver", "words", "params")
    if messages:
        requests = select(MESSAGES.c.request).where(MESSAGES.c.id.in_(messages)).distinct()
        params = REQUESTS.c.id.in_(list(connection.execute(requests).scalars()))
        waits = is_open & (REQUESTS.c.created_at >= before_ms - _LONGEST_WAIT_MS)
        connection.execute(update(REQUESTS).where(params, has_params, ~waits).values(params=None))
    stale = (REQUESTS.c.created_at < now_ms - CLAIM_MS) & REQUESTS.c.claim.is_not(None)
    claims = _clear(connection, REQUESTS, stale, "claim")
    kept = _clear(connection, REQUESTS, (REQUESTS.c.expires_at < now_ms) & has_params & ~is_open, "params")
    unread = (INBOUND.c.at < before_ms) & INBOUND.c.sender.is_not(None)
    inbound = _clear(connection, INBOUND, unread, "sender", "text")
    connection.execute(delete(CODES).where(CODES.c.expires_at < now_ms))
    connection.execute(delete(BUDGETS).where(BUDGETS.c.expires_at < now_ms))
    connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.at < before_ms))
    connection.execute(delete(RECEIPTS).where(RECEIPTS.c.at < before_ms))
    has_loose = pack_days(connection, now_ms // DAY_MS - 1)  # late reports change the days before
    return has_loose or _AT_MOST in {len(messages), len(claims), len(kept), len(inbound)}


def _clear(connection: Connection, table: Table, chosen: ColumnElement[bool], *columns: str) -> list[int]:
    """Clear columns of a batch of rows, and return the rows' ids."""
    ids = list(connection.execute(select(table.c.id).where(chosen).limit(_AT_MOST)).scalars())
    if ids:
        connection.execute(update(table).where(table.c.id.in_(ids)).values(dict.fromkeys(columns)))
    return ids


def _is_old(before_ms: int) -> ColumnElement[bool]:
    """Return the condition of messages that were sent before, or accepted and never sent.

    Those that wait keep their number, for as long as a message may wait: one whose job was lost does not keep it.
    """
    asked_at = case((MESSAGES.c.state == "unknown", MESSAGES.c.settled_at))  # when the response was lost
    over_at = func.coalesce(MESSAGES.c.sent_at, asked_at, MESSAGES.c.created_at)
    is_over = MESSAGES.c.state.not_in(OPEN) & (over_at < before_ms)
    is_lost = MESSAGES.c.created_at < before_ms - _LONGEST_WAIT_MS
    return (MESSAGES.c.created_at < before_ms) & MESSAGES.c.receiver.is_not(None) & (is_over | is_lost)
