"""Inbound messages: each is kept once, and a stop word in it opts its sender out in the same transaction."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from carboy.db import insert_rows
from carboy.jobs import new_id, put, row_of
from carboy.services.sms.inbound_events import INBOUND_JOB
from carboy.services.sms.keywords import read_keyword
from carboy.services.sms.numbers import Number, parse_number
from carboy.services.sms.opt_outs import OptOut, opt_in, opt_out
from carboy.services.sms.providers import Inbound
from carboy.services.sms.tables import INBOUND

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


def keep_inbound(connection: Connection, batches: Sequence[Sequence[Mapping[str, Any]]]) -> list[int]:
    """Keep messages that are new, and follow their keywords in order; return how many of each batch are new."""
    keys = {row["key"] for batch in batches for row in batch}
    known = set(connection.execute(select(INBOUND.c.key).where(INBOUND.c.key.in_(sorted(keys)))).scalars())
    answers = []
    for batch in batches:
        new: dict[str, Mapping[str, Any]] = {}
        for row in batch:
            if row["key"] not in known:
                new.setdefault(row["key"], row)
        known |= new.keys()
        fresh = list(new.values())
        if fresh:
            insert_rows(connection, INBOUND, fresh)
            put(connection, [row_of(INBOUND_JOB, (row["id"],), now_ms=row["at"]) for row in fresh])
        for row in fresh:
            if row["keyword"] == "stop":
                number = Number(row["sender"], row["sender_shown"], "")
                opt_out(connection, [OptOut(number, "stop", row["provider"], row["at"])])
            elif row["keyword"] == "start":
                opt_in(connection, [row["sender"]])
        answers.append(len(fresh))
    return answers
