"""Messages, requests, responses and outcomes as values, and the protocols of a provider.

A provider is a class with two pure functions, `build_request` and `read_response`; sending is left to
`carboy.services.sms.transport`.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable
from urllib.parse import parse_qsl, quote

import orjson

from carboy.logs import BoundLogger, get_logger
from carboy.services.sms.keywords import Keyword
from carboy.services.sms.states import State

if TYPE_CHECKING:
    from carboy.webhooks import Scheme

log: BoundLogger = get_logger("carboy.sms")

T = TypeVar("T")

Kind = Literal["accepted", "refused", "account", "unsupported", "throttled", "braked", "not_sent", "unknown"]
"""How a call ended.

`accepted`: the provider took the message. `refused`: for good, for the receiver or the content; no other provider is
asked. `account`: our account does not work there; the circuit opens and the next provider is asked. `unsupported`: our
account cannot send this message there (its country, template or sender); the next provider is asked, and the circuit
stays closed. `throttled`: the account sends too much; the next is asked, then it waits. `braked`: this receiver had too
much, which another provider must not get around. `not_sent`: certainly not sent. `unknown`: it may have been sent.
"""

Fault = Literal["receiver", "request", "account", "country", "provider"]
"""Whose fault a refusal is."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one or more receivers, as a request to a provider carries it.

    Attributes:
        ids: of each receiver's message.
        receivers: E.164.
        text: as it will be read; empty where the template has none.
        template_id: the provider's own; empty where it knows none.
        params: names and values in the order of the provider's positions.
        signature: the sender's sign of this template; empty for the account's.
        callback: the address for receipts; empty for none.
        nonce: random, for signatures.
        now_ms: when it is sent, milliseconds since the epoch.
        kind: `otp`, `transactional` or `marketing`.
        sender: the number or name that it comes from, over the account's; empty for the account's.
        dlt_entity_id: of our company at India's DLT platform; empty for none.
        dlt_template_id: of the template there; empty for none.
    """

    ids: tuple[str, ...]
    receivers: tuple[str, ...]
    text: str = ""
    template_id: str = ""
    params: tuple[tuple[str, str], ...] = ()
    signature: str = ""
    callback: str = ""
    nonce: str = ""
    now_ms: int = 0
    kind: str = "transactional"
    sender: str = ""
    dlt_entity_id: str = ""
    dlt_template_id: str = ""

    @property
    def id(self) -> str:
        """The first receiver's id, which providers echo in their receipts."""
        return self.ids[0]


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request, signed and ready; the URL's query is encoded."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """A complete HTTP response; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body decoded from JSON; None if it is not JSON."""
        try:
            return orjson.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended for one receiver.

    Attributes:
        kind: see `Kind`.
        code: the provider's own.
        words: the provider's own.
        provider_id: what the provider calls the message.
        retry_after_s: how long to wait before the next call; 0 if it is not known.
        fault: whose fault it is; None if it is not known.
        is_listed: whether the code is in the provider's table of codes.
    """

    kind: Kind
    code: str = ""
    words: str = ""
    provider_id: str = ""
    retry_after_s: float = 0.0
    fault: Fault | None = None
    is_listed: bool = True

    def __post_init__(self) -> None:
        _make_storable(self, "code", "words", "provider_id")


@dataclass(frozen=True, slots=True)
class Receipt:
    """A delivery report.

    Attributes:
        provider_id: what the provider calls the message.
        state: None if the report does not change it.
        message_id: what we call it, where the provider echoes it.
        receiver: E.164, where several messages share a provider's id; empty where not.
        code: the provider's own.
        words: the provider's own.
        is_temporary: whether the provider says that a later or another attempt may succeed.
    """

    provider_id: str
    state: State | None
    message_id: str = ""
    receiver: str = ""
    code: str = ""
    words: str = ""
    is_temporary: bool = False

    def __post_init__(self) -> None:
        _make_storable(self, "code", "words", "provider_id")


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message that a person sent to one of our numbers.

    Attributes:
        provider_id: what the provider calls it, the same when it is repeated.
        sender: E.164.
        receiver: our number, as the provider writes it.
        text: as the person wrote it.
        keyword: what the provider has followed already, in any language; None for nothing, or if it does not say.
    """

    provider_id: str
    sender: str
    receiver: str
    text: str
    keyword: Keyword | None = None

    def __post_init__(self) -> None:
        _make_storable(self, "receiver", "text")


@dataclass(frozen=True, slots=True)
class Balance:
    """What is left of an account, as its provider says.

    Attributes:
        amount: money, or messages of prepaid packages.
        unit: an ISO 4217 currency, or `messages`.
        at_ms: when the provider said so, milliseconds since the epoch.
    """

    amount: float
    unit: str
    at_ms: int


class Provider(Protocol):
    """A company that carries SMS.

    Attributes:
        account_type: a dataclass of what it needs to know of our account; `url` is its address.
        needs: whether it takes a `text`, or a template by its `template_id`.
        max_receivers: how many one request takes.
        all_or_nothing: whether one bad receiver refuses a whole request; False if it is not there.
    """

    account_type: ClassVar[type]
    needs: ClassVar[Literal["text", "template_id"]]
    max_receivers: ClassVar[int]

    def build_request(self, message: Message, account: Any) -> Request:
        """Return the request that sends a message."""
        ...

    def read_response(self, response: Response) -> Outcome | Mapping[str, Outcome]:
        """Return how the call ended: for all receivers alike, or for each by its E.164."""
        ...


@runtime_checkable
class ReadsReceipts(Protocol):
    """A provider that reports deliveries.

    Attributes:
        receipt_answer: status, content type and body of our response to a report.
    """

    receipt_answer: ClassVar[tuple[int, str, str]]

    def read_receipts(self, body: bytes, headers: Mapping[str, str]) -> list[Receipt]:
        """Return the reports of a call."""
        ...


@runtime_checkable
class ReadsInbound(Protocol):
    """A provider that passes on what people send to our numbers.

    Attributes:
        inbound_answer: status, content type and body of our response.
    """

    inbound_answer: ClassVar[tuple[int, str, str]]

    def read_inbound(self, body: bytes, headers: Mapping[str, str]) -> list[Inbound]:
        """Return the messages of a call."""
        ...


@runtime_checkable
class SignsReceipts(ReadsReceipts, Protocol):
    """A provider whose reports are signed, so that their address needs no token."""

    def receipt_scheme(self, public_url: str) -> "Scheme":
        """Return the scheme of `carboy.webhooks` that verifies a report.

        Args:
            public_url: the address of this service as the provider knows it; empty for that of the request.
        """
        ...

    def receipt_secrets(self, account: Any) -> list[str]:
        """Return the secrets that verify a report."""
        ...


@runtime_checkable
class ReportsThroughSns(ReadsReceipts, Protocol):
    """A provider whose reports arrive as messages of an SNS topic, which SNS signs.

    Attributes:
        reports_through_sns: always True.
    """

    reports_through_sns: ClassVar[bool]


@runtime_checkable
class AnswersQueries(Protocol):
    """A provider that can be asked later what became of a message."""

    def build_query(self, message: Message, sent_at_ms: int, account: Any) -> Request:
        """Return the request that asks for a message."""
        ...

    def read_query(self, response: Response) -> list[Receipt]:
        """Return what the provider knows, by our own ids (`Receipt.message_id`)."""
        ...


@runtime_checkable
class TellsBalance(Protocol):
    """A provider that says how much is left of an account."""

    def build_balance_request(self, account: Any, now_ms: int, nonce: str) -> Request | None:
        """Return the request that asks for the balance; None where the account cannot ask.

        Args:
            account: ours.
            now_ms: the time.
            nonce: random, for signatures.
        """
        ...

    def read_balance(self, response: Response, now_ms: int) -> Balance | None:
        """Return the balance; None if the response has none."""
        ...


_MAX_PROVIDER_ID = 128
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def _make_storable(value: Any, *names: str) -> None:
    """Drop what PostgreSQL takes in no text, NUL and lone surrogates, from what a provider says, and cut its id."""
    for name in names:
        text = getattr(value, name)
        kept = _UNSTORABLE.sub("", str(text or ""))[: _MAX_PROVIDER_ID if name == "provider_id" else None]
        if kept != text:
            object.__setattr__(value, name, kept)


_BEFORE_THE_WORK = frozenset({400, 404, 405, 406, 411, 413, 414, 415, 417, 426, 431})


def read_without_words(response: Response) -> Outcome:
    """Return what a response means that is not in the provider's format, most likely one of a proxy."""
    code = f"HTTP {response.status}"
    match response.status:
        case 429:
            return Outcome("throttled", code, "too many requests")
        case 401 | 403 | 407:
            return Outcome("account", code, "the request was not authorized")
        case status if status in _BEFORE_THE_WORK:
            return Outcome("not_sent", code, "the request was not understood")
    return Outcome("unknown", code, "the response could not be read")


def read_each(items: Any, read: Callable[[Any], T]) -> list[T]:
    """Return what `read` makes of each item of a list; one that cannot be read does not lose the others.

    Args:
        items: a decoded body.
        read: raises ValueError, KeyError, TypeError or AttributeError for an item that is not in the provider's form.

    Raises:
        ValueError: it is not a list, or none of its items can be read.
    """
    if not isinstance(items, list):
        raise ValueError("not a list")
    found: list[T] = []
    for one in items:
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            found.append(read(one))
    if items and not found:
        raise ValueError("no item of the list can be read")
    if len(found) < len(items):
        log.warning("sms_report_incomplete", items=len(items), unreadable=len(items) - len(found))
    return found


def encode_form(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a form or query in RFC 3986's encoding: a blank is `%20`, and only `-._~` stay as they are."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)


def read_amount(amount: Any, unit: Any, now_ms: int) -> Balance | None:
    """Return a balance of a response's two values; None if they are not a balance."""
    try:
        found = float(amount)
    except (TypeError, ValueError):
        return None
    return Balance(found, unit, now_ms) if isfinite(found) and isinstance(unit, str) else None


def read_fields(body: bytes) -> dict[str, str]:
    """Return the fields of a form; the last value of a repeated one."""
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def compact_json(value: Any) -> str:
    """Return a value as JSON without blanks; characters beyond ASCII are not escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
