"""Options of a request to send: start, expiry, call-back address, and the caller's reference. No I/O."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from carboy.config import parse_duration
from carboy.errors import Fault
from carboy.http_values import parse_query_time

OPTIONS = frozenset({"send_at", "expires_after", "callback_url", "reference"})
MAX_REFERENCE_CHARS = 255
_LONGEST_MS = 30 * 86_400_000
_PAST_MS = 60_000  # clocks differ
_MAX_URL_CHARS = 2048
_WRITTEN = re.compile(r"[^\s\\\x00-\x20\x7f]+")


@dataclass(frozen=True, slots=True)
class Options:
    """What a request says beside receivers, template and parameters.

    Attributes:
        send_at_ms: when it is sent; None for at once.
        expires_after_ms: how long after that it is worth sending; None for the usual time.
        callback_url: where state changes go; None for the address of the settings.
        reference: the caller's own; None for none.
    """

    send_at_ms: int | None = None
    expires_after_ms: int | None = None
    callback_url: str | None = None
    reference: str | None = None


def read_options(
    body: Mapping[str, Any], now_ms: int, callback_hosts: Collection[str], faults: list[Fault], *, allow_http: bool
) -> Options:
    """Return the options in a body, and add every fault.

    Args:
        body: of the request.
        now_ms: the time.
        callback_hosts: the hosts that `callback_url` may have.
        faults: to add to.
        allow_http: whether `callback_url` may begin with http.
    """
    return Options(
        _read_send_at(body.get("send_at"), now_ms, faults),
        _read_expires_after(body.get("expires_after"), faults),
        _read_callback(body.get("callback_url"), callback_hosts, faults, allow_http=allow_http),
        read_reference(body.get("reference"), "/reference", faults),
    )


def read_reference(given: Any, pointer: str, faults: list[Fault]) -> str | None:
    """Return a caller's reference; None if absent."""
    if given is None:
        return None
    if not isinstance(given, str) or not 1 <= len(given) <= MAX_REFERENCE_CHARS or not given.isprintable():
        faults.append(Fault(pointer, f"it must be a text of 1 to {MAX_REFERENCE_CHARS} printable characters"))
        return None
    return given


def _read_send_at(given: Any, now_ms: int, faults: list[Fault]) -> int | None:
    if given is None:
        return None
    try:
        at_ms = parse_query_time(given if isinstance(given, str) else "")
    except ValueError as error:
        faults.append(Fault("/send_at", f"it must be an RFC 3339 time with an offset: {error}"))
        return None
    if at_ms > now_ms + _LONGEST_MS:
        faults.append(Fault("/send_at", "it is more than 30 days ahead"))
    elif at_ms < now_ms - _PAST_MS:
        faults.append(Fault("/send_at", "it is in the past"))
    return None if at_ms <= now_ms else at_ms


def _read_expires_after(given: Any, faults: list[Fault]) -> int | None:
    if given is None:
        return None
    try:
        seconds = parse_duration(given if isinstance(given, str) else "")
    except ValueError:
        faults.append(Fault("/expires_after", "it must be a length of time, such as 2s, 10m or 1h"))
        return None
    if not 0 < seconds * 1000 <= _LONGEST_MS:
        faults.append(Fault("/expires_after", "it must be above 0 and at most 30 days"))
        return None
    return max(1, round(seconds * 1000))


def read_callback_url(given: Any, *, allow_http: bool, allow_user: bool = False) -> tuple[str, str]:
    """Return the host of an address for call-backs, in lower case, and what is wrong with it; empty for nothing.

    Args:
        given: the address.
        allow_http: whether it may begin with http.
        allow_user: whether it may have a user and a password.
    """
    schemes = ("https", "http") if allow_http else ("https",)
    try:
        parts = urlsplit(given if isinstance(given, str) and len(given) <= _MAX_URL_CHARS else "")
        host, _port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    has_user = parts.username is not None and not allow_user
    if not host or parts.scheme not in schemes or has_user or not _WRITTEN.fullmatch(given):
        return "", f"it must be an address with {' or '.join(schemes)}, without a user and blanks"
    return host, ""


def _read_callback(given: Any, hosts: Collection[str], faults: list[Fault], *, allow_http: bool) -> str | None:
    if given is None:
        return None
    host, why = read_callback_url(given, allow_http=allow_http)
    if not why and host not in {one.lower() for one in hosts}:
        why = f"SMS_CALLBACK_HOSTS does not allow its host, {host}"
    if why:
        faults.append(Fault("/callback_url", why))
        return None
    return str(given)
