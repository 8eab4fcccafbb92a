"""Intake: from a checked request to rows on stable storage.

The idempotency key, the receivers' limits, the budget, the guards and the messages are one transaction. A request that
is refused counts nowhere, and a repeated idempotency key is answered before any limit is checked.

The functions that write take a connection and the items of many callers, as `carboy.db.GroupCommit` passes them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, delete, select, tuple_, update

from carboy.config import Rate
from carboy.db import chunks, insert_rows, lock_values, locks_in_order, store_values
from carboy.http_values import render_retry_after
from carboy.jobs import Job, new_id, put, row_of
from carboy.problems import Problem
from carboy.services.sms.fraud import Guard, left_ms
from carboy.services.sms.numbers import Number
from carboy.services.sms.requests import Personal, SendRequest
from carboy.services.sms.tables import BUDGETS, CODES, MESSAGES, REQUESTS

CLAIM_MS = 86_400_000
_DAY_MS = 86_400_000
_OTHER_BODY = "the Idempotency-Key was used with another body"


@dataclass(frozen=True, slots=True)
class Submission:
    """One request to send a message, accepted as a whole or not at all.

    Attributes:
        wanted: what is sent, to whom.
        key_id: the API key's id.
        claim: hash of the key and its `Idempotency-Key`; None without one.
        receivers: each with the hash of the number.
        limits: how often a receiver gets this template.
        guards: against pumping.
        budget: messages of this key a day; 0 for no limit.
        parts: how many receivers one job carries, by the country of the receivers.
        job: sends messages, given the request's row and the messages' rows.
        expires_at_ms: when it is no longer worth sending.
        now_ms: when it arrived.
        request_id: of the HTTP request.
        callback_url: where state changes go; empty for the address of the settings, None for nowhere.
        tests: E.164; no limit counts messages to these numbers.
        code: the row of a one-time password but for its id, which is the request's.
    """

    wanted: SendRequest
    key_id: str
    claim: str | None
    receivers: Sequence[tuple[Number, str]]
    limits: Sequence[Rate]
    guards: Sequence[Guard]
    budget: int
    parts: Mapping[str, int]
    job: Job[[int, list[int]]]
    expires_at_ms: int
    now_ms: int
    request_id: str
    callback_url: str | None
    tests: Collection[str]
    code: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The row of the request, and those of its messages; no messages if an earlier submission added them."""

    row: int
    ids: tuple[int, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether this submission added the request."""
        return bool(self.ids)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A guard against pumping refuses the request."""

    guard: Guard
    wait_ms: float


Answer = Accepted | Guarded | Problem


@dataclass(slots=True)
class _Known:
    """What the transaction has read, updated with each submission that it accepts."""

    claims: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    times: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    codes: dict[str, dict[str, Any]] = field(default_factory=dict)


def accept(connection: Connection, submissions: Sequence[Submission]) -> list[Answer]:
    """Store each request that may be sent, with its messages and jobs, and return what became of each."""
    known = _Known()
    _read_budgets(connection, submissions, known)  # first: who waits here reads the claims of the one before
    _read_claims(connection, submissions, known)
    _read_times(connection, submissions, known)
    names = {name: guard.keep_ms for one in submissions for guard in one.guards for name in guard.names}
    known.shared = lock_values(connection, sorted(names)) if names else {}
    counted, spent = dict(known.shared), dict(known.used)
    answers = [_take(one, known) for one in submissions]
    now_ms = submissions[0].now_ms
    changed = {name: now_ms + keep_ms for name, keep_ms in names.items() if known.shared[name] != counted[name]}
    unused = {name: now_ms for name in names if known.shared[name] is None}
    store_values(connection, {name: (known.shared[name], at_ms) for name, at_ms in {**changed, **unused}.items()})
    for name, used in sorted(known.used.items()):
        if used != spent[name]:
            connection.execute(update(BUDGETS).where(BUDGETS.c.name == name).values(used=used))
    if known.requests:
        insert_rows(connection, REQUESTS, sorted(known.requests, key=lambda row: row["claim"] or ""))
        insert_rows(connection, MESSAGES, known.messages)
        put(connection, known.jobs)
    if known.codes:
        connection.execute(delete(CODES).where(CODES.c.subject.in_(known.codes)))
        insert_rows(connection, CODES, list(known.codes.values()))
    return answers


locks_in_order(accept, lambda one: bool(one.limits) or one.code is not None)  # messages of a receiver, and codes


def _take(one: Submission, known: _Known) -> Answer:
    if one.claim is not None and (found := known.claims.get(one.claim)) is not None:
        row, digest = found
        return Accepted(row) if digest == one.wanted.digest else Problem(422, _OTHER_BODY)
    if one.limits and (over := _over_limit(one, known)) is not None:
        return over
    name = _budget_name(one)
    left = one.budget - known.used[name] if one.budget else len(one.receivers)
    if len(one.receivers) > left:
        detail = f"SMS_DAILY_BUDGET leaves {max(left, 0)} messages to this key today"
        return _too_many(detail, (_DAY_MS - one.now_ms % _DAY_MS) / 1000)
    for guard in one.guards:
        if wait_ms := guard.wait_ms(known.shared, one.now_ms):
            return Guarded(guard, wait_ms)
    for guard in one.guards:
        guard.count(known.shared, one.now_ms)
    if one.budget:
        known.used[name] += len(one.receivers)
    row = new_id(one.now_ms)
    if one.claim is not None:
        known.claims[one.claim] = (row, one.wanted.digest)
    ids = _add_rows(one, row, known)
    for pair in _limited(one):
        known.times[pair].append(one.now_ms)
    return Accepted(row, tuple(ids))


def _add_rows(one: Submission, row: int, known: _Known) -> list[int]:
    known.requests.append(_request_row(one, row))
    ids = _new_ids(one.now_ms, len(one.receivers))
    contents = one.wanted.personal or [Personal({}, one.wanted.parts, None)] * len(ids)
    known.messages += [
        _message_row(one, row, message, number, hashed, own)
        for message, (number, hashed), own in zip(ids, one.receivers, contents, strict=True)
    ]
    after_s = max(0, (one.wanted.options.send_at_ms or 0) - one.now_ms) / 1000
    known.jobs += [
        row_of(one.job, (row, list(some)), now_ms=one.now_ms, after_s=after_s, request_id=one.request_id)
        for group, size in _groups(one, ids)
        for some in chunks(group, size)
    ]
    if one.code is not None:
        known.codes[one.code["subject"]] = {"id": row, **one.code}
    return ids


def _request_row(one: Submission, row: int) -> dict[str, Any]:
    wanted, options = one.wanted, one.wanted.options
    return {
        "id": row,
        "key_id": one.key_id,
        "claim": one.claim,
        "digest": wanted.digest,
        "template": wanted.template.name,
        "provider": wanted.provider,
        "params": orjson.dumps(wanted.params),
        "expires_at": one.expires_at_ms,
        "created_at": one.now_ms,
        "send_at": options.send_at_ms,
        "expires_after": options.expires_after_ms,
        "callback_url": one.callback_url,
    }


def _message_row(one: Submission, row: int, message: int, number: Number, hashed: str, own: Personal) -> dict[str, Any]:
    wanted, options = one.wanted, one.wanted.options
    return {
        "id": message,
        "request": row,
        "receiver": number.e164,
        "receiver_shown": number.shown,
        "receiver_hash": hashed,
        "template": wanted.template.name,
        "state": "queued" if options.send_at_ms is None else "scheduled",
        "attempts": 0,
        "segments": own.parts and own.parts[number.region == "CN"],
        "created_at": one.now_ms,
        "country": number.region,
        "reference": own.reference or options.reference,
        "params": orjson.dumps(own.params) if wanted.personal else None,
        "due_at": options.send_at_ms,
    }


def _groups(one: Submission, ids: Sequence[int]) -> list[tuple[list[int], int]]:
    """Return the messages by job size, mainland China's apart: no provider takes both in one request."""
    groups: dict[tuple[bool, int], list[int]] = {}
    for message, (number, _) in zip(ids, one.receivers, strict=True):
        groups.setdefault((number.region != "CN", one.parts[number.region]), []).append(message)
    return [(group, size) for (_, size), group in sorted(groups.items())]


def _new_ids(now_ms: int, count: int) -> list[int]:
    """Return new keys in ascending order."""
    found: set[int] = set()
    while len(found) < count:
        found.add(new_id(now_ms))
    return sorted(found)


def _read_claims(connection: Connection, submissions: Sequence[Submission], known: _Known) -> None:
    wanted = {one.claim: one.now_ms for one in submissions if one.claim is not None}
    if not wanted:
        return
    columns = (REQUESTS.c.claim, REQUESTS.c.id, REQUESTS.c.digest, REQUESTS.c.created_at)
    query = select(*columns).where(REQUESTS.c.claim.in_(wanted)).order_by(REQUESTS.c.claim)
    stale = []
    for claim, row, digest, created_at in connection.execute(query.with_for_update()):
        if created_at <= wanted[claim] - CLAIM_MS:
            stale.append(row)
        else:
            known.claims[claim] = (row, bytes(digest))
    if stale:
        connection.execute(update(REQUESTS).where(REQUESTS.c.id.in_(stale)).values(claim=None))


def _read_budgets(connection: Connection, submissions: Sequence[Submission], known: _Known) -> None:
    """Read the budgets in use and lock their rows, so that no two transactions spend the same budget."""
    names = {_budget_name(one): one.now_ms + 2 * _DAY_MS for one in submissions if one.budget}
    known.used = _locked(connection, names)


def _read_times(connection: Connection, submissions: Sequence[Submission], known: _Known) -> None:
    """Lock the receivers with limits, and read the times of their messages."""
    longest_ms = 0
    since: dict[tuple[str, str], int] = {}
    for one in submissions:
        if one.limits:
            period_ms = round(max(limit.period_s for limit in one.limits) * 1000)
            longest_ms = max(longest_ms, period_ms)
            since |= dict.fromkeys(_limited(one), one.now_ms - period_ms)
    if not since:
        return
    _locked(connection, {f"r:{hashed}": submissions[0].now_ms + longest_ms for hashed, _ in since})
    known.times = {pair: [] for pair in since}
    columns = (MESSAGES.c.receiver_hash, MESSAGES.c.template, MESSAGES.c.created_at)
    query = (
        select(*columns)
        .where(
            tuple_(MESSAGES.c.receiver_hash, MESSAGES.c.template).in_(list(since)),
            MESSAGES.c.created_at > min(since.values()),
            MESSAGES.c.state != "failed",
        )
        .with_for_update()  # reads what others have committed since this transaction began
    )
    for hashed, template, created_at in connection.execute(query):
        known.times[hashed, template].append(created_at)


def _locked(connection: Connection, names: Mapping[str, int]) -> dict[str, int]:
    """Return what is used of each budget, with its row locked; missing rows are added."""
    if not names:
        return {}
    rows = [{"name": name, "used": 0, "expires_at": expires_at} for name, expires_at in sorted(names.items())]
    insert_rows(connection, BUDGETS, rows, skip_known="name")
    query = select(BUDGETS.c.name, BUDGETS.c.used).where(BUDGETS.c.name.in_(names))
    found = connection.execute(query.order_by(BUDGETS.c.name).with_for_update())
    return {row.name: row.used for row in found}


def _over_limit(one: Submission, known: _Known) -> Problem | None:
    shown, wait_ms = [], 0.0
    for number, hashed in one.receivers:
        if number.e164 in one.tests:
            continue
        times = known.times[hashed, one.wanted.template.name]
        waits = [left_ms(times, limit, one.now_ms) for limit in one.limits]
        if max(waits) > 0:
            shown.append(number.shown)
            wait_ms = max(wait_ms, *waits)
    if not shown:
        return None
    return _too_many(f"SMS_RECEIVER_LIMITS: {', '.join(shown[:10])} had too many of this template", wait_ms / 1000)


def _too_many(detail: str, retry_after_s: float) -> Problem:
    return Problem(429, detail, headers={"Retry-After": render_retry_after(retry_after_s)})


def _limited(one: Submission) -> list[tuple[str, str]]:
    """Return the receivers whose messages are limited: the hash of each number, with the template."""
    name = one.wanted.template.name
    return [(hashed, name) for number, hashed in one.receivers if number.e164 not in one.tests] if one.limits else []


def _budget_name(one: Submission) -> str:
    return f"b:{one.key_id}:{one.now_ms // _DAY_MS}"
