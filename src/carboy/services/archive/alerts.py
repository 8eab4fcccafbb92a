"""Read a Threat Stack webhook: the alerts in it as they came, or everything that is wrong with it.

An alert is kept verbatim; what is read of it here is what its key, its index and its versions need.
"""

import hashlib
import re
from codecs import BOM_UTF8
from dataclasses import dataclass
from typing import Any

import msgspec

from carboy.api import parse_json as parse_strict_json
from carboy.errors import Fault, InvalidInput
from carboy.services.archive.object_keys import MAX_CREATED_AT_MS, is_alert_id

_MAX_DEPTH = 64
_MAX_FAULTS = 1000  # an answer must not be many times what was sent
_MAX_TEXT = 255  # what an index holds
_DIGITS = re.compile(r"[0-9]{1,18}")


class _Webhook(msgspec.Struct):
    alerts: list[msgspec.Raw]


_WEBHOOK = msgspec.json.Decoder(_Webhook)
_CANONICAL = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a webhook.

    Attributes:
        id: as sent, safe in a key.
        created_at_ms: milliseconds since the epoch, UTC.
        raw: the very bytes of this alert.
        sha256: of `raw`, hex.
        digest: SHA-256, hex, of the content: the same whatever the white space, the order of keys and the spelling of
            characters; numbers count as they are written.
        severity: for the index, like the three that follow: text of at most 255 characters without NUL (which
            PostgreSQL does not take), a number as its digits, None where it is neither or absent.
        organization_id: see `severity`.
        source: see `severity`.
        title: see `severity`.
    """

    id: str
    created_at_ms: int
    raw: bytes
    sha256: str
    digest: str
    severity: str | None
    organization_id: str | None
    source: str | None
    title: str | None


def parse_alerts(body: bytes) -> list[Alert]:
    """Return the alerts of a webhook's body, or of an SNS notification's message.

    Raises:
        Problem: 400, it is not JSON; see `parse_json`.
        InvalidInput: it is JSON of another shape; every fault with its pointer, up to 1,000.
    """
    document = parse_json(body)
    alerts = document.get("alerts") if isinstance(document, dict) else None
    if not isinstance(alerts, list) or not alerts:
        raise _wrong([_shape_fault(document)])
    faults: list[Fault] = []
    for at, alert in enumerate(alerts):
        _find_faults(alert, f"/alerts/{at}", faults)
        if len(faults) >= _MAX_FAULTS:
            break
    if faults:
        raise _wrong(faults)
    raws = _WEBHOOK.decode(body.removeprefix(BOM_UTF8)).alerts
    return [
        _make(alert, bytes(raw), alert["id"], _created_at_ms(alert["created_at"]) or 0)
        for alert, raw in zip(alerts, raws, strict=True)
    ]


def read_alert(raw: bytes, alert_id: str, created_at_ms: int) -> Alert:
    """Return an alert whose id and time are known from elsewhere, such as a list of the API.

    Raises:
        Problem: 400, it is not JSON.
        InvalidInput: it is no object, or the id or the time is out of range.
    """
    alert = parse_json(raw)
    faults = [] if isinstance(alert, dict) else [Fault("", "must be an object")]
    _find_faults({"id": alert_id, "created_at": created_at_ms}, "", faults)
    if faults:
        raise _wrong(faults)
    return _make(alert, raw, alert_id, created_at_ms)


def parse_json(body: bytes) -> Any:
    """Return what a body says: strict JSON, numbers with a fraction or an exponent as `msgspec.Raw`.

    Raises:
        Problem: 400, see `carboy.api.parse_json`.
    """
    return parse_strict_json(body, _MAX_DEPTH, exact_numbers=True)


def content_digest(value: Any) -> str:
    """Return the SHA-256, hex, of what `parse_json` has read, whatever its white space and order of keys."""
    return hashlib.sha256(_CANONICAL.encode(value)).hexdigest()


def _shape_fault(document: Any) -> Fault:
    if not isinstance(document, dict):
        return Fault("", "must be an object with `alerts`")
    if "alerts" not in document:
        return Fault("/alerts", "is required")
    return Fault("/alerts", "must not be empty" if isinstance(document["alerts"], list) else "must be a list")


def _find_faults(alert: Any, pointer: str, faults: list[Fault]) -> None:
    if not isinstance(alert, dict):
        faults.append(Fault(pointer, "must be an object"))
        return
    alert_id = alert.get("id")
    if not isinstance(alert_id, str) or not is_alert_id(alert_id):
        detail = "must be 1 to 128 characters of [A-Za-z0-9_-]" if "id" in alert else "is required"
        faults.append(Fault(f"{pointer}/id", detail))
    if _created_at_ms(alert.get("created_at")) is None:
        detail = "must be milliseconds since the epoch, up to the year 9999" if "created_at" in alert else "is required"
        faults.append(Fault(f"{pointer}/created_at", detail))


def _created_at_ms(value: Any) -> int | None:
    """Return an integer, or the digits of one in a string (as Threat Stack sends it), where it is in range."""
    if type(value) is str and _DIGITS.fullmatch(value):
        value = int(value)
    return value if type(value) is int and 0 <= value <= MAX_CREATED_AT_MS else None


def _make(alert: dict[str, Any], raw: bytes, alert_id: str, created_at_ms: int) -> Alert:
    return Alert(
        id=alert_id,
        created_at_ms=created_at_ms,
        raw=raw,
        sha256=hashlib.sha256(raw).hexdigest(),
        digest=content_digest(alert),
        severity=_text(alert.get("severity")),
        organization_id=_text(alert.get("organization_id")),
        source=_text(alert.get("source")),
        title=_text(alert.get("title")),
    )


def _text(value: Any) -> str | None:
    if type(value) is int and abs(value) < 10**18:
        value = str(value)
    return value[:_MAX_TEXT].replace("\0", "\ufffd") if type(value) is str else None


def _wrong(faults: list[Fault]) -> InvalidInput:
    return InvalidInput(
        "the webhook was not accepted",
        f"{faults[0].pointer or 'the body'} {faults[0].detail}" + (", and more" if len(faults) > 1 else ""),
        'send {"alerts": [{"id": "…", "created_at": 1484661060000}]}',
        faults,
    )
