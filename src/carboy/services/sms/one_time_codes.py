"""One-time passwords: generated, stored as a hash, verified with few tries.

The response to a guess does not reveal whether a code was sent: a receiver without one gets a decoy, whose tries are
counted like any other's.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select, update

from carboy.db import insert_rows, ordered_by
from carboy.jobs import new_id
from carboy.services.sms.daily_counts import CODE_ENTERED, DAY_MS, add_counts
from carboy.services.sms.tables import CODES, MESSAGES


@dataclass(frozen=True, slots=True)
class Guess:
    """A code to verify.

    Attributes:
        subject: of receiver and template; empty if the request is known instead.
        request: the row of the request that sent the code; None if it is not known.
        code: as typed.
        pepper: the key of the hashes.
        tries: of a decoy.
        decoy_until_ms: when a decoy expires.
        now_ms: the time.
    """

    subject: str
    request: int | None
    code: str
    pepper: bytes
    tries: int
    decoy_until_ms: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the code is verified, and how many tries are left."""

    is_verified: bool
    tries_left: int


def make_code(digits: int) -> str:
    """Return a random code, with leading zeros."""
    return f"{secrets.randbelow(10**digits):0{digits}d}"


def subject_of(receiver_hash: str, template: str) -> str:
    """Return the hash of a receiver and a template, for which one code is valid at a time."""
    return hashlib.sha256(f"{receiver_hash}:{template}".encode()).hexdigest()


def hash_code(code: str, subject: str, pepper: bytes) -> str:
    """Return the HMAC of a code; a plain hash could be reversed by trying all codes."""
    return hmac.new(pepper, f"{subject}:{code}".encode(), hashlib.sha256).hexdigest()


def code_row(subject: str, hashed: str, tries: int, expires_at_ms: int) -> dict[str, Any]:
    """Return the row of a code but for its id."""
    return {"subject": subject, "hash": hashed, "tries_left": tries, "expires_at": expires_at_ms}


def _key_of(one: Guess) -> tuple[int, str]:
    return one.request or 0, one.subject


@ordered_by(_key_of)
def guess(connection: Connection, one: Guess) -> Verdict:
    """Verify a guess; of several at once one after the other, so that no two use the same try."""
    chosen = CODES.c.subject == one.subject if one.request is None else CODES.c.id == one.request
    row = connection.execute(select(CODES).where(chosen).with_for_update()).first()
    is_live = row is not None and row.expires_at > one.now_ms
    kept = row.hash if row is not None and is_live else secrets.token_hex(32)
    subject = row.subject if row is not None else one.subject
    is_equal = hmac.compare_digest(hash_code(one.code, subject, one.pepper), kept)
    if row is None or not is_live:
        return _decoy(connection, one)
    if row.tries_left <= 0:
        return Verdict(False, 0)
    if is_equal:
        connection.execute(delete(CODES).where(CODES.c.id == row.id))
        _count_entered(connection, row.id)
        return Verdict(True, row.tries_left - 1)
    connection.execute(update(CODES).where(CODES.c.id == row.id).values(tries_left=row.tries_left - 1))
    return Verdict(False, row.tries_left - 1)


def _count_entered(connection: Connection, request: int) -> None:
    columns = (MESSAGES.c.template, MESSAGES.c.country, MESSAGES.c.provider, MESSAGES.c.created_at)
    sent = connection.execute(select(*columns).where(MESSAGES.c.request == request).limit(1)).first()
    if sent is not None:
        day = sent.created_at // DAY_MS
        key = (day, sent.template, sent.provider or "", sent.country or "", CODE_ENTERED, 0)
        add_counts(connection, {key: (1, 0)})


def _decoy(connection: Connection, one: Guess) -> Verdict:
    if one.request is not None:
        return Verdict(False, 0)
    connection.execute(delete(CODES).where(CODES.c.subject == one.subject))
    decoy = code_row(one.subject, secrets.token_hex(32), one.tries - 1, one.decoy_until_ms)
    insert_rows(connection, CODES, [{"id": new_id(one.now_ms), **decoy}])
    return Verdict(False, one.tries - 1)
