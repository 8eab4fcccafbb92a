"""Daily counts of messages: by template, provider, country and state, with the time to delivery.

They change in the transactions that change the messages, so they equal the rows, and a question costs the same however
many messages there are. Past days are packed: their rows do not depend on how many processes and times there were.
"""

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import orjson
from sqlalchemy import Connection, Row, bindparam, delete, or_, select, update

from carboy.db import chunks, placeholders, write_last
from carboy.jitter import SYSTEM_RANDOM
from carboy.services.sms.states import OPEN
from carboy.services.sms.tables import DAILY

DAY_MS = 86_400_000
CODE_ENTERED = "code_entered"
"""In place of a state: how many one-time passwords were entered."""

_BASE = math.log(1.1)
_SHARDS = 16
_SHARD = SYSTEM_RANDOM.randrange(_SHARDS)
_COLUMNS = ("day", "template", "provider", "country", "state", "bucket", "shard", "messages", "parts")
_INSERT = f"INSERT INTO sms_daily ({', '.join(_COLUMNS)}) VALUES"
_ROWS = 100
_PACKED = 1000
_ROW = [DAILY.c[name] == bindparam(f"b_{name}") for name in _COLUMNS[:7]]
_DELAYS = select(DAILY.c.delays).where(*_ROW).with_for_update()
_LOOSE = or_(DAILY.c.bucket != 0, DAILY.c.shard != 0)

Key = tuple[int, str, str, str, str, int]
"""Day, template, provider, country, state and bucket."""


def key_of(row: Any) -> Key | None:
    """Return where a message is counted; None while it is not settled."""
    if row.state in OPEN:
        return None
    bucket = 0
    if row.state == "delivered" and row.settled_at is not None:
        bucket = bucket_of(row.settled_at - (row.sent_at or row.created_at))
    return row.created_at // DAY_MS, row.template, row.provider or "", row.country or "", row.state, bucket


def bucket_of(delay_ms: float) -> int:
    """Return the bucket of a time to delivery, from 1; each is a tenth longer than the one before."""
    return 1 + round(math.log(max(delay_ms, 1.0)) / _BASE)


def delay_of(bucket: int) -> float:
    """Return the time in the middle of a bucket, in milliseconds; within 5 % of each in it."""
    return 1.1 ** (bucket - 1)


def count_changes(connection: Connection, before: Mapping[int, Row[Any]], after: Mapping[int, Row[Any]]) -> None:
    """Move messages from where they were counted to where they belong now."""
    messages: Counter[Key] = Counter()
    parts: Counter[Key] = Counter()
    for row_id, new in after.items():
        was, now = key_of(before[row_id]) if row_id in before else None, key_of(new)
        if was == now:
            continue
        for key, sign in ((was, -1), (now, 1)):
            if key is not None:
                messages[key] += sign
                parts[key] += sign * (new.segments or 0)
    add_counts(connection, {key: (count, parts[key]) for key, count in messages.items()})


def pack_days(connection: Connection, before_day: int) -> bool:
    """Pack a batch of the rows of earlier days into one row for each state; return whether there may be more."""
    chosen = select(DAILY).where(DAILY.c.day < before_day, _LOOSE).limit(_PACKED).with_for_update()
    rows = connection.execute(chosen).all()
    sums: dict[Key, tuple[int, int]] = {}
    delays: dict[Key, Counter[str]] = {}
    for row in rows:
        key = (*row[:5], 0)
        messages, parts = sums.get(key, (0, 0))
        sums[key] = messages + row.messages, parts + row.parts
        if row.bucket:
            delays.setdefault(key, Counter())[str(row.bucket)] += row.messages
    if rows:
        _add(connection, sums, 0)
        for key, added in sorted(delays.items()):
            _add_delays(connection, key, added)
        connection.execute(delete(DAILY).where(*_ROW), [_chosen(row[:7]) for row in rows])
    return len(rows) == _PACKED


def delays_of(packed: str) -> dict[int, int]:
    """Return the messages by bucket that a packed row has; some of them may be negative until more is packed."""
    return {int(bucket): count for bucket, count in orjson.loads(packed).items()}


def _add_delays(connection: Connection, key: Key, added: Counter[str]) -> None:
    row = _chosen((*key, 0))
    if known := connection.execute(_DELAYS, row).scalar_one():
        added.update(orjson.loads(known))
    kept = {bucket: count for bucket, count in sorted(added.items()) if count}
    connection.execute(update(DAILY).where(*_ROW).values(delays=orjson.dumps(kept).decode()), row)


def _chosen(key: Sequence[Any]) -> dict[str, Any]:
    return {f"b_{name}": value for name, value in zip(_COLUMNS, key, strict=False)}


def add_counts(connection: Connection, counts: Mapping[Key, tuple[int, int]], shard: int | None = None) -> None:
    """Add messages and parts to the counts of their keys; both may be negative.

    Without a `shard` it is one of 1 to 16, by the process, and the counts of a transaction are added at its end: rows
    of shard 0 are those of packed days.
    """
    if shard is None:
        write_last(connection, _add_all, counts)
    else:
        _add(connection, _changed(counts), shard)


def _changed(counts: Mapping[Key, tuple[int, int]]) -> dict[Key, tuple[int, int]]:
    return {key: both for key, both in counts.items() if both != (0, 0)}


def _add_all(connection: Connection, changes: Sequence[Mapping[Key, tuple[int, int]]]) -> list[None]:
    sums: dict[Key, tuple[int, int]] = {}
    for key, (messages, parts) in chain.from_iterable(counts.items() for counts in changes):
        known = sums.get(key, (0, 0))
        sums[key] = known[0] + messages, known[1] + parts
    _add(connection, _changed(sums), 1 + (_SHARD + os.getpid()) % _SHARDS)
    return [None] * len(changes)


def _add(connection: Connection, counts: Mapping[Key, tuple[int, int]], shard: int) -> None:
    rows = [(*key, shard, *both) for key, both in sorted(counts.items())]
    is_mysql = connection.dialect.name in {"mysql", "mariadb"}
    for some in chunks(rows, _ROWS) if rows else ():
        marks = placeholders(connection, len(_COLUMNS))
        text = f"{_INSERT} {', '.join([f'({marks})'] * len(some))}"
        if is_mysql:
            text += " ON DUPLICATE KEY UPDATE messages = messages + VALUES(messages), parts = parts + VALUES(parts)"
        else:
            text += (
                f" ON CONFLICT ({', '.join(_COLUMNS[:7])}) DO UPDATE SET"
                " messages = sms_daily.messages + excluded.messages, parts = sms_daily.parts + excluded.parts"
            )
        connection.exec_driver_sql(text, tuple(value for row in some for value in row))
