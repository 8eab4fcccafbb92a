"""The senders of webhooks: who may send, and what of a request is the id, the time and the type."""

import hashlib
import hmac
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from carboy.config import Rate
from carboy.errors import ConfigurationError, Fault, InvalidInput
from carboy.redact import Secret
from carboy.services.archive.items import NewItem
from carboy.services.archive.object_keys import MAX_CREATED_AT_MS, webhook_key
from carboy.services.archive.schemes import SCHEMES, make_scheme
from carboy.webhooks import Incoming, Scheme

__all__ = ["THREATSTACK", "SourceConfig", "WebhookSource", "make_senders"]

THREATSTACK = "threatstack"
_MAX_BODY_BYTES = 1 << 28
_NO_ID = object()
_NO_SCHEME = frozenset({"key", "sns"})
_OPTIONS = (
    "header",
    "algorithm",
    "encoding",
    "prefix",
    "timestamp_header",
    "template",
    "tolerance_s",
    "public_url",
    "username",
)


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """A table `[archive.sources.<name>]`: who may send, how that is checked, what is kept of it.

    Attributes:
        verify: the scheme by which a request proves where it comes from; `key` is one of our own API keys.
        secrets: what the scheme checks with; several while one is being replaced.
        tokens: path tokens that let a request in at `…/webhooks/<source>/<token>`, for who can do nothing else.
        header: an option of the scheme, as are those up to `username`; empty for the scheme's own.
        algorithm: of `hmac`.
        encoding: of `hmac`.
        prefix: of `hmac`.
        timestamp_header: of `hmac`.
        template: of `hmac`.
        tolerance_s: how old what is signed with a time may be.
        public_url: the address that the sender was given, where a proxy changes it.
        username: of `basic`.
        id: where the id is: `header:NAME` or a JSON pointer; without one it is the content's SHA-256.
        time: where the time is, likewise; without one it is the time of arrival.
        keep_headers: headers that are kept beside the bytes.
        rate: requests that are let in of this source; None for no limit of its own.
        max_body_bytes: 0 for the limit of all.
        events: `header:NAME` or a JSON pointer to the event's type; with `only`, all other types are answered 202
            and not kept.
        only: the event types to keep.
        allow: networks that may send, in CIDR notation; empty for all.
    """

    verify: str = "key"
    secrets: tuple[Secret, ...] = ()
    tokens: tuple[Secret, ...] = ()
    header: str = ""
    algorithm: str = ""
    encoding: str = ""
    prefix: str = ""
    timestamp_header: str = ""
    template: str = ""
    tolerance_s: float | None = None
    public_url: str = ""
    username: str = ""
    id: str = ""
    time: str = ""
    keep_headers: tuple[str, ...] = ("Content-Type", "User-Agent")
    rate: Rate | None = None
    max_body_bytes: int = 0
    events: str = ""
    only: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()

    @property
    def options(self) -> dict[str, str]:
        """Those of the scheme that are set; `none` has none, so that a profile need only change `verify`."""
        given = {} if self.verify == "none" else {name: getattr(self, name) for name in _OPTIONS}
        return {name: str(value) for name, value in given.items() if value not in {"", None}}


@dataclass(frozen=True, slots=True)
class WebhookSource:
    """A source, ready to check requests.

    Attributes:
        name: as in the path.
        source: its table in the settings.
        scheme: what verifies it; None where our own keys, a path token or SNS do.
        networks: who may send; empty for all.
    """

    name: str
    source: SourceConfig
    scheme: Scheme | None
    networks: tuple[Any, ...]

    @property
    def rate(self) -> Rate | None:
        """What it may send at most; None for no limit of its own."""
        return self.source.rate

    @property
    def secrets(self) -> tuple[str, ...]:
        """What the scheme checks with."""
        return tuple(secret.reveal() for secret in self.source.secrets)

    @property
    def max_body_bytes(self) -> int:
        """The largest body it may send."""
        return self.source.max_body_bytes or _MAX_BODY_BYTES

    def has_token(self, token: str) -> bool:
        """Return whether a path token is one of this source's, in constant time."""
        given = token.encode("utf-8", "surrogatepass")
        found = [hmac.compare_digest(given, one.reveal().encode()) for one in self.source.tokens]
        return any(found)

    def allows(self, address: str) -> bool:
        """Return whether a client address may send."""
        if not self.networks:
            return True
        try:
            given = ipaddress.ip_address(address)
        except ValueError:
            return False
        given = getattr(given, "ipv4_mapped", None) or given
        return any(given in network for network in self.networks)

    def wants(self, incoming: Incoming) -> bool:
        """Return whether an event is of a type that is kept."""
        if not self.source.only:
            return True
        return str(_look_up(self.source.events, incoming)) in self.source.only

    def item(self, incoming: Incoming, now_ms: int) -> tuple[str, NewItem]:
        """Return the id of a verified request as it was sent, and what is kept: its bytes, with the chosen headers.

        Without an id in the place that the settings name, the content's SHA-256 is the id; without a time, now is.
        """
        sha256 = hashlib.sha256(incoming.body).digest()
        found = _look_up(self.source.id, incoming) if self.source.id else _NO_ID
        event_id = str(found) if isinstance(found, str | int) and str(found) else sha256.hex()
        at_ms = _parse_time(_look_up(self.source.time, incoming)) if self.source.time else None
        key = webhook_key(event_id, now_ms if at_ms is None else at_ms, self.name)
        headers = {name: incoming.headers[name.lower()] for name in self._kept if name.lower() in incoming.headers}
        return event_id, NewItem(
            source=self.name,
            item_id=key.rpartition("/")[2],
            digest=sha256,
            sha256=sha256,
            at_ms=now_ms if at_ms is None else at_ms,
            object_key=key,
            content_type=incoming.headers.get("content-type", "application/octet-stream")[:255],
            body=incoming.body,
            headers=orjson.dumps(headers) if headers else None,
        )

    @property
    def _kept(self) -> Sequence[str]:
        return self.source.keep_headers


def make_senders(sources: Mapping[str, SourceConfig]) -> dict[str, WebhookSource]:
    """Return the senders of the settings; `threatstack` is there whether it has a table or not.

    Raises:
        ConfigurationError: what the tables say cannot be; all of it at once.
    """
    tables = {THREATSTACK: SourceConfig(), **sources}
    senders: dict[str, WebhookSource] = {}
    faults: list[Fault] = []
    for name, source in tables.items():
        found = [Fault(f"{name}.{fault.pointer}".rstrip("."), fault.detail) for fault in _faults(name, source)]
        faults += found
        if not found:
            scheme = None if source.verify in _NO_SCHEME else make_scheme(source.verify, source.options)
            senders[name] = WebhookSource(name, source, scheme, tuple(map(ipaddress.ip_network, source.allow)))
    if faults:
        listed = "; ".join(f"`{fault.pointer}` {fault.detail}" for fault in faults)
        raise ConfigurationError("the archive's sources are wrong", listed, "correct them in carboy.toml", faults)
    return senders


def _faults(name: str, source: SourceConfig) -> Iterator[Fault]:
    """Yield what is wrong with a source; the pointers are its keys."""
    try:
        webhook_key("x", 0, name)
    except InvalidInput as error:
        yield Fault("", error.faults[0].detail.replace("is ", "must be named with ", 1))
    yield from _scheme_faults(source)
    if source.only and not source.events:
        yield Fault("only", "needs `events`: where the event's type is")
    if source.max_body_bytes < 0:
        yield Fault("max_body_bytes", "cannot be below 0")
    for key in ("id", "time", "events"):
        where = getattr(source, key)
        if where and not where.startswith(("header:", "/")):
            yield Fault(key, "must be header:NAME or a JSON pointer that begins with /")
    for network in source.allow:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            yield Fault("allow", f"must be networks such as 192.0.2.0/24; `{network}` is none")


def _scheme_faults(source: SourceConfig) -> Iterator[Fault]:
    """Yield what is wrong with how a source is verified."""
    if source.verify in _NO_SCHEME:
        yield from (Fault(key, f"is no option of {source.verify}") for key in source.options)
    elif source.verify not in SCHEMES:
        yield Fault("verify", f"must be one of {', '.join(sorted({*SCHEMES, *_NO_SCHEME}))}")
    else:
        try:
            make_scheme(source.verify, source.options)
        except ConfigurationError as error:
            yield from error.faults
    if source.verify in _NO_SCHEME and source.secrets:
        yield Fault("secrets", f"are of no use to verify = {source.verify}")
    if source.verify not in {*_NO_SCHEME, "none"} and not source.secrets:
        yield Fault("secrets", f"are needed by verify = {source.verify}")


def _look_up(where: str, incoming: Incoming) -> Any:
    """Return what is at `header:NAME` or a JSON pointer (RFC 6901); None where there is nothing."""
    if where.startswith("header:"):
        return incoming.headers.get(where.removeprefix("header:").strip().lower())
    try:
        node = orjson.loads(incoming.body)
        for token in where.split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            node = node[int(key)] if isinstance(node, list) else node[key]
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    return node


def _parse_time(value: Any) -> int | None:
    """Return the milliseconds of a number of seconds or milliseconds, or of an ISO 8601 text; None for others."""
    if isinstance(value, str):
        try:
            value = float(value) if value.replace(".", "", 1).isdigit() else datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        at_ms = round(value.timestamp() * 1000) if value.tzinfo else None
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_CREATED_AT_MS:
        at_ms = round(value * 1000 if value < 1e11 else value)  # seconds until the year 5138, milliseconds from 1973
    else:
        return None
    return at_ms if at_ms is not None and 0 <= at_ms <= MAX_CREATED_AT_MS else None
