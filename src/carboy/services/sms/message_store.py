"""Message store: messages are claimed for a call, and settled by its outcome, or canceled before.

A message is `sending` in a commit of its own before its provider is called. A later run that finds this state knows
that a call may have been made.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, insert, literal_column, or_, select, update

from carboy.db import chunks, locks_in_order, ordered_by, placeholders
from carboy.jobs import new_id, put
from carboy.services.sms.delivery_reports import settle_early_receipts
from carboy.services.sms.numbers import Number
from carboy.services.sms.opt_outs import OptOut, find_opted_out, opt_out
from carboy.services.sms.providers import Outcome
from carboy.services.sms.send_jobs import Resend
from carboy.services.sms.state_changes import track_changes
from carboy.services.sms.states import OPEN, RANKS, STATES, WAITING, State
from carboy.services.sms.tables import ATTEMPTS, MESSAGES, REQUESTS


@dataclass(frozen=True, slots=True)
class Begin:
    """A claim on messages, before a provider is called.

    Attributes:
        ids: rows of messages that are queued, or that this owner has claimed before.
        owner: identifies the call.
        provider: its name.
        subject_to_opt_out: the receivers of marketing messages, by the message's row.
        now_ms: the time.
        keeps_params: whether messages of the request may be sent again later.
    """

    ids: tuple[int, ...]
    owner: str
    provider: str
    subject_to_opt_out: Mapping[int, str] = field(default_factory=dict)
    now_ms: int = 0
    keeps_params: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call to a provider for one message."""

    provider: str
    outcome: Outcome
    at_ms: int


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
        resends: how messages of its template are sent again after a temporary failure; empty for never.
        due_at_ms: when a held message is sent.
        opt_out: the receiver, where the provider says that it has opted out.
        tried: the calls of this run that did not get it accepted.
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
    resends: Mapping[str, Resend] = field(default_factory=dict)
    due_at_ms: int | None = None
    opt_out: Number | None = None
    tried: Sequence[Attempt] = ()


@dataclass(frozen=True, slots=True)
class Cancel:
    """A request to cancel.

    Attributes:
        row: of a request, or of one of its messages.
        now_ms: the time.
        retried: templates whose messages may be sent again later, so that their parameters are kept.
    """

    row: int
    now_ms: int
    retried: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Canceled:
    """What became of it.

    Attributes:
        request: its row.
        canceled: how many messages will not be sent.
        too_late: how many were sent, or ended in another way.
    """

    request: int
    canceled: int
    too_late: int


@locks_in_order
def begin(connection: Connection, claims: Sequence[Begin]) -> list[frozenset[int]]:
    """Mark messages as `sending`, and return those that each claim got; no message is claimed twice.

    Marketing messages to numbers that have opted out end here.
    """
    listed = find_opted_out(connection, [number for one in claims for number in one.subject_to_opt_out.values()])
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
            if found.get(one, ("",))[0] in WAITING or found.get(one) == ("sending", claim.owner)
        ]
        ended = [one for one in got if claim.subject_to_opt_out.get(one) in listed]
        if ended:
            _end_opted_out(connection, ended, claim)
            found |= dict.fromkeys(ended, ("opted_out", None))
            got = [one for one in got if one not in ended]
        for one in got:
            found[one] = ("sending", claim.owner)
            changes.append({"b_id": one, "b_owner": claim.owner, "b_provider": claim.provider})
        answers.append(frozenset(got))
    if changes:
        connection.execute(_BEGIN, changes)
    return answers


def _end_opted_out(connection: Connection, ids: Sequence[int], claim: Begin) -> None:
    with track_changes(connection, ids, claim.now_ms):
        ended = update(MESSAGES).where(MESSAGES.c.id.in_(ids))
        connection.execute(ended.values(state="opted_out", owner=None, code="opted_out", settled_at=claim.now_ms))
    if claim.keeps_params:
        return
    requests = connection.execute(select(MESSAGES.c.request).where(MESSAGES.c.id.in_(ids)).distinct()).scalars()
    forget_params(connection, set(requests))


def release(connection: Connection, batches: Sequence[Sequence[int]]) -> list[None]:
    """Release messages whose worker was lost."""
    ids = [one for batch in batches for one in batch]
    lost = (MESSAGES.c.id.in_(ids)) & (MESSAGES.c.state == "sending")
    connection.execute(update(MESSAGES).where(lost).values(state="queued", owner=None))
    return [None] * len(batches)


@locks_in_order
def mark(connection: Connection, batches: Sequence[Sequence[Mark]]) -> list[None]:
    """Write the new states of messages; a state of higher rank stays."""
    marks = sorted((one for batch in batches for one in batch), key=lambda one: one.id)
    if not marks:
        return [None] * len(batches)
    by_state: dict[State, list[Mark]] = {}
    for one in marks:
        by_state.setdefault(one.state, []).append(one)
    given_back = by_state.pop("queued", [])
    if given_back:
        _write(connection, "queued", given_back)
    if by_state:
        settled = [one.id for some in by_state.values() for one in some]
        with track_changes(connection, settled, marks[0].at_ms):
            for state, some in by_state.items():
                _write(connection, state, some)
    if calls := [_attempt_row(one.id, call) for one in marks for call in one.tried]:
        connection.execute(insert(ATTEMPTS), calls)
    if numbers := [OptOut(one.opt_out, "provider", one.provider, one.at_ms) for one in marks if one.opt_out]:
        opt_out(connection, numbers)
    done = [one for one in marks if one.state not in {"queued", "held"}]
    if done:
        known = [
            *dict.fromkeys(one.provider_id for one in done if one.provider_id),
            *_ids_from_receipts(connection, done),
        ]
        settle_early_receipts(connection, known, {name: how for one in done for name, how in one.resends.items()})
        forget_params(connection, {one.request for one in done if not one.resends})
    if jobs := [one.look_up for one in done if one.look_up is not None]:
        put(connection, jobs)
    return [None] * len(batches)


def _ids_from_receipts(connection: Connection, done: Sequence[Mark]) -> list[str]:
    """Return what early receipts called messages whose response was lost."""
    lost = [one.id for one in done if one.state == "unknown" and one.resends]
    if not lost:
        return []
    named = select(MESSAGES.c.provider_id).where(MESSAGES.c.id.in_(lost), MESSAGES.c.provider_id.is_not(None))
    return list(connection.execute(named).scalars())


def _attempt_row(message: int, call: Attempt) -> dict[str, Any]:
    return {
        "id": new_id(call.at_ms),
        "message": message,
        "provider": call.provider,
        "kind": call.outcome.kind[:16],
        "code": call.outcome.code[:100] or None,
        "words": call.outcome.words[:500] or None,
        "at": call.at_ms,
    }


@ordered_by(attrgetter("row"))
def cancel(connection: Connection, one: Cancel) -> Canceled | None:
    """Cancel the messages for which no provider was asked yet; None for a row that does not exist."""
    columns = select(MESSAGES.c.id, MESSAGES.c.request, MESSAGES.c.state, MESSAGES.c.template).order_by(MESSAGES.c.id)
    locked = columns.with_for_update()
    rows = connection.execute(locked.where(MESSAGES.c.request == one.row)).all()
    if not rows:
        rows = connection.execute(locked.where(MESSAGES.c.id == one.row)).all()
    if not rows:
        return None
    waiting = [row.id for row in rows if row.state in WAITING]
    canceled = len(waiting) + sum(row.state == "canceled" for row in rows)
    if waiting:
        with track_changes(connection, waiting, one.now_ms):
            ended = update(MESSAGES).where(MESSAGES.c.id.in_(waiting))
            connection.execute(ended.values(state="canceled", settled_at=one.now_ms))
        if rows[0].template not in one.retried:
            forget_params(connection, {rows[0].request})
    return Canceled(rows[0].request, canceled, len(rows) - canceled)


def _in_states(states: Iterable[State]) -> ColumnElement[bool]:
    """Return the condition as literals, as a list of parameters cannot be repeated for many rows."""
    return or_(*(MESSAGES.c.state == literal_column(f"'{one}'") for one in states))


_MAX_PARAMETERS = 1000  # of one statement; databases differ in how many more they take
_STATES = "SELECT id, state, owner FROM sms_messages WHERE id IN"
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
_FORGET_OWN = (
    update(MESSAGES)
    .where(
        MESSAGES.c.request.in_(bindparam("b_requests", expanding=True)),
        MESSAGES.c.params.is_not(None),
        _in_states(one for one in STATES if one not in OPEN),
    )
    .values(params=None)
)
_GIVE_BACK = (
    update(MESSAGES)
    .where(_ROW, MESSAGES.c.state == "sending", MESSAGES.c.owner == bindparam("b_owner"))
    .values(state="queued", owner=None, code=bindparam("b_code"), words=bindparam("b_words"))
)


def _weaker_than(state: State) -> ColumnElement[bool]:
    is_unsent = RANKS[state] < RANKS["sent"]  # ends that only a provider's own report outranks
    return _in_states(
        other for other in STATES if RANKS[other] < RANKS[state] and not (is_unsent and RANKS[other] > RANKS["unknown"])
    )


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
        provider_id=func.coalesce(bindparam("b_provider_id"), MESSAGES.c.provider_id),
        code=bindparam("b_code"),
        words=bindparam("b_words"),
        settled_at=bindparam("b_at"),
    )
    for state in ("failed", "unknown", "expired", "opted_out", "delivered")
}
_HELD = update(MESSAGES).where(_ROW, _in_states(WAITING)).values(state="held", due_at=bindparam("b_due"))
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


def _write(connection: Connection, state: State, marks: Sequence[Mark]) -> None:
    if state == "held":
        connection.execute(_HELD, [{"b_id": one.id, "b_due": one.due_at_ms} for one in marks])
        return
    rows = [
        {
            "b_id": one.id,
            "b_code": one.code[:100] or None,
            "b_words": one.words[:500] or None,
            **(
                {"b_owner": one.owner}
                if state == "queued"
                else {"b_provider": one.provider, "b_at": one.at_ms, "b_provider_id": one.provider_id}
            ),
        }
        for one in marks
    ]
    connection.execute(_GIVE_BACK if state == "queued" else _SENT if state == "sent" else _NOT_TAKEN[state], rows)


def forget_params(connection: Connection, requests: set[int]) -> None:
    """Delete the parameters of requests whose last message is done."""
    for some in chunks(sorted(requests), _MAX_PARAMETERS):
        connection.execute(_FORGET, {"b_requests": list(some)})
        connection.execute(_FORGET_OWN, {"b_requests": list(some)})
