"""The tables `[archive.destinations.<name>]`, checked and compiled: who receives, what of it, and how often."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from carboy.config import Duration, Profile, Rate
from carboy.errors import ConfigurationError, Fault, InvalidInput
from carboy.net import AddressGuard
from carboy.redact import Secret, register_secret
from carboy.services.archive.destinations.expressions import Search, compile_expression, is_match
from carboy.webhooks import RETRY_SCHEDULE_S, StandardWebhooks

if TYPE_CHECKING:
    from carboy.services.archive.destinations.events import Event

AWS_KINDS = ("sqs", "sns", "eventbridge", "kinesis")
_MASKED_FROM = 8  # characters; shorter ones stand in too much
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN_HEADERS = frozenset(
    (
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "content-length",
        "transfer-encoding",
        "host",
        "connection",
    )
)
_MAX_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class DestinationConfig:
    """A table `[archive.destinations.<name>]`: who receives what is kept, and how.

    Attributes:
        url: https:, http:, sqs:NAME, sns:ARN, eventbridge:BUS, kinesis:STREAM, slack:, sms:TEMPLATE, or a function of
            one's own by its dotted name, such as `app.hooks:deliver`.
        sources: whose events; empty for all.
        events: types of events, with `*`; empty for all.
        filter: a JMESPath expression over the event; what it is false or empty for is not delivered.
        body: a JMESPath expression that makes the body; by default the bytes as they came.
        headers: further ones, for https.
        secret: signs as Standard Webhooks has it; several while one is being replaced. For slack: the address.
        rate: deliveries at most; None for no limit.
        max_in_flight: deliveries at the same time.
        timeout_s: for one attempt, in all.
        retry: the wait before each attempt; its length is the number of attempts.
        enabled: whether anything is delivered; what waits is kept.
        allow_http: whether the address may be http; by default on the profiles local and test only.
        allow_private: whether it may be private, loopback or link-local; by default likewise.
        to: receivers of sms.
        params: of the sms template, JMESPath expressions.
    """

    url: str
    sources: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    filter: str = ""
    body: str = ""
    headers: dict[str, Secret] = field(default_factory=dict)
    secret: tuple[Secret, ...] = ()
    rate: Rate | None = None
    max_in_flight: int = 8
    timeout_s: float = 15.0
    retry: tuple[Duration, ...] = ()
    enabled: bool = True
    allow_http: bool | None = None
    allow_private: bool | None = None
    to: tuple[str, ...] = ()
    params: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What the address begins with; `function` for a dotted name, empty for what is not known."""
        scheme = self.url.partition(":")[0].lower()
        if scheme in {"https", "http", *AWS_KINDS, "slack", "sms"}:
            return scheme
        return "function" if _DOTTED.fullmatch(self.url) else ""

    @property
    def target(self) -> str:
        """What stands behind the kind: a queue, a template."""
        return self.url.partition(":")[2]

    @property
    def parts_of_secrets(self) -> Iterator[str]:
        """Yield what is secret by itself: the values of headers, the password of the address, the path at Slack."""
        for value in self.headers.values():
            yield from (value.reveal(), value.reveal().rpartition(" ")[2])
        password = urlsplit(self.url).password or ""
        yield from (password, unquote(password))
        if self.kind == "slack" and self.secret:
            url = self.secret[0].reveal()
            yield from (url, urlsplit(url).path.strip("/"))

    @property
    def in_flight(self) -> int:
        """How many attempts are made at the same time; one where the receiver keeps an order."""
        return 1 if self.kind in {"sqs", "sns"} and self.target.endswith(".fifo") else self.max_in_flight

    @property
    def schedule_s(self) -> tuple[float, ...]:
        """The wait before each attempt."""
        return tuple(map(float, self.retry)) or RETRY_SCHEDULE_S


@dataclass(frozen=True, slots=True)
class Destination:
    """A destination, ready to choose its events.

    Attributes:
        name: as in the path.
        config: its table.
        allows_private: whether any address may be called.
    """

    name: str
    config: DestinationConfig
    allows_private: bool = False
    _filter: Search | None = None
    _body: Search | None = None
    _params: Mapping[str, Search] = field(default_factory=dict)

    @property
    def reads_content(self) -> bool:
        """Whether choosing an event needs its content."""
        return self._filter is not None

    def takes(self, source: str, event_type: str) -> bool:
        """Return whether events of this source and type are for it, before its filter."""
        config = self.config
        if config.sources and source not in config.sources:
            return False
        return not config.events or any(fnmatchcase(event_type, pattern) for pattern in config.events)

    def wants(self, event: "Event") -> bool:
        """Return whether an event is for it."""
        if not self.takes(event.source, event.type):
            return False
        return self._filter is None or is_match(self._filter, event.document)

    def body_of(self, event: "Event") -> Any:
        """Return what the expression `body` makes of an event; `None` where there is no expression.

        Raises:
            InvalidInput: it cannot be computed over this event.
        """
        return None if self._body is None else _compute("body", self._body, event)

    @property
    def has_body(self) -> bool:
        """Whether there is an expression for the body."""
        return self._body is not None

    def params_of(self, event: "Event") -> dict[str, Any]:
        """Return the values of the sms template's parameters.

        Raises:
            InvalidInput: one cannot be computed over this event.
        """
        return {name: _compute(f"params.{name}", search, event) for name, search in self._params.items()}


def _compute(key: str, search: Search, event: "Event") -> Any:
    try:
        return search(event.document)
    except Exception as error:
        why = f"`{key}` cannot be computed over this event: {str(error).partition(chr(10))[0]}"
        raise InvalidInput("nothing was sent", why, "correct the expression in carboy.toml") from error


def import_function(name: str) -> Callable[..., Any]:
    """Return the function of a dotted name such as `app.hooks:deliver`.

    Raises:
        ValueError: the function does not exist.
    """
    module, _, path = name.partition(":")
    try:
        found: Any = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except ImportError as error:
        raise ValueError(f"cannot be imported: {error}") from None
    except AttributeError as error:
        raise ValueError(f"does not exist: {error}") from None
    if not callable(found):
        raise ValueError("is not a function")
    result: Callable[..., Any] = found
    return result


def make_destinations(
    tables: Mapping[str, DestinationConfig], sources: Sequence[str], profile: Profile
) -> dict[str, Destination]:
    """Return the destinations of the settings.

    Args:
        tables: by name.
        sources: the names of those that there are.
        profile: on `local` and `test` http and private addresses are allowed unless a table says otherwise.

    Raises:
        ConfigurationError: what the tables say cannot be; all of it at once.
    """
    made, faults = {}, []
    for name, table in tables.items():
        wrong = _faults(name, table, sources, profile)
        found = [Fault(f"{name}.{one.pointer}".rstrip("."), one.detail) for one in wrong]
        faults += found
        if not found:
            made[name] = _make(name, table, profile)
    if faults:
        listed = "; ".join(f"`{fault.pointer}` {fault.detail}" for fault in faults)
        raise ConfigurationError("the archive's destinations are wrong", listed, "correct them in carboy.toml", faults)
    return made


def _make(name: str, table: DestinationConfig, profile: Profile) -> Destination:
    for part in table.parts_of_secrets:
        if len(part) >= _MASKED_FROM:
            register_secret(part)
    return Destination(
        name,
        table,
        _allows(table.allow_private, profile),
        compile_expression(table.filter) if table.filter else None,
        compile_expression(table.body) if table.body else None,
        {key: compile_expression(text) for key, text in table.params.items()},
    )


def _allows(given: bool | None, profile: Profile) -> bool:
    return not profile.is_guarded if given is None else given


def _faults(name: str, table: DestinationConfig, sources: Sequence[str], profile: Profile) -> Iterator[Fault]:
    """Yield what is wrong with a table; the pointers are its keys."""
    if not _NAME.fullmatch(name):
        yield Fault("", "must be named with a-z, 0-9, _ and -, beginning with a letter, at most 64")
    yield from _address_faults(table, profile)
    yield from _kind_faults(table, profile)
    known = ", ".join(sources)
    for one in table.sources:
        if one not in sources:
            yield Fault("sources", f"`{one}` is not a source; there are {known}")
    params = ((f"params.{key}", text) for key, text in table.params.items())
    expressions = (("filter", table.filter), ("body", table.body), *params)
    for key, text in expressions:
        if text or key.startswith("params."):
            try:
                compile_expression(text)
            except ValueError as error:
                yield Fault(key, str(error))
    if not 1 <= table.max_in_flight <= 256:
        yield Fault("max_in_flight", "must be from 1 to 256")
    if not 0 < table.timeout_s <= 300:
        yield Fault("timeout_s", "must be above 0 and at most 300")
    if len(table.retry) > _MAX_ATTEMPTS:
        yield Fault("retry", f"must have at most {_MAX_ATTEMPTS} waits")
    yield from _header_faults(table)


def _header_faults(table: DestinationConfig) -> Iterator[Fault]:
    has_user = re.match(r"https?://[^/?#]*@", table.url, re.IGNORECASE)
    if has_user and any(header.lower() == "authorization" for header in table.headers):
        yield Fault("headers", "`Authorization` is what the user and password of the address make: keep one of the two")
    for header, value in table.headers.items():
        if not _HEADER.fullmatch(header):
            yield Fault("headers", f"`{header}` is not the name of a header")
        elif header.lower() in _OWN_HEADERS:
            yield Fault("headers", f"`{header}` is set by the delivery itself")
        elif not value or re.search(r"[\r\n\0]", value.reveal()) or not value.reveal().isascii():
            yield Fault("headers", f"`{header}` must have a value in one line of ASCII")


def _address_faults(table: DestinationConfig, profile: Profile) -> Iterator[Fault]:
    kind = table.kind
    if not kind:
        kinds = "https:, http:, sqs:, sns:, eventbridge:, kinesis:, slack: or sms:"
        yield Fault("url", f"must begin with {kinds}, or name a function such as app.hooks:deliver")
    elif kind in {"https", "http"}:
        yield from _url_faults("url", table.url, table, profile)
    elif kind == "slack":
        if table.target.strip("/"):
            yield Fault("url", "must be slack: alone; the incoming-webhook address is the secret")
    elif kind == "function":
        try:
            import_function(table.url)
        except ValueError as error:
            yield Fault("url", str(error))
    elif not table.target:
        yield Fault("url", f"must name what is behind {kind}:")
    elif kind == "sqs" and "//" in table.target:
        yield from _url_faults("url", table.target, table, profile)
    elif kind == "sns" and not re.fullmatch(r"arn:[^:]+:sns:[^:]+:[^:]+:[^:]+", table.target):
        yield Fault("url", "must have the ARN of a topic behind sns:")


def _url_faults(key: str, url: str, table: DestinationConfig, profile: Profile) -> Iterator[Fault]:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        yield Fault(key, "is not an address")
        return
    if not host or re.search(r"[\s\x00-\x1f]", url):
        yield Fault(key, "is not an address: it needs a host, such as https://siem.example.com/hooks")
    elif not _allows(table.allow_private, profile) and AddressGuard().refuses_host(host):
        yield Fault(key, "leads to an address that is not on the public internet; allow_private = true allows it")
    if parts.scheme == "http" and not _allows(table.allow_http, profile):
        yield Fault(key, "must be https: http is sent without encryption unless allow_http is true")


def _kind_faults(table: DestinationConfig, profile: Profile) -> Iterator[Fault]:
    kind, secrets = table.kind, [one.reveal() for one in table.secret]
    if kind in {"https", "http"}:
        for secret in secrets:
            wrong = StandardWebhooks().check_secret(secret) if not secret.startswith("whpk_") else "is a public key"
            if wrong:
                yield Fault("secret", f"{wrong}; make one of 24 to 64 random bytes: whsec_ and their base64")
    elif kind == "slack":
        if len(secrets) != 1 or not secrets[0].startswith(("https://", "http://")):
            yield Fault("secret", "must be the address of one incoming webhook")
        else:
            yield from _url_faults("secret", secrets[0], table, profile)
        if not table.body:
            yield Fault("body", "is needed: the text of the message, such as `title`")
    elif secrets:
        yield Fault("secret", f"is not used by {kind or 'this'}:")
    if kind == "sms":
        if not table.to:
            yield Fault("to", "is needed: the numbers that receive the message")
    elif table.to or table.params:
        yield Fault("to" if table.to else "params", "is for sms: only")
    if table.headers and kind not in {"https", "http"}:
        yield Fault("headers", "are for https: only")
