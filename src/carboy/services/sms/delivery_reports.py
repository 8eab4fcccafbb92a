"""Delivery reports: each settles its message, or is kept until the message's provider id is known.

The functions that write take a connection, as `carboy.db.GroupCommit` passes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from carboy.db import chunks, insert_rows, locks_in_order
from carboy.jobs import new_id, put, row_of
from carboy.services.sms.numbers import Number, mask_digits
from carboy.services.sms.opt_outs import OPTED_OUT_CODES, OptOut, opt_out
from carboy.services.sms.providers import Receipt
from carboy.services.sms.send_jobs import Resend
from carboy.services.sms.state_changes import lock_messages, track_changes
from carboy.services.sms.states import RANKS, State, settle
from carboy.services.sms.tables import MESSAGES, RECEIPTS, REQUESTS

_MAX_PARAMETERS = 1000  # of one statement; databases differ in how many more they take
_COLUMNS = (
    MESSAGES.c.id,
    MESSAGES.c.state,
    MESSAGES.c.receiver_hash,
    MESSAGES.c.receiver,
    MESSAGES.c.receiver_shown,
    MESSAGES.c.country,
    MESSAGES.c.request,
    MESSAGES.c.provider_id,
    MESSAGES.c.retries,
)
_IDS = select(MESSAGES.c.id).where(MESSAGES.c.provider_id.in_(bindparam("b_ids", expanding=True)))
_EARLY = select(RECEIPTS).where(RECEIPTS.c.provider_id.in_(bindparam("b_ids", expanding=True)))


@dataclass(frozen=True, slots=True)
class Report:
    """A provider's receipt, as it arrived.

    Attributes:
        provider: its name.
        receipt: its content.
        receiver_hash: of the receipt's number; empty if it has none.
        at_ms: when it arrived.
        resends: by template; a template that is not there is not sent again.
    """

    provider: str
    receipt: Receipt
    receiver_hash: str
    at_ms: int
    resends: Mapping[str, Resend] = field(default_factory=dict)


@locks_in_order
def report(connection: Connection, batches: Sequence[Sequence[Report]]) -> list[int]:
    """Settle messages by receipts; keep the receipts of unknown messages, and return how many those are."""
    _lock(connection, [one.receipt for batch in batches for one in batch])
    answers = []
    for batch in batches:
        unknown = [one for one in batch if not _settle_known(connection, one)]
        if unknown:
            insert_rows(connection, RECEIPTS, [_receipt_row(one) for one in unknown])
        answers.append(len(unknown))
    return answers


def _lock(connection: Connection, receipts: Sequence[Receipt]) -> None:
    """Lock the messages of several receipts by their ids: others may have receipts of the same in another order."""
    if len(receipts) < 2 or connection.dialect.name == "sqlite":
        return
    ids = {row for row in map(_echoed_id, receipts) if row is not None}
    for some in chunks(sorted({one.provider_id for one in receipts if one.provider_id}), _MAX_PARAMETERS):
        ids.update(connection.execute(_IDS, {"b_ids": list(some)}).scalars())
    lock_messages(connection, ids)


def _echoed_id(receipt: Receipt) -> int | None:
    """Return our own id that a receipt repeats; None where it has none that a row can have."""
    echoed = receipt.message_id
    row = int(echoed) if echoed.isascii() and echoed.isdigit() and len(echoed) < 20 else 1 << 63
    return row if row < 1 << 63 else None


def settle_early_receipts(connection: Connection, provider_ids: Sequence[str], resends: Mapping[str, Resend]) -> None:
    """Apply receipts that arrived before the response to the call was recorded.

    Args:
        connection: in a transaction.
        provider_ids: what the providers call the messages.
        resends: see `Report`.
    """
    found = [
        row
        for some in chunks(provider_ids, _MAX_PARAMETERS)
        for row in connection.execute(_EARLY, {"b_ids": list(some)}).all()
    ]
    used = []
    for row in found:
        known = Receipt(
            row.provider_id, row.state, code=row.code or "", words=row.words or "", is_temporary=bool(row.is_temporary)
        )
        one = Report(row.provider, known, row.receiver_hash or "", row.at, resends)
        if _settle_known(connection, one):
            used.append(row.id)
    if used:
        connection.execute(delete(RECEIPTS).where(RECEIPTS.c.id.in_(used)))


def _find(connection: Connection, one: Report) -> Sequence[Any]:
    """Return the messages of a receipt: by the provider's id, else by our own id that it repeats."""
    of_provider = select(*_COLUMNS).where(MESSAGES.c.provider == one.provider).with_for_update()
    if one.receipt.provider_id:
        known = connection.execute(of_provider.where(MESSAGES.c.provider_id == one.receipt.provider_id)).all()
        if found := _of_receiver(connection, known, one):
            return found
    if one.receiver_hash:
        of_provider = of_provider.where(MESSAGES.c.receiver_hash == one.receiver_hash)
    echoed = _echoed_id(one.receipt)
    if echoed is None:
        return ()
    request = connection.execute(select(MESSAGES.c.request).where(MESSAGES.c.id == echoed)).scalar()
    if request is None:
        return ()
    chosen = MESSAGES.c.request == request if one.receiver_hash else MESSAGES.c.id == echoed
    return connection.execute(of_provider.where(chosen)).all()


def _of_receiver(connection: Connection, rows: Sequence[Any], one: Report) -> Sequence[Any]:
    """Return those of a provider id's messages that a receipt's number means, however the provider writes it."""
    if not one.receiver_hash:
        return rows
    exact = [row for row in rows if row.receiver_hash == one.receiver_hash]
    if exact or not rows:
        return exact
    same = (MESSAGES.c.request == rows[0].request) & (MESSAGES.c.receiver_hash == one.receiver_hash)
    if connection.execute(select(MESSAGES.c.id).where(same).limit(1)).first() is not None:
        return []  # of a message of the batch that is being sent again
    if len(rows) == 1:
        return rows
    digits = one.receipt.receiver.lstrip("+0")
    return [row for row in rows if row.receiver and len(digits) >= 7 and digits.endswith(row.receiver[-9:])]


def _settle_known(connection: Connection, one: Report) -> bool:
    """Settle the messages of a report; return whether there are any."""
    rows, reported = _find(connection, one), one.receipt.state
    if not rows or reported is None:
        return bool(rows)
    with track_changes(connection, [row.id for row in rows], one.at_ms):
        _settle(connection, rows, reported, one)
    if one.receipt.code in OPTED_OUT_CODES:
        numbers = [Number(row.receiver, row.receiver_shown, row.country or "") for row in rows if row.receiver]
        opt_out(connection, [OptOut(number, "provider", one.provider, one.at_ms) for number in numbers])
    return True


def _settle(connection: Connection, rows: Sequence[Any], reported: State, one: Report) -> None:
    for row in rows:
        if reported != "delivered" and _is_of_earlier_try(row, one):
            if row.state == "sending":  # or it is earlier than the response of the try under way
                insert_rows(connection, RECEIPTS, [_receipt_row(one)])
            continue
        if reported == "undelivered" and one.receipt.is_temporary and _send_again(connection, row.id, one):
            continue
        state = settle(row.state, reported)
        if state == row.state and row.state != reported:
            continue
        changes: dict[str, Any] = {"code": one.receipt.code[:100] or None, "words": _words(one)}
        if state != row.state:
            is_final = RANKS[state] > RANKS["sent"]
            changes |= {"state": state, "owner": None} | ({"settled_at": one.at_ms} if is_final else {})
        if one.receipt.provider_id:
            changes["provider_id"] = one.receipt.provider_id
        connection.execute(update(MESSAGES).where(MESSAGES.c.id == row.id).values(**changes))


def _is_of_earlier_try(row: Any, one: Report) -> bool:
    """Return whether a report may mean a try that failed before: providers repeat reports and send them late."""
    known = one.receipt.provider_id
    return row.retries > 0 and bool(known) and known != row.provider_id


def _send_again(connection: Connection, message: int, one: Report) -> bool:
    """Queue a message that could not be delivered for now; return False where it is too late or was tried enough.

    A receipt that is earlier than the outcome of the call is kept until that is recorded.
    """
    if not one.resends:
        return False
    columns = (MESSAGES.c.request, MESSAGES.c.template, MESSAGES.c.retries, MESSAGES.c.state, REQUESTS.c.params)
    joined = select(*columns, REQUESTS.c.expires_at).join_from(MESSAGES, REQUESTS, MESSAGES.c.request == REQUESTS.c.id)
    row = connection.execute(joined.where(MESSAGES.c.id == message)).one()
    resend = one.resends.get(row.template)
    if resend is None or row.retries >= resend.most or row.expires_at <= one.at_ms:
        return False
    if row.params is None or row.state not in {"sent", "unknown", "sending"}:
        return False
    again = update(MESSAGES).where(MESSAGES.c.id == message)
    if row.state == "sending":
        if not one.receipt.provider_id:
            return False
        insert_rows(connection, RECEIPTS, [_receipt_row(one)])
        connection.execute(again.values(provider_id=one.receipt.provider_id))
        return True
    connection.execute(
        again.values(state="queued", owner=None, provider_id=None, sent_at=None, retries=row.retries + 1)
    )
    put(connection, [row_of(resend.job, (row.request, [message]), now_ms=one.at_ms)])
    return True


def _receipt_row(one: Report) -> dict[str, Any]:
    return {
        "id": new_id(one.at_ms),
        "provider": one.provider,
        "provider_id": one.receipt.provider_id,
        "receiver_hash": one.receiver_hash or None,
        "state": one.receipt.state or "unknown",
        "code": one.receipt.code[:100] or None,
        "words": _words(one),
        "at": one.at_ms,
        "is_temporary": int(one.receipt.is_temporary),
    }


def _words(one: Report) -> str | None:
    return mask_digits(one.receipt.words)[:500] or None
