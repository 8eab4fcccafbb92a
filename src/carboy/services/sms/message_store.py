"""Message store: the rows of requests and messages, claimed for a call, settled, and queried.

A message is `sending` in a commit of its own before its provider is called. A later run that finds this state knows
that a call may have been made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import bindparam, case, func, literal_column, or_, select, update

from carboy.db import chunks, placeholders
from carboy.jobs import put
from carboy.services.sms.delivery_reports import settle_early_receipts
from carboy.services.sms.states import OPEN, RANKS, State
from carboy.services.sms.tables import MESSAGES, REQUESTS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["Begin", "Mark", "Queued", "Records", "Work", "begin", "mark", "release"]


@dataclass(frozen=True, slots=True)
class Queued:
    """A message to send."""

    id: int
    receiver: str
    state: State
    attempts: int
    provider: str | None


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


@dataclass(frozen=True, slots=True)
class Begin:
    """A claim on messages, before a provider is called.

    Attributes:
        ids: rows of messages that are queued, or that this owner has claimed before.
        owner: identifies the call.
        provider: its name.
    """

    ids: tuple[int, ...]
    owner: str
    provider: str


@dataclass(frozen=True, slots=True)
class Mark:
    """The new state of a message.

    Attributes:
        id: its row.
        request: the row of its request.
        owner: of the call; for `queued`, only that call's own message is released.
        state: `queued` releases it.
        at_ms: when.
        look_up: the row of a job that polls the provider later; None for no polling.
    """

    id: int
    request: int
    owner: str
    state: State
    at_ms: int
    provider: str | None = None
    provider_id: str | None = None
    code: str = ""
    words: str = ""
    look_up: Mapping[str, Any] | None = None


def begin(connection: "Connection", claims: Sequence[Begin]) -> list[frozenset[int]]:
    """Mark messages as `sending`, and return those that each claim got; no message is claimed twice."""
    ids = sorted({one for claim in claims for one in claim.ids})
    lock = "" if connection.dialect.name == "sqlite" else " ORDER BY id FOR UPDATE"
    found = {
        row: (state, owner)
        for some in chunks(ids, _MAX_PARAMETERS)
        for row, state, owner in connection.exec_driver_sql(
            f"{_STATES} ({placeholders(connection, len(some))}){lock}", tuple(some)
        )
    }
    answers, changes = [], []
    for claim in claims:
        got = [
            one
            for one in claim.ids
            if found.get(one, ("",))[0] == "queued" or found.get(one) == ("sending", claim.owner)
        ]
        for one in got:
            found[one] = ("sending", claim.owner)
            changes.append({"b_id": one, "b_owner": claim.owner, "b_provider": claim.provider})
        answers.append(frozenset(got))
    if changes:
        connection.execute(_BEGIN, changes)
    return answers


def release(connection: "Connection", batches: Sequence[Sequence[int]]) -> list[None]:
    """Release messages whose worker was lost."""
    ids = [one for batch in batches for one in batch]
    lost = (MESSAGES.c.id.in_(ids)) & (MESSAGES.c.state == "sending")
    connection.execute(update(MESSAGES).where(lost).values(state="queued", owner=None))
    return [None] * len(batches)


def mark(connection: "Connection", batches: Sequence[Sequence[Mark]]) -> list[None]:
    """Write the new states of messages; a state of higher rank stays."""
    marks = sorted((one for batch in batches for one in batch), key=lambda one: one.id)
    if not marks:
        return [None] * len(batches)
    by_state: dict[State, list[Mark]] = {}
    for one in marks:
        by_state.setdefault(one.state, []).append(one)
    for state, some in by_state.items():
        _write(connection, state, some)
    done = [one for one in marks if one.state != "queued"]
    if done:
        settle_early_receipts(connection, list({one.provider_id: None for one in done if one.provider_id}))
        _forget_params(connection, {one.request for one in done})
    if jobs := [one.look_up for one in done if one.look_up is not None]:
        put(connection, jobs)
    return [None] * len(batches)


class Records:
    """Finds requests and messages."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def work(self, row: int, ids: Sequence[int]) -> Work | None:
        """Return the messages of a job that are not done; None if all are."""
        with self._engine.connect() as connection:
            found = connection.execute(_WORK, {"b_ids": list(ids)}).all()
        if not found:
            return None
        one = found[0]
        params = orjson.loads(one.params) if one.params else {}
        messages = tuple(Queued(each.id, each.receiver, each.state, each.attempts, each.provider) for each in found)
        return Work(row, one.template, params, one.pinned, one.created_at, one.expires_at, messages)

    def request(self, row: int) -> tuple[Any, list[Any]] | None:
        """Return the rows of a request and of its messages in the order of its receivers; None if it does not exist."""
        with self._engine.connect() as connection:
            one = connection.execute(select(REQUESTS).where(REQUESTS.c.id == row)).first()
            if one is None:
                return None
            rows = connection.execute(select(MESSAGES).where(MESSAGES.c.request == row).order_by(MESSAGES.c.id)).all()
        return one, list(rows)

    def message(self, row: int) -> Any:
        """Return the row of a message; None if there is no such message."""
        with self._engine.connect() as connection:
            return connection.execute(select(MESSAGES).where(MESSAGES.c.id == row)).first()

    def list(
        self,
        *,
        receiver_hash: str | None = None,
        state: str | None = None,
        since_ms: int | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Any]:
        """Return rows of messages, newest first.

        Args:
            receiver_hash: only of this receiver.
            state: only in this state.
            since_ms: only those accepted from then on.
            before: only rows with a smaller id than this, for the next page.
            limit: at most so many.
        """
        query = select(MESSAGES).order_by(MESSAGES.c.id.desc()).limit(limit)
        if receiver_hash is not None:
            query = query.where(MESSAGES.c.receiver_hash == receiver_hash)
        if state is not None:
            query = query.where(MESSAGES.c.state == state)
        if since_ms is not None:
            query = query.where(MESSAGES.c.created_at >= since_ms)
        if before is not None:
            query = query.where(MESSAGES.c.id < before)
        with self._engine.connect() as connection:
            return list(connection.execute(query).all())

    def unfinished(self, row: int) -> int:
        """Return how many messages of a request are not done."""
        with self._engine.connect() as connection:
            return len(connection.execute(_OPEN_OF, {"b_request": row}).all())


_MAX_PARAMETERS = 1000  # of one statement; databases differ in how many more they take
_STATES = "SELECT id, state, owner FROM sms_messages WHERE id IN"
_WORK = (
    select(
        MESSAGES.c.id,
        MESSAGES.c.receiver,
        MESSAGES.c.state,
        MESSAGES.c.attempts,
        MESSAGES.c.provider,
        REQUESTS.c.template,
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
_ROW = MESSAGES.c.id == bindparam("b_id")
_BEGIN = (
    update(MESSAGES)
    .where(_ROW)
    .values(
        state="sending",
        owner=bindparam("b_owner"),
        provider=bindparam("b_provider"),
        attempts=MESSAGES.c.attempts + 1,
    )
)
_FORGET = (
    update(REQUESTS)
    .where(
        REQUESTS.c.id.in_(bindparam("b_requests", expanding=True)),
        ~select(MESSAGES.c.id).where(MESSAGES.c.request == REQUESTS.c.id, MESSAGES.c.state.in_(OPEN)).exists(),
    )
    .values(params=None)
)
_GIVE_BACK = (
    update(MESSAGES)
    .where(_ROW, MESSAGES.c.state == "sending", MESSAGES.c.owner == bindparam("b_owner"))
    .values(state="queued", owner=None, code=bindparam("b_code"), words=bindparam("b_words"))
)


def _weaker_than(state: State) -> Any:
    """Return the condition as literals, as a list of parameters cannot be repeated for many rows."""
    weaker = [other for other, rank in RANKS.items() if rank < RANKS[state]]
    return or_(*(MESSAGES.c.state == literal_column(f"'{other}'") for other in weaker))


def _stronger(state: State, column: Any, value: Any) -> Any:
    """Return the value if the new state has the higher rank, else the column."""
    return case((_weaker_than(state), value), else_=column)


_NOT_TAKEN = {
    state: update(MESSAGES)
    .where(_ROW, _weaker_than(state))
    .values(
        state=state,
        owner=None,
        provider=func.coalesce(bindparam("b_provider"), MESSAGES.c.provider),
        code=bindparam("b_code"),
        words=bindparam("b_words"),
        settled_at=bindparam("b_at"),
    )
    for state in ("failed", "unknown")
}
_SENT = (
    update(MESSAGES)
    .where(_ROW)
    .values(
        state=_stronger("sent", MESSAGES.c.state, "sent"),
        code=_stronger("sent", MESSAGES.c.code, bindparam("b_code")),
        words=_stronger("sent", MESSAGES.c.words, bindparam("b_words")),
        owner=None,
        provider=bindparam("b_provider"),
        provider_id=bindparam("b_provider_id"),
        sent_at=bindparam("b_at"),
        settled_at=_stronger("sent", MESSAGES.c.settled_at, None),
    )
)


def _write(connection: "Connection", state: State, marks: Sequence[Mark]) -> None:
    rows = [
        {
            "b_id": one.id,
            "b_code": one.code[:100] or None,
            "b_words": one.words[:500] or None,
            **(
                {"b_owner": one.owner}
                if state == "queued"
                else {"b_provider": one.provider, "b_at": one.at_ms}
                | ({"b_provider_id": one.provider_id} if state == "sent" else {})
            ),
        }
        for one in marks
    ]
    connection.execute(_GIVE_BACK if state == "queued" else _SENT if state == "sent" else _NOT_TAKEN[state], rows)


def _forget_params(connection: "Connection", requests: set[int]) -> None:
    """Delete the parameters of requests whose last message is done."""
    for some in chunks(sorted(requests), _MAX_PARAMETERS):
        connection.execute(_FORGET, {"b_requests": list(some)})
