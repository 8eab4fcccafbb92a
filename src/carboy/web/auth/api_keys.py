"""The form of an API key, with a checksum that detects invalid keys without the database.

`cby_<id>_<secret><check>`: an id that may be shown, 190 random bits, and a checksum over both. Only a SHA-256 hash of
the whole is kept: the secret is random, so a slow hash would protect nothing that a fast one does not.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from carboy.errors import Fault, InvalidInput

SCOPES = (
    "archive:write", "archive:read", "sms:send", "sms:read", "sms:opt-outs", "sms:numbers", "sms:content",
    "destinations:read", "destinations:write", "jobs:admin", "metrics:read", "keys:admin", "settings:read",
    "audit:read",
)  # fmt: skip
"""The scopes of Carboy's own parts; a module may have others, such as `orders:write`."""

_LOWER = "0123456789abcdefghijklmnopqrstuvwxyz"
_LETTERS = _LOWER + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ID_CHARS, _SECRET_CHARS, _CHECK_CHARS = 12, 32, 6
_shape = re.compile(rf"cby_([0-9a-z]{{{_ID_CHARS}}})_[0-9A-Za-z]{{{_SECRET_CHARS + _CHECK_CHARS}}}").fullmatch
_SCOPE = re.compile(r"[a-z][a-z0-9-]{0,31}:[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as it is kept; times are milliseconds since the epoch.

    Attributes:
        id: identifies it in lists and logs; not secret.
        name: given at its creation.
        scopes: its rights.
        last_used_at: to the minute; None when it never was.
        revoked_at: None while it is valid.
        expires_at: None for never.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: int
    last_used_at: int | None = None
    revoked_at: int | None = None
    expires_at: int | None = None


def make_key() -> tuple[str, str]:
    """Return a new key's id and the key itself, which is shown once and never stored."""
    key_id = "".join(secrets.choice(_LOWER) for _ in range(_ID_CHARS))
    start = f"cby_{key_id}_" + "".join(secrets.choice(_LETTERS) for _ in range(_SECRET_CHARS))
    return key_id, start + _checksum(start)


def parse_key_id(text: str) -> str | None:
    """Return the id in a key; None when it is not a key: another form, or a typing error."""
    found = _shape(text)
    if found is None or _checksum(text[:-_CHECK_CHARS]) != text[-_CHECK_CHARS:]:
        return None
    return found[1]


def hash_key(text: str) -> str:
    """Return the stored hash of a key: its SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def matches(text: str, kept_hash: str) -> bool:
    """Return whether this is the key of a hash, in constant time."""
    return hmac.compare_digest(hash_key(text), kept_hash)


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes sorted, each once.

    Raises:
        InvalidInput: no scope is given, one is not written as `part:right`, or is unknown to one of Carboy's parts.
    """
    wanted = tuple(sorted(set(scopes)))
    own_parts = {scope.partition(":")[0] for scope in SCOPES}
    wrong = [
        scope
        for scope in wanted
        if not _SCOPE.fullmatch(scope) or (scope not in SCOPES and scope.partition(":")[0] in own_parts)
    ]
    if wrong or not wanted:
        why = f"`{wrong[0]}` is not a scope" if wrong else "it has no scope"
        faults = [Fault("scope", f"`{scope}` is not a scope") for scope in wrong]
        raise InvalidInput("the key cannot be made", why, f"the scopes are {', '.join(SCOPES)}", faults)
    return wanted


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECK_CHARS):
        number, digit = divmod(number, len(_LETTERS))
        digits = _LETTERS[digit] + digits
    return digits
