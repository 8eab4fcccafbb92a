"""Inbound messages: each is kept once, and a stop word in it opts its sender out in the same transaction.

The archive's destinations and functions of an application get each, by a job:

@on_inbound
def answer(message: InboundMessage) -> None: ...
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from typing import Any

import orjson
from flask import current_app
from sqlalchemy import Connection, select

from carboy.db import insert_rows, locks_in_order
from carboy.http_values import render_time
from carboy.jobs import Job, new_id, put, row_of
from carboy.logs import BoundLogger, get_logger
from carboy.services.sms.keywords import read_keyword
from carboy.services.sms.numbers import Number, parse_number
from carboy.services.sms.opt_outs import OptOut, opt_in, opt_out
from carboy.services.sms.providers import Inbound
from carboy.services.sms.tables import INBOUND
from carboy.web import runtime

KEEP_EVENT = "carboy.keep_event"
"""The extension of an application that archives an event, as the archive registers it."""

log: BoundLogger = get_logger("carboy.sms")

_MAX_TEXT_CHARS = 4000


def inbound_row(
    provider: str, one: Inbound, stop_words: Collection[str], hash_of: Callable[[str], str], now_ms: int
) -> dict[str, Any]:
    """Return the row of a provider's inbound message.

    Raises:
        InvalidInput: the sender is no telephone number.
    """
    sender, text = parse_number(one.sender), one.text[:_MAX_TEXT_CHARS]
    return {
        "id": new_id(now_ms),
        "key": hashlib.sha256(f"{provider}\0{one.provider_id}".encode()).hexdigest(),
        "provider": provider,
        "sender": sender.e164,
        "sender_shown": sender.shown,
        "sender_hash": hash_of(sender.e164),
        "receiver": one.receiver[:32] or None,
        "text": text,
        "keyword": one.keyword or read_keyword(text, stop_words),
        "at": now_ms,
    }


@locks_in_order
def keep_inbound(connection: Connection, batches: Sequence[Sequence[Mapping[str, Any]]]) -> list[int]:
    """Keep messages that are new, and follow their keywords in order; return how many of each batch are new."""
    keys = {row["key"] for batch in batches for row in batch}
    known = set(connection.execute(select(INBOUND.c.key).where(INBOUND.c.key.in_(sorted(keys)))).scalars())
    new: dict[str, Mapping[str, Any]] = {}
    answers = []
    for batch in batches:
        before = len(new)
        for row in batch:
            if row["key"] not in known:
                new.setdefault(row["key"], row)
        answers.append(len(new) - before)
    if new:
        insert_rows(connection, INBOUND, sorted(new.values(), key=itemgetter("key")))  # others may have the same ones
        put(connection, [row_of(INBOUND_JOB, (row["id"],), now_ms=row["at"]) for row in new.values()])
    for row in new.values():
        if row["keyword"] == "stop":
            number = Number(row["sender"], row["sender_shown"], "")
            opt_out(connection, [OptOut(number, "stop", row["provider"], row["at"])])
        elif row["keyword"] == "start":
            opt_in(connection, [row["sender"]])
    return answers


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message that a person sent to one of our numbers.

    Attributes:
        id: its row.
        provider: its name.
        sender: E.164.
        receiver: our number; None if the provider does not say.
        text: as the person wrote it.
        keyword: `stop` or `start`; None for neither.
        at_ms: when it arrived, milliseconds since the epoch.
    """

    id: int
    provider: str
    sender: str
    receiver: str | None
    text: str
    keyword: str | None
    at_ms: int


_functions: list[Callable[[InboundMessage], object]] = []


def on_inbound(function: Callable[[InboundMessage], object]) -> Callable[[InboundMessage], object]:
    """Register a function that is called for each inbound message, at least once; a failure is tried again."""
    _functions.append(function)
    return function


def _hand_on(row: int) -> None:
    """Pass a message on."""
    with runtime(current_app).engine.connect() as connection:
        one = connection.execute(select(INBOUND).where(INBOUND.c.id == row)).one_or_none()
    if one is None or one.sender is None:
        log.warning("sms_inbound_deleted", message=str(row), reason="SMS_RETENTION is over")
        return
    message = InboundMessage(one.id, one.provider, one.sender, one.receiver, one.text or "", one.keyword, one.at)
    log.info("sms_inbound", message=str(message.id), provider=message.provider, keyword=message.keyword)
    keep = current_app.extensions.get(KEEP_EVENT)
    if keep is not None:
        document = {**asdict(message), "id": str(message.id), "at": render_time(message.at_ms)}
        del document["at_ms"]
        keep("sms", str(message.id), "inbound", message.at_ms, orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
    for function in _functions:
        function(message)


INBOUND_JOB: Job[[int]] = Job("sms.inbound", _hand_on, priority=5)
"""Passes a kept message on. It has the row's id alone, as lists of jobs show arguments."""
