"""The senders of webhooks: who may send, and what of a request is the id, the time and the type."""

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.config import Rate, parse_rate
from carboy.errors import ConfigurationError, Fault
from carboy.services.archive.index import NewItem
from carboy.services.archive.keys import MAX_CREATED_AT_MS, webhook_key
from carboy.services.archive.proofs import Incoming, Scheme
from carboy.services.archive.schemes import make_scheme
from carboy.services.archive.settings import Source

__all__ = ["THREATSTACK", "Sender", "make_senders"]

THREATSTACK = "threatstack"
_MAX_BODY_BYTES = 1 << 28
_NO_ID = object()


@dataclass(frozen=True, slots=True)
class Sender:
    """A source, ready to check requests.

    Attributes:
        name: as in the path.
        source: its table in the settings.
        scheme: what verifies it; None where our own keys, a path token or SNS do.
        networks: who may send; empty for all.
        rate: of its own; None for none.
    """

    name: str
    source: Source
    scheme: Scheme | None
    networks: tuple[Any, ...]
    rate: Rate | None

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

    def item(self, incoming: Incoming, now_ms: int) -> NewItem:
        """Return what is kept of a verified request: its bytes as they came, with the chosen headers.

        Without an id in the place that the settings name, the content's SHA-256 is the id; without a time, now is.
        """
        sha256 = hashlib.sha256(incoming.body).digest()
        found = _look_up(self.source.id, incoming) if self.source.id else _NO_ID
        event_id = str(found) if isinstance(found, str | int) and str(found) else sha256.hex()
        at_ms = _parse_time(_look_up(self.source.time, incoming)) if self.source.time else None
        key = webhook_key(event_id, now_ms if at_ms is None else at_ms, self.name)
        headers = {name: incoming.headers[name.lower()] for name in self._kept if name.lower() in incoming.headers}
        return NewItem(
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


def make_senders(sources: Mapping[str, Source], clock: Clock = SYSTEM_CLOCK) -> dict[str, Sender]:
    """Return the senders of the settings; `threatstack` is there whether it has a table or not.

    Raises:
        ConfigurationError: schemes, rates or networks are wrong; all of it at once.
    """
    tables = {THREATSTACK: Source(verify="key"), **sources}
    senders: dict[str, Sender] = {}
    faults: list[Fault] = []
    for name, source in tables.items():
        place = f"archive.sources.{name}"
        try:
            webhook_key("x", clock.now_ms(), name)
            scheme = None if source.verify in {"key", "sns"} else make_scheme(source.verify, source.options)
            senders[name] = Sender(
                name, source, scheme, tuple(map(ipaddress.ip_network, source.allow)), parse_rate(source.rate)
            )
        except ConfigurationError as error:
            faults += error.faults or [Fault(place, error.why)]
        except ValueError as error:
            faults.append(Fault(place, str(error)))
        except Exception as error:  # noqa: BLE001 (a name that makes no key)
            faults.append(Fault(place, str(error)))
        if source.verify not in {"key", "sns", "none"} and not source.secrets:
            faults.append(Fault(place, f"verify = {source.verify} needs `secrets`"))
        if source.only and not source.events:
            faults.append(Fault(place, "`only` needs `events`: where the event's type is"))
        for field in ("id", "time", "events"):
            where = getattr(source, field)
            if where and not where.startswith(("header:", "/")):
                faults.append(Fault(place, f"`{field}` is header:NAME or a JSON pointer that begins with /"))
    if faults:
        listed = "; ".join(f"`{fault.pointer}`: {fault.detail}" for fault in faults)
        raise ConfigurationError("the archive's sources are wrong", listed, "correct them in carboy.toml", faults)
    return senders


def with_secrets(sender: Sender, source: Source) -> Sender:
    """Return the sender with another table, such as after its secrets were replaced."""
    return replace(sender, source=source)


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
    elif isinstance(value, int | float) and not isinstance(value, bool):
        at_ms = round(value * 1000 if value < 1e11 else value)  # seconds until the year 5138, milliseconds from 1973
    else:
        return None
    return at_ms if at_ms is not None and 0 <= at_ms <= MAX_CREATED_AT_MS else None
