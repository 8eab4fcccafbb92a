"""The keys under which things are archived, to and fro.

    webhooks/YYYY/MM/DD/HH/MM/<id>              a Threat Stack alert as its webhook brought it, by its time in UTC
    webhooks/<source>/YYYY/MM/DD/HH/MM/<id>     any other sender's webhook
    alerts/ab/cd/<id>                           an alert's detail, by the first four characters of its id
    <any of these>~<8 hex digits>               another content under the same id, by its SHA-256

An id of `[A-Za-z0-9_-]` stands as it is. In any other, which only other senders can have, each byte of UTF-8 outside
that alphabet is written `=XX` (two capital hex digits, as quoted-printable has it; a proxy would decode `%`); an id
that is longer than 200 characters so written stands as `==` and the hex SHA-256 of its bytes, which cannot be turned
back. An id of fewer than four characters is filled up with `_` to find its folders: `alerts/a_/__/a`.
"""

import hashlib
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from carboy.errors import Fault, InvalidInput

SOURCE_NAME = "a letter and up to 63 characters of [a-z0-9_-]"
MAX_CREATED_AT_MS = 253_402_300_799_999  # the last millisecond of the year 9999

_MAX_NAME = 200
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SOURCE = re.compile(r"[a-z][a-z0-9_-]{0,63}")  # a letter first, so that it is never taken for a year
_HASHED = re.compile("==[0-9a-f]{64}")  # in place of an id that is too long for a file's name
_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")
_VERSION = r"(?:~(?P<version>[0-9a-f]{8}))?"
_ALERT = re.compile(rf"alerts/[^/]{{2}}/[^/]{{2}}/(?P<id>{_ID.pattern}){_VERSION}")
_WEBHOOK = re.compile(
    rf"webhooks/(?:(?P<source>{_SOURCE.pattern})/)?(?P<at>\d{{4}}/\d\d/\d\d/\d\d/\d\d)/"
    rf"(?P<name>(?:[A-Za-z0-9_-]|=[0-9A-F]{{2}}){{1,{_MAX_NAME}}}|{_HASHED.pattern}){_VERSION}",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class WebhookKey:
    """What the key of a webhook says.

    Attributes:
        id: the alert's or the event's; where `is_hashed`, `==` and the hash that stands for it.
        minute_ms: the minute in which it was created, milliseconds since the epoch.
        source: None for Threat Stack.
        version: the first 8 hex digits of the content's SHA-256, or empty for the first content of that id.
        is_hashed: whether the id was too long, so that the key has only its hash.
    """

    id: str
    minute_ms: int
    source: str | None = None
    version: str = ""
    is_hashed: bool = False


@dataclass(frozen=True, slots=True)
class AlertKey:
    """What the key of an alert's detail says."""

    id: str
    version: str = ""


def is_alert_id(text: str) -> bool:
    """Return whether a text can be a Threat Stack id: 1 to 128 characters of `[A-Za-z0-9_-]`."""
    return bool(_ID.fullmatch(text))


def is_source_name(text: str) -> bool:
    """Return whether a text can be the name of a source: `SOURCE_NAME`."""
    return bool(_SOURCE.fullmatch(text))


def webhook_key(event_id: str, created_at_ms: int, source: str | None = None) -> str:
    """Return the key of a webhook.

    Args:
        event_id: an alert's id, or with a source any text that is not empty.
        created_at_ms: from 0 to the end of the year 9999.
        source: the sender's name in the settings, `[a-z][a-z0-9_-]*`; None for Threat Stack.

    Raises:
        InvalidInput: one of them is out of its range.
    """
    if not 0 <= created_at_ms <= MAX_CREATED_AT_MS:
        raise _wrong("created_at", "is from 0 to 253402300799999 milliseconds")
    if source is None:
        return f"webhooks/{_minute(created_at_ms)}/{_checked(event_id)}"
    if not is_source_name(source):
        raise _wrong("source", f"is {SOURCE_NAME}")
    return f"webhooks/{source}/{_minute(created_at_ms)}/{_escape(event_id)}"


def stored_id(event_id: str) -> str:
    """Return an id, or the beginning of one, as the index and the keys of objects have it; empty for an empty one.

    What lists show in place of a long id is that already.
    """
    return event_id if not event_id or _HASHED.fullmatch(event_id) else _escape(event_id)


def alert_key(alert_id: str) -> str:
    """Return the key of an alert's detail.

    Raises:
        InvalidInput: the id is not valid.
    """
    folders = _checked(alert_id)[:4].ljust(4, "_")
    return f"alerts/{folders[:2]}/{folders[2:]}/{alert_id}"


def version_key(key: str, sha256_hex: str) -> str:
    """Return the key for another content under the same id: `<key>~<first 8 hex digits of its SHA-256>`."""
    return f"{key}~{sha256_hex[:8]}"


def parse_key(key: str) -> WebhookKey | AlertKey | None:
    """Return what a key says; None for one that no function here renders."""
    if found := _ALERT.fullmatch(key):
        alert_id, version = found["id"], found["version"] or ""
        return AlertKey(alert_id, version) if _versioned(alert_key(alert_id), version) == key else None
    if not (found := _WEBHOOK.fullmatch(key)):
        return None
    name, source, version = found["name"], found["source"], found["version"] or ""
    is_hashed = name.startswith("==")
    try:
        year, month, day, hour, minute = map(int, found["at"].split("/"))
        minute_ms = int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * 1000
        event_id = name if is_hashed else _unescape(name)
        whole = key if is_hashed and source else _versioned(webhook_key(event_id, minute_ms, source), version)
    except (ValueError, InvalidInput):  # no such day, no UTF-8, or an id that Threat Stack cannot have
        return None
    return WebhookKey(event_id, minute_ms, source, version, is_hashed) if whole == key else None


def _minute(at_ms: int) -> str:
    return time.strftime("%Y/%m/%d/%H/%M", time.gmtime(at_ms // 1000))


def _versioned(key: str, version: str) -> str:
    return f"{key}~{version}" if version else key


def _checked(alert_id: str) -> str:
    if not is_alert_id(alert_id):
        raise _wrong("id", "is 1 to 128 characters of [A-Za-z0-9_-]")
    return alert_id


def _escape(event_id: str) -> str:
    raw = event_id.encode("utf-8", "surrogatepass")
    if not raw:
        raise _wrong("id", "is not empty")
    name = _UNSAFE.sub(lambda found: b"=%02X" % found[0][0], raw).decode()
    return name if len(name) <= _MAX_NAME else f"=={hashlib.sha256(raw).hexdigest()}"


def _unescape(name: str) -> str:
    raw = re.sub(rb"=([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), name.encode())
    return raw.decode("utf-8", "surrogatepass")


def _wrong(pointer: str, detail: str) -> InvalidInput:
    return InvalidInput(
        "there is no key for this", f"`{pointer}` {detail}", "see the archive's keys", [Fault(pointer, detail)]
    )
