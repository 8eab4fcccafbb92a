"""Inbound messages: each is kept once, and a stop word in it opts its sender out in the same transaction."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from carboy.db import insert_rows
from carboy.jobs import new_id, put
from carboy.services.sms.inbound_events import inbound_row
from carboy.services.sms.keywords import Keyword, read_keyword
from carboy.services.sms.numbers import Number, parse_number
from carboy.services.sms.opt_outs import OptIn, OptOut, opt_in, opt_out
from carboy.services.sms.providers import Inbound
from carboy.services.sms.tables import INBOUND

if TYPE_CHECKING:
    from sqlalchemy import Connection

_MAX_TEXT_CHARS = 4000


@dataclass(frozen=True, slots=True)
class Kept:
    """An inbound message to be kept.

    Attributes:
        provider: its name.
        key: the same for every repetition.
        sender: who wrote it.
        sender_hash: of the sender's number.
        receiver: our number.
        text: as the person wrote it.
        keyword: what it asks for; None for neither.
        at_ms: when it arrived.
    """

    provider: str
    key: str
    sender: Number
    sender_hash: str
    receiver: str
    text: str
    keyword: Keyword | None
    at_ms: int


def read_inbound_message(provider: str, one: Inbound, stop_words: Collection[str], hash_of: Any, now_ms: int) -> Kept:
    """Return a provider's inbound message as it is kept.

    Raises:
        InvalidInput: the sender is no telephone number.
    """
    sender = parse_number(one.sender)
    key = hashlib.sha256(f"{provider}\0{one.provider_id}".encode()).hexdigest()
    text = one.text[:_MAX_TEXT_CHARS]
    keyword = one.keyword or read_keyword(text, stop_words)
    return Kept(provider, key, sender, hash_of(sender.e164), one.receiver[:32], text, keyword, now_ms)


def keep_inbound(connection: "Connection", batches: Sequence[Sequence[Kept]]) -> list[int]:
    """Keep messages that are new, and follow their keywords in order; return how many of each batch are new."""
    keys = {one.key for batch in batches for one in batch}
    known = set(connection.execute(select(INBOUND.c.key).where(INBOUND.c.key.in_(sorted(keys)))).scalars())
    answers = []
    for batch in batches:
        fresh = [one for one in batch if not (one.key in known or known.add(one.key))]  # type: ignore[func-returns-value]
        if fresh:
            rows = [_row(one) for one in fresh]
            insert_rows(connection, INBOUND, rows)
            put(connection, [inbound_row(row) for row in rows])
        for one in fresh:
            if one.keyword == "stop":
                opt_out(connection, [OptOut(one.sender, "stop", one.provider, one.at_ms)])
            elif one.keyword == "start":
                opt_in(connection, [OptIn(one.sender.e164)])
        answers.append(len(fresh))
    return answers


def _row(one: Kept) -> dict[str, Any]:
    return {
        "id": new_id(one.at_ms),
        "key": one.key,
        "provider": one.provider,
        "sender": one.sender.e164,
        "sender_shown": one.sender.shown,
        "sender_hash": one.sender_hash,
        "receiver": one.receiver or None,
        "text": one.text,
        "keyword": one.keyword,
        "at": one.at_ms,
    }
