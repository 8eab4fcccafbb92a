"""The sources of webhooks, ready to check requests: who may send, and what of a request is the id and the time."""

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from carboy.api import RawRequest
from carboy.errors import ConfigurationError, Fault
from carboy.http_values import MISSING, parse_time
from carboy.logs import BoundLogger, get_logger
from carboy.services.archive.items import NewItem
from carboy.services.archive.object_keys import webhook_key
from carboy.services.archive.source_settings import NO_SCHEME, SourceConfig, source_faults
from carboy.webhooks import (
    Reply,
    Scheme,
    StandardWebhooks,
    cloudevent_id,
    cloudevent_type,
    find,
    make_scheme,
    matches_any,
    split_batch,
)

log: BoundLogger = get_logger("carboy.archive")

THREATSTACK = "threatstack"
SMS = "sms"
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "x-amz-security-token"})
_OF_TRANSPORT = frozenset(  # differ from one delivery of the same event to the next
    ("host", "connection", "content-length", "forwarded", "via", "date", "traceparent", "tracestate", "x-request-id")
)
_STANDARD_IDS = frozenset({"header:webhook-id", "header:svix-id"})
_SNS_FACTS = ("x-amz-sns-topic-arn", "x-amz-sns-subject", "x-amz-sns-message-attributes")


@dataclass(frozen=True, slots=True)
class WebhookSource:
    """A source, ready to check requests.

    Attributes:
        name: as in the path.
        config: its table in the settings.
        scheme: what verifies it; None where our own keys, a path token or SNS do.
        networks: who may send; empty for all.
    """

    name: str
    config: SourceConfig
    scheme: Scheme | None
    networks: tuple[Any, ...]
    _warned: set[str] = field(default_factory=set, compare=False, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What the scheme checks with."""
        return tuple(secret.reveal() for secret in self.config.secrets)

    def has_token(self, token: str) -> bool:
        """Return whether a path token is one of this source's, in constant time."""
        return matches_any(token, (one.reveal() for one in self.config.tokens))

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

    def handshake(self, request: RawRequest, *, is_signed: bool) -> Reply | None:
        """Return the response to a handshake; None for any other request.

        Args:
            request: what came.
            is_signed: look for handshakes that prove themselves as webhooks do, or for those that do not.

        Raises:
            Unverified: the handshake's secret is wrong.
        """
        known = [one.reveal() for one in self.config.handshake_secret]
        for one in self.config.handshakes:
            if one.is_signed == is_signed and (reply := one.respond(request, self.secrets, known)) is not None:
                return reply
        return None

    def wants(self, request: RawRequest) -> bool:
        """Return whether an event is of a type that is kept; one that has no type is."""
        if not self.config.only:
            return True
        found = find(self.config.events, request)
        if found is MISSING or found is None:
            self._warn_once("events", self.config.events)
            return True
        return str(found) in self.config.only

    def items(self, request: RawRequest, now_ms: int) -> list[tuple[str, NewItem]]:
        """Return the ids and what is kept of a verified request: one thing, or each event of a batch of CloudEvents.

        Raises:
            InvalidInput: the body is no batch.
        """
        return [self.item(one, now_ms) for one in (split_batch(request) if self.config.cloudevents else [request])]

    def item(self, request: RawRequest, now_ms: int) -> tuple[str, NewItem]:
        """Return the id of a verified request as it was sent, and what is kept: its bytes, with the chosen headers.

        Without an id in the place that the settings name, the content's SHA-256 is the id; without a time, now is. The
        content of an empty body is the kept headers.
        """
        sha256 = hashlib.sha256(request.body).digest()
        headers = self.kept_headers(request)
        digest = event_digest(request.body, headers)
        event_id = self._id(request) or digest.hex()
        at_ms = self._time_ms(request)
        key = webhook_key(event_id, now_ms if at_ms is None else at_ms, self.name)
        return event_id, NewItem(
            source=self.name,
            item_id=key.rpartition("/")[2],
            digest=digest,
            sha256=sha256,
            at_ms=now_ms if at_ms is None else at_ms,
            object_key=key,
            content_type=request.headers.get("content-type", "application/octet-stream")[:255],
            body=request.body,
            headers=orjson.dumps(headers) if headers else None,
            type=self._type(request),
            duplicates_ms=round(float(self.config.duplicates or 0) * 1000),
        )

    def _type(self, request: RawRequest) -> str | None:
        place = self.config.events or (cloudevent_type(request) if self.config.cloudevents else "")
        found = find(place, request) if place else None
        return found[:255] if isinstance(found, str) else None

    def _id(self, request: RawRequest) -> str:
        """Return the id in the places of the settings; empty where one of them has none."""
        parts = []
        for place in self.config.id or (cloudevent_id(request) if self.config.cloudevents else ()):
            is_signed = isinstance(self.scheme, StandardWebhooks) and place in _STANDARD_IDS
            found = find(f"header:{StandardWebhooks.family(request)}-id" if is_signed else place, request)
            if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
                self._warn_once("id", place)
                return ""
            parts.append(str(found))
        if len(parts) == 1:
            return parts[0]
        return " ".join(part.replace("\\", "\\\\").replace(" ", "\\ ") for part in parts)

    def _time_ms(self, request: RawRequest) -> int | None:
        if not self.config.time:
            return None
        found = parse_time(find(self.config.time, request))
        if found is None:
            self._warn_once("time", self.config.time)
        return found

    def kept_headers(self, request: RawRequest) -> dict[str, str]:
        """Return the headers to keep, by name, and what SNS's envelope says beside the message."""
        names: dict[str, str] = {}
        for name in self.config.keep_headers:
            if name == "*":
                secret = _SECRET_HEADERS | {self.config.header.lower() if self.config.verify == "bearer" else ""}
                secret |= {self.config.exchange.lower()}
                names |= {_title(one): one for one in sorted(request.headers) if one not in secret}
            else:
                names[name] = name.lower()
        names |= {_title(one): one for one in _SNS_FACTS if one in request.headers and one not in names.values()}
        return {name: request.headers[lower] for name, lower in names.items() if lower in request.headers}

    def _warn_once(self, key: str, place: str) -> None:
        """Log that a place of the settings is not in what the source sends."""
        if key not in self._warned:
            self._warned.add(key)
            log.warning("webhook_place_missing", source=self.name, setting=key, place=place)


def event_digest(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return the digest of a content: the SHA-256 of the body, or of the kept headers if the body is empty."""
    return hashlib.sha256(body or orjson.dumps(_of_event(headers))).digest()


def _title(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


def _of_event(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if name.lower() not in _OF_TRANSPORT and not name.lower().startswith(("x-forwarded-", "x-amzn-", "accept"))
    }


def source_names(sources: Mapping[str, SourceConfig]) -> list[str]:
    """Return the names of the sources of the settings; `threatstack`, and `sms` for inbound messages, always are."""
    return list(dict.fromkeys((THREATSTACK, *sources, SMS)))


def make_sources(sources: Mapping[str, SourceConfig]) -> dict[str, WebhookSource]:
    """Return the sources of the settings; `threatstack` is there whether it has a table or not.

    Raises:
        ConfigurationError: what the tables say cannot be; all of it at once.
    """
    tables = {THREATSTACK: SourceConfig(), **sources}
    made: dict[str, WebhookSource] = {}
    faults: list[Fault] = []
    for name, source in tables.items():
        found = [Fault(f"{name}.{fault.pointer}".rstrip("."), fault.detail) for fault in source_faults(name, source)]
        faults += found
        if not found:
            scheme = None if source.verify in NO_SCHEME else make_scheme(source.verify, source.options)
            made[name] = WebhookSource(name, source, scheme, tuple(map(ipaddress.ip_network, source.allow)))
    if faults:
        listed = "; ".join(f"`{fault.pointer}` {fault.detail}" for fault in faults)
        raise ConfigurationError("the archive's sources are wrong", listed, "correct them in carboy.toml", faults)
    return made
