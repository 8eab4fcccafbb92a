"""Queries of messages and requests: the work of a job, and what the API lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import orjson
from sqlalchemy import Engine, Table, bindparam, case, func, select

from carboy.services.sms.states import OPEN, State
from carboy.services.sms.tables import MESSAGES, REQUESTS

_LONGEST_HOLD_MS = 25 * 3_600_000  # a day on which the clock goes back


@dataclass(frozen=True, slots=True)
class Queued:
    """A message to send; the first columns of `_WORK`."""

    id: int
    receiver: str
    state: State
    attempts: int
    provider: str | None
    shown: str = ""
    country: str = ""
    params: bytes | None = None
    due_at_ms: int | None = None
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """The work of a job: its messages that are not done, with their request."""

    row: int
    template: str
    params: dict[str, str]
    provider: str | None
    created_at_ms: int
    expires_at_ms: int
    messages: tuple[Queued, ...]
    send_at_ms: int | None = None
    expires_after_ms: int | None = None

    def is_due(self, one: Queued, now_ms: int) -> bool:
        """Return whether a message may be sent now: neither scheduled for later nor held.

        A message that is held for longer than any quiet hours last was held by a clock that was ahead.
        """
        if one.state == "held" and (one.due_at_ms or 0) > now_ms + _LONGEST_HOLD_MS:
            return True
        return (one.due_at_ms or self.send_at_ms or 0) <= now_ms

    def ends_at_ms(self, one: Queued) -> int:
        """Return from when a message is not worth sending.

        A limit that the request has is kept as it is. The usual one counts from when the message is due, so that quiet
        hours lose nothing.
        """
        if self.expires_after_ms is not None or one.due_at_ms is None:
            return self.expires_at_ms
        worth_ms = self.expires_at_ms - (self.send_at_ms or self.created_at_ms)
        return max(self.expires_at_ms, one.due_at_ms + worth_ms)


@dataclass(frozen=True, slots=True)
class Records:
    """Finds requests and messages, and lists the rows of the gateway's tables."""

    engine: Engine

    def work(self, row: int, ids: Sequence[int]) -> Work | None:
        """Return the messages of a job that are not done; None if all are."""
        with self.engine.connect() as connection:
            found = connection.execute(_WORK, {"b_ids": list(ids)}).all()
        if not found:
            return None
        one = found[0]
        params = orjson.loads(one.params) if one.params else {}
        messages = tuple(Queued(*each[: len(fields(Queued))]) for each in found)
        return Work(
            row, one.template, params, one.pinned, one.created_at, one.expires_at, messages, one.send_at,
            one.expires_after,
        )  # fmt: skip

    def request(self, row: int) -> tuple[Any, list[Any]] | None:
        """Return the rows of a request and of its messages in the order of its receivers; None if it does not exist."""
        with self.engine.connect() as connection:
            one = connection.execute(select(REQUESTS).where(REQUESTS.c.id == row)).first()
            if one is None:
                return None
            rows = connection.execute(select(MESSAGES).where(MESSAGES.c.request == row).order_by(MESSAGES.c.id)).all()
        return one, list(rows)

    def callback_url(self, row: int) -> str | None:
        """Return a request's address for call-backs: empty for that of the settings, None for nowhere."""
        with self.engine.connect() as connection:
            found: str | None = connection.execute(select(REQUESTS.c.callback_url).where(REQUESTS.c.id == row)).scalar()
        return found

    def message(self, row: int) -> Any:
        """Return the row of a message; None if there is no such message."""
        with self.engine.connect() as connection:
            return connection.execute(select(MESSAGES).where(MESSAGES.c.id == row)).first()

    def newest(
        self,
        table: Table,
        chosen: Mapping[str, Any],
        *,
        from_ms: int | None = None,
        until_ms: int | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Any]:
        """Return rows, newest first.

        Args:
            table: has a column `id`.
            chosen: values by column; None for any value.
            from_ms: accepted from then on; of messages only.
            until_ms: accepted before; of messages only.
            before: only rows with a smaller id than this, for the next page.
            limit: at most so many.
        """
        conditions = [table.c[name] == value for name, value in chosen.items() if value is not None]
        if from_ms is not None:
            conditions.append(MESSAGES.c.created_at >= from_ms)
        if until_ms is not None:
            conditions.append(MESSAGES.c.created_at < until_ms)
        if before is not None:
            conditions.append(table.c.id < before)
        with self.engine.connect() as connection:
            query = select(table).where(*conditions).order_by(table.c.id.desc()).limit(limit)
            return list(connection.execute(query).all())

    def count_on_time(self, since_ms: Mapping[str, int], until_ms: int, late_ms: int) -> dict[str, tuple[int, int]]:
        """Return for each provider how many messages it was handed at once, and how many of them it delivered in time.

        Args:
            since_ms: by provider, from when on messages count.
            until_ms: messages handed over later do not count yet.
            late_ms: how long a delivery may take.
        """
        is_on_time = (MESSAGES.c.state == "delivered") & (MESSAGES.c.settled_at - MESSAGES.c.sent_at <= late_ms)
        columns = (func.count(), func.coalesce(func.sum(case((is_on_time, 1), else_=0)), 0))
        at_once = (MESSAGES.c.sent_at <= until_ms, MESSAGES.c.due_at.is_(None), MESSAGES.c.retries == 0)
        with self.engine.connect() as connection:
            return {
                name: (int(count), int(on_time))
                for name, begin_ms in since_ms.items()
                for count, on_time in connection.execute(
                    select(*columns).where(
                        MESSAGES.c.created_at >= begin_ms,
                        MESSAGES.c.created_at <= until_ms,
                        MESSAGES.c.provider == name,
                        *at_once,
                    )
                )
            }

    def unfinished(self, row: int) -> int:
        """Return how many messages of a request are not done."""
        with self.engine.connect() as connection:
            return len(connection.execute(_OPEN_OF, {"b_request": row}).all())


_WORK = (
    select(
        MESSAGES.c.id,
        MESSAGES.c.receiver,
        MESSAGES.c.state,
        MESSAGES.c.attempts,
        MESSAGES.c.provider,
        MESSAGES.c.receiver_shown,
        func.coalesce(MESSAGES.c.country, ""),
        MESSAGES.c.params.label("own_params"),
        MESSAGES.c.due_at,
        MESSAGES.c.retries,
        REQUESTS.c.template,
        REQUESTS.c.send_at,
        REQUESTS.c.expires_after,
        REQUESTS.c.params,
        REQUESTS.c.provider.label("pinned"),
        REQUESTS.c.created_at,
        REQUESTS.c.expires_at,
    )
    .join_from(MESSAGES, REQUESTS, MESSAGES.c.request == REQUESTS.c.id)
    .where(MESSAGES.c.id.in_(bindparam("b_ids", expanding=True)), MESSAGES.c.state.in_(OPEN))
    .order_by(MESSAGES.c.id)
)
_OPEN_OF = select(MESSAGES.c.id).where(MESSAGES.c.request == bindparam("b_request"), MESSAGES.c.state.in_(OPEN))
