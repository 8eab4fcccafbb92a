"""Opt-outs: numbers that get no marketing messages, whatever the provider.

A number is added by a stop word in an inbound message, by a provider's code, or through the API. The list is read in
the transaction that marks a message as `sending`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, delete

from carboy.db import chunks, insert_rows, locks_in_order, placeholders
from carboy.jobs import new_id
from carboy.services.sms.numbers import Number
from carboy.services.sms.tables import OPT_OUTS

OPTED_OUT_CODES = frozenset(
    {
        "21610",  # Twilio: "Attempt to send to unsubscribed recipient"
        "ConflictException/DESTINATION_PHONE_NUMBER_OPTED_OUT",  # End User Messaging
        "OptedOut",  # SNS
        "FailedOperation.PhoneNumberInBlacklist",  # Tencent: the number unsubscribed
        "isv.CUSTOMER_REFUSED",  # Aliyun: the number unsubscribed
        "isv.BLACK_KEY_CONTROL_LIMIT",  # Aliyun: it unsubscribed, or complained
        "USER_REJECT",  # Aliyun, in delivery reports
        "MOBILE_IN_BLACK",
        "BLACK",  # Huawei, in status reports: the number unsubscribed, or complained
        "MBBLACK",
        "TDBLACK",
        "TSBLACK",
    }
)
"""Codes by which providers say that a number has opted out; see the tables in `providers/codes`."""

_LOCK = 0x0CB7_0753  # any number that no other advisory lock has
_MAX_PARAMETERS = 1000
_QUERY = "SELECT receiver FROM sms_opt_outs WHERE receiver IN"


@dataclass(frozen=True, slots=True)
class OptOut:
    """A number to add."""

    number: Number
    reason: Literal["stop", "provider", "api"]
    provider: str | None
    at_ms: int


@locks_in_order
def opt_out(connection: Connection, items: Sequence[OptOut]) -> list[bool]:
    """Add numbers to the list; return for each whether it is new."""
    _lock(connection, is_shared=False)
    known = find_opted_out(connection, [one.number.e164 for one in items], is_locked=True)
    answers, rows = [], []
    for one in items:
        is_new = one.number.e164 not in known
        answers.append(is_new)
        if is_new:
            known.add(one.number.e164)
            row = {"id": new_id(one.at_ms), "receiver": one.number.e164, "receiver_shown": one.number.shown}
            rows.append({**row, "reason": one.reason, "provider": one.provider, "at": one.at_ms})
    if rows:
        insert_rows(connection, OPT_OUTS, rows, skip_known="receiver")
    return answers


@locks_in_order
def opt_in(connection: Connection, receivers: Sequence[str]) -> list[bool]:
    """Remove numbers, in E.164, from the list; return for each whether it was there."""
    _lock(connection, is_shared=False)
    known = find_opted_out(connection, receivers, is_locked=True)
    if known:
        connection.execute(delete(OPT_OUTS).where(OPT_OUTS.c.receiver.in_(sorted(known))))
    return [one in known for one in receivers]


def find_opted_out(connection: Connection, receivers: Sequence[str], *, is_locked: bool = False) -> set[str]:
    """Return those of these numbers that have opted out.

    The list cannot change until this transaction ends, so that a number is either opted out before a message is marked
    as `sending`, or after.

    Args:
        connection: in a transaction.
        receivers: E.164.
        is_locked: whether the caller has the lock.
    """
    if not receivers:
        return set()
    if not is_locked:
        _lock(connection, is_shared=True)
    share = " LOCK IN SHARE MODE" if connection.dialect.name in {"mysql", "mariadb"} else ""
    found: set[str] = set()
    cursor = connection.connection.cursor()  # each marketing message asks: the driver alone takes a tenth of the time
    try:
        for some in chunks(sorted(set(receivers)), _MAX_PARAMETERS):
            cursor.execute(f"{_QUERY} ({placeholders(connection, len(some))}){share}", tuple(some))
            found.update(row[0] for row in cursor.fetchall())
    finally:
        cursor.close()
    return found


def _lock(connection: Connection, *, is_shared: bool) -> None:
    """Take the list's lock until the transaction ends; SQLite has one writer, MariaDB locks the rows and gaps read."""
    if connection.dialect.name == "postgresql":
        suffix = "_shared" if is_shared else ""
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock{suffix}({_LOCK})")
