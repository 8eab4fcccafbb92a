"""What goes out to a provider and what comes back, as values.

A provider is a class with two pure functions, `build_request` and `read_response`, and a table of its codes; sending is
left to `carboy.services.sms.transport`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol
from urllib.parse import parse_qsl, quote

import orjson

from carboy.services.sms.states import State

__all__ = [
    "Kind",
    "Message",
    "Outcome",
    "Provider",
    "Receipt",
    "Request",
    "Response",
    "compact_json",
    "encode_form",
    "read_fields",
    "read_without_words",
]

Kind = Literal["accepted", "refused", "account", "throttled", "braked", "not_sent", "unknown"]
"""How a call ended.

`accepted`: the provider took it. `refused`: for good, for the recipient or the content; nobody else is tried.
`account`: our account is wrong there; another provider is tried. `throttled`: the account sends too much; another is
tried, then it waits. `braked`: this recipient had too much, which no other provider is to get around. `not_sent`:
surely not sent. `unknown`: the request may have been read, and nobody said what became of it.
"""


@dataclass(frozen=True, slots=True)
class Message:
    """One text for one or more receivers, as a request to a provider carries it.

    Attributes:
        ids: of each receiver's message.
        receivers: E.164.
        text: as it will be read; empty where the template has none.
        template_id: the provider's own; empty where it knows none.
        params: names and values in the order of the provider's positions.
        signature: who the text is from, where the account's is not it.
        callback: where receipts go; empty for nowhere.
        nonce: random, for signatures.
        now_ms: when it is sent, milliseconds since the epoch.
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

    @property
    def id(self) -> str:
        """The first receiver's, which providers echo in their receipts."""
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
    """A whole answer; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body decoded from JSON; None where it is none."""
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
        retry_after_s: how long it asks us to wait; 0 where it does not say.
    """

    kind: Kind
    code: str = ""
    words: str = ""
    provider_id: str = ""
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a provider said later of a message.

    Attributes:
        provider_id: what the provider calls the message.
        state: None where it says nothing of consequence.
        message_id: what we call it, where the provider echoes it.
        receiver: E.164, where several messages share a provider's id; empty where not.
        code: the provider's own.
        words: the provider's own.
    """

    provider_id: str
    state: State | None
    message_id: str = ""
    receiver: str = ""
    code: str = ""
    words: str = ""


class Provider(Protocol):
    """Who carries texts.

    Attributes:
        account_type: a dataclass of what it needs to know of our account; `url` is where it is.
        needs: whether it takes a `text`, or a template by its `template_id`.
        max_receivers: how many one request takes.
        all_or_nothing: whether one bad receiver refuses a whole request.
    """

    account_type: ClassVar[type]
    needs: ClassVar[Literal["text", "template_id"]]
    max_receivers: ClassVar[int]
    all_or_nothing: ClassVar[bool]

    def build_request(self, message: Message, account: Any) -> Request:
        """Return the request that sends a message."""
        ...

    def read_response(self, response: Response) -> Outcome | Mapping[str, Outcome]:
        """Return how it ended: for all receivers alike, or for each by its E.164."""
        ...


def read_without_words(response: Response) -> Outcome:
    """Return what an answer means that is not in the provider's format: from a proxy, most likely."""
    code = f"HTTP {response.status}"
    match response.status:
        case 429:
            return Outcome("throttled", code, "too many requests")
        case 401 | 403 | 407:
            return Outcome("account", code, "the request was not let in")
        case status if 400 <= status < 500:
            return Outcome("not_sent", code, "the request was not understood")
    return Outcome("unknown", code, "the answer could not be read")


def encode_form(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a form or query with RFC 3986's encoding: a blank is `%20`, and only `-._~` stand for themselves."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)


def read_fields(body: bytes) -> dict[str, str]:
    """Return the fields of a form; of repeated ones the last."""
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def compact_json(value: Any) -> str:
    """Return a value as JSON without blanks, its characters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
