"""Forget in time: numbers after `SMS_RETENTION`, idempotency keys after a day, what has expired."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from carboy.clock import Clock
from carboy.db import GroupCommit
from carboy.jobs import Job, put, row_of
from carboy.services.sms.intake import CLAIM_MS
from carboy.services.sms.tables import BUDGETS, CODES, MESSAGES, RECEIPTS, REQUESTS

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Upkeep"]

_AT_MOST = 1000
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class _Limits:
    now_ms: int
    before_ms: int


@dataclass(slots=True)
class Upkeep:
    """Runs once an hour, somewhere: the first request of an hour asks for it."""

    writer: GroupCommit
    clock: Clock
    retention_ms: int
    _asked_hour: int = 0

    def job(self) -> Job[[int]]:
        """Return the job `sms.upkeep`, with the hour that it is of."""
        return Job("sms.upkeep", self.run, attempts=5, priority=9)

    def ask(self, job: Job[[int]]) -> None:
        """Have it done in this hour, unless that was asked for already."""
        now_ms = self.clock.now_ms()
        hour = now_ms // _HOUR_MS
        if hour == self._asked_hour:
            return
        self._asked_hour = hour
        self.writer.run(_put, row_of(job, (hour,), now_ms=now_ms, key=f"sms.upkeep:{hour}"))

    def run(self, _hour: int = 0) -> None:
        """Forget what is to be forgotten."""
        now_ms = self.clock.now_ms()
        limits = _Limits(now_ms, now_ms - self.retention_ms)
        while self.writer.run(_forget, limits):
            pass


def _put(connection: "Connection", rows: Sequence[dict[str, object]]) -> list[None]:
    put(connection, rows)
    return [None] * len(rows)


def _forget(connection: "Connection", wishes: Sequence[_Limits]) -> list[bool]:
    """Forget a part; return whether there may be more."""
    return [_forget_some(connection, wish) for wish in wishes]


def _forget_some(connection: "Connection", wish: _Limits) -> bool:
    old = MESSAGES.c.created_at < wish.before_ms
    ids = connection.execute(select(MESSAGES.c.id).where(old, MESSAGES.c.receiver.is_not(None)).limit(_AT_MOST))
    messages = list(ids.scalars())
    if messages:
        connection.execute(update(MESSAGES).where(MESSAGES.c.id.in_(messages)).values(receiver=None))
    stale = (REQUESTS.c.created_at < wish.now_ms - CLAIM_MS) & REQUESTS.c.claim.is_not(None)
    claims = list(connection.execute(select(REQUESTS.c.id).where(stale).limit(_AT_MOST)).scalars())
    if claims:
        connection.execute(update(REQUESTS).where(REQUESTS.c.id.in_(claims)).values(claim=None))
    connection.execute(delete(CODES).where(CODES.c.expires_at < wish.now_ms))
    connection.execute(delete(BUDGETS).where(BUDGETS.c.expires_at < wish.now_ms))
    connection.execute(delete(RECEIPTS).where(RECEIPTS.c.at < wish.before_ms))
    return len(messages) == _AT_MOST or len(claims) == _AT_MOST
