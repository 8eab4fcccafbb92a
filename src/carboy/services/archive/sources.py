"""The sources of webhooks: who may send, and what of a request is the id, the time and the type."""

import hashlib
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from carboy.api import RawRequest
from carboy.config import Duration, Rate
from carboy.errors import ConfigurationError, Fault, InvalidInput
from carboy.http_values import MISSING, parse_time
from carboy.logs import BoundLogger, get_logger
from carboy.redact import Secret
from carboy.services.archive.items import NewItem
from carboy.services.archive.object_keys import webhook_key
from carboy.webhooks import (
    HANDSHAKES,
    OPTIONS,
    SCHEMES,
    Handshake,
    Reply,
    Scheme,
    find,
    handshake_faults,
    is_place,
    make_scheme,
    matches_any,
)

__all__ = [
    "THREATSTACK",
    "AnswerConfig",
    "SourceConfig",
    "WebhookSource",
    "event_digest",
    "make_sources",
    "source_names",
]

log: BoundLogger = get_logger("carboy.archive")

THREATSTACK = "threatstack"
_NO_SCHEME = frozenset({"key", "sns"})
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "x-amz-security-token"})
_OF_TRANSPORT = frozenset(  # differ from one delivery of the same event to the next
    ("host", "connection", "content-length", "forwarded", "via", "date", "traceparent", "tracestate", "x-request-id")
)
_SNS_FACTS = ("x-amz-sns-topic-arn", "x-amz-sns-subject", "x-amz-sns-message-attributes")


@dataclass(frozen=True, slots=True)
class AnswerConfig:
    """The response to a webhook that was kept.

    Attributes:
        status: 200 to 299.
        body: as it is sent.
        content_type: of the body.
        echo: a header of the request that is sent back.
    """

    status: int = 200
    body: str = ""
    content_type: str = "text/plain; charset=utf-8"
    echo: str = ""


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """A table `[archive.sources.<name>]`: who may send, how that is checked, what is kept of it.

    Attributes:
        verify: the scheme by which a request proves where it comes from; `key` is one of our own API keys.
        secrets: what the scheme checks with; several while one is being replaced.
        tokens: path tokens that let a request in at `…/webhooks/<source>/<token>`, for who can do nothing else.
        header: an option of the scheme, as are those up to `username`; see `carboy.webhooks.Signature`.
        signature: where a signature stands that is in no header.
        algorithm: the hash of signatures.
        encoding: of signatures.
        prefix: what stands before each signature.
        signature_field: the name of the signature in a header of named parts.
        timestamp_field: the name of the time in it.
        separator: what stands between its parts, or between several signatures.
        assigns: what stands between a part's name and its value.
        timestamp_header: the header of the time.
        timestamp: where a time stands that is in no header.
        template: what is signed.
        tolerance_s: how old what is signed with a time may be.
        public_url: the address that the sender was given, where a proxy changes it; it may have a path.
        secret_encoding: how the secrets are written.
        username: of `basic`.
        id: where the id is: `header:NAME`, `query:NAME` or a JSON pointer; of several places the id is all of them,
            joined by blanks. Without one it is the content's SHA-256.
        time: where the time is, likewise; without one it is the time of arrival.
        keep_headers: headers that are kept beside the bytes; `*` for all but those with secrets.
        rate: requests that are let in of this source; None for no limit of its own.
        max_body_bytes: 0 for the limit of all.
        events: `header:NAME` or a JSON pointer to the event's type; with `only`, all other types are answered 202
            and not kept.
        only: the event types to keep.
        allow: networks that may send, in CIDR notation; empty for all.
        handshake: requests of the sender that are answered and not kept; one table, or a list of them.
        handshake_secret: the second value that a handshake needs, such as Meta's verify token.
        answer: the response to a webhook that was kept, where the sender wants another than 202 with JSON.
        refused_status: the response to a webhook that proves nothing: 403, or 401 where the sender wants that.
        keep: how long events are kept, from their receipt; None for ever.
        hold: nothing of it is deleted, whatever `keep` and `carboy archive erase` say.
    """

    verify: str = "key"
    secrets: tuple[Secret, ...] = ()
    tokens: tuple[Secret, ...] = ()
    header: str = ""
    signature: str = ""
    algorithm: str = ""
    encoding: str = ""
    prefix: str = ""
    signature_field: str = ""
    timestamp_field: str = ""
    separator: str = ""
    assigns: str = ""
    timestamp_header: str = ""
    timestamp: str = ""
    template: str = ""
    tolerance_s: float | None = None
    public_url: str = ""
    secret_encoding: str = ""
    username: str = ""
    id: tuple[str, ...] = ()
    time: str = ""
    keep_headers: tuple[str, ...] = ("*",)
    rate: Rate | None = None
    max_body_bytes: int = 0
    events: str = ""
    only: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    handshake: Handshake | tuple[Handshake, ...] = ()
    handshake_secret: tuple[Secret, ...] = ()
    answer: AnswerConfig | None = None
    refused_status: int = 403
    keep: Duration | None = None
    hold: bool = False

    @property
    def handshakes(self) -> tuple[Handshake, ...]:
        """The handshakes, also those that belong to the scheme."""
        own = (self.handshake,) if isinstance(self.handshake, Handshake) else self.handshake
        return (*own, *HANDSHAKES.get(self.verify, ()))

    @property
    def options(self) -> dict[str, str]:
        """Those of the scheme that are set; `none` has none, so that a profile need only change `verify`."""
        given = {} if self.verify == "none" else {name: getattr(self, name) for name in OPTIONS}
        options = {name: str(value) for name, value in given.items() if value not in {"", None}}
        return options | ({"id": self.id[0]} if self.id and "{id}" in self.template else {})


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
    _warned: set[str] = field(default_factory=set, compare=False, repr=False)

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
        """The largest body it may send; 0 for the limit of all."""
        return self.source.max_body_bytes

    def has_token(self, token: str) -> bool:
        """Return whether a path token is one of this source's, in constant time."""
        return matches_any(token, (one.reveal() for one in self.source.tokens))

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
        known = [one.reveal() for one in self.source.handshake_secret]
        for one in self.source.handshakes:
            if one.is_signed == is_signed and (reply := one.respond(request, self.secrets, known)) is not None:
                return reply
        return None

    def wants(self, request: RawRequest) -> bool:
        """Return whether an event is of a type that is kept; one that has no type is."""
        if not self.source.only:
            return True
        found = find(self.source.events, request)
        if found is MISSING or found is None:
            self._warn_once("events", self.source.events)
            return True
        return str(found) in self.source.only

    def item(self, request: RawRequest, now_ms: int) -> tuple[str, NewItem]:
        """Return the id of a verified request as it was sent, and what is kept: its bytes, with the chosen headers.

        Without an id in the place that the settings name, the content's SHA-256 is the id; without a time, now is. The
        content of an empty body is the kept headers.
        """
        sha256 = hashlib.sha256(request.body).digest()
        headers = self._kept_headers(request)
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
        )

    def _type(self, request: RawRequest) -> str | None:
        found = find(self.source.events, request) if self.source.events else None
        return found[:255] if isinstance(found, str) else None

    def _id(self, request: RawRequest) -> str:
        """Return the id in the places of the settings; empty where one of them has none."""
        parts = []
        for place in self.source.id:
            found = find(place, request)
            if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
                self._warn_once("id", place)
                return ""
            parts.append(str(found))
        if len(parts) == 1:
            return parts[0]
        return " ".join(part.replace("\\", "\\\\").replace(" ", "\\ ") for part in parts)

    def _time_ms(self, request: RawRequest) -> int | None:
        if not self.source.time:
            return None
        found = parse_time(find(self.source.time, request))
        if found is None:
            self._warn_once("time", self.source.time)
        return found

    def _kept_headers(self, request: RawRequest) -> dict[str, str]:
        """Return the headers to keep, by name, and what SNS's envelope says beside the message."""
        names: dict[str, str] = {}
        for name in self.source.keep_headers:
            if name == "*":
                secret = _SECRET_HEADERS | {self.source.header.lower() if self.source.verify == "bearer" else ""}
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
    """Return the names of the sources of the settings; `threatstack` is always one."""
    return list(dict.fromkeys((THREATSTACK, *sources)))


def make_sources(sources: Mapping[str, SourceConfig]) -> dict[str, WebhookSource]:
    """Return the sources of the settings; `threatstack` is there whether it has a table or not.

    Raises:
        ConfigurationError: what the tables say cannot be; all of it at once.
    """
    tables = {THREATSTACK: SourceConfig(), **sources}
    made: dict[str, WebhookSource] = {}
    faults: list[Fault] = []
    for name, source in tables.items():
        found = [Fault(f"{name}.{fault.pointer}".rstrip("."), fault.detail) for fault in _faults(name, source)]
        faults += found
        if not found:
            scheme = None if source.verify in _NO_SCHEME else make_scheme(source.verify, source.options)
            made[name] = WebhookSource(name, source, scheme, tuple(map(ipaddress.ip_network, source.allow)))
    if faults:
        listed = "; ".join(f"`{fault.pointer}` {fault.detail}" for fault in faults)
        raise ConfigurationError("the archive's sources are wrong", listed, "correct them in carboy.toml", faults)
    return made


def _faults(name: str, source: SourceConfig) -> Iterator[Fault]:
    """Yield what is wrong with a source; the pointers are its keys."""
    try:
        webhook_key("x", 0, name)
    except InvalidInput as error:
        yield Fault("", error.faults[0].detail.replace("is ", "must be named with ", 1))
    yield from _scheme_faults(source)
    if source.only and not source.events:
        yield Fault("only", "needs `events`: where the event's type is")
    for handshake in source.handshakes:
        yield from (Fault("handshake", detail) for detail in handshake_faults(handshake))
        if handshake.secret and not source.handshake_secret:
            yield Fault("handshake_secret", "is needed by the handshake")
    if source.answer is not None and not 200 <= source.answer.status <= 299:
        yield Fault("answer", "must have a status from 200 to 299")
    if source.refused_status not in {401, 403}:
        yield Fault("refused_status", "must be 401 or 403")
    if source.max_body_bytes < 0:
        yield Fault("max_body_bytes", "cannot be below 0")
    for key, place in (*(("id", one) for one in source.id), ("time", source.time), ("events", source.events)):
        if place and not is_place(place):
            yield Fault(key, "must be header:NAME or a JSON pointer that begins with /, or query:NAME or form:NAME")
    for network in source.allow:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            yield Fault("allow", f"must be networks such as 192.0.2.0/24; `{network}` is not one")


def _scheme_faults(source: SourceConfig) -> Iterator[Fault]:
    """Yield what is wrong with how a source is verified."""
    if source.verify in _NO_SCHEME:
        yield from (Fault(key, f"is no option of {source.verify}") for key in source.options)
    elif source.verify not in SCHEMES:
        yield Fault("verify", f"must be one of {', '.join(sorted({*SCHEMES, *_NO_SCHEME}))}")
    else:
        try:
            scheme = make_scheme(source.verify, source.options)
        except ConfigurationError as error:
            yield from error.faults
        else:
            wrong = {found for secret in source.secrets if (found := scheme.check_secret(secret.reveal()))}
            yield from (Fault("secrets", detail) for detail in sorted(wrong))
    if source.verify in _NO_SCHEME and source.secrets:
        yield Fault("secrets", f"are of no use to verify = {source.verify}")
    if source.verify not in {*_NO_SCHEME, "none"} and not source.secrets:
        yield Fault("secrets", f"are needed by verify = {source.verify}")
