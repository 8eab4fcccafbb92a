"""The kinds of destinations: each makes attempts at deliveries and says what came of them; none of them raises."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import orjson

from carboy.clock import Clock
from carboy.errors import CarboyError, InvalidInput, Throttled
from carboy.http_values import parse_retry_after
from carboy.jobs import Abandon, Later
from carboy.net import AddressGuard
from carboy.problems import Problem
from carboy.services.archive.destinations.config import Destination
from carboy.services.archive.destinations.events import Event
from carboy.services.archive.destinations.time_limit import TimeLimit
from carboy.webhooks import Attempt, WebhookClient, hide_secrets

JSON = "application/json"

SendSms = Callable[[dict[str, Any], str], Any]
"""Has the gateway take a message: the body of `POST /api/sms`, and the idempotency key."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A delivery to attempt.

    Attributes:
        id: the same at every attempt, and for every receiver the key by which it knows a repeat.
        event: what is delivered.
    """

    id: str
    event: Event


class Sender(Protocol):
    """Makes attempts for one destination.

    Attributes:
        batch: how many deliveries one attempt takes at most.
    """

    batch: int

    def send(self, deliveries: Sequence[Outgoing]) -> list[Attempt]:
        """Attempt deliveries, at most `batch`, and return an attempt for each."""
        ...


def body_bytes(destination: Destination, event: Event) -> tuple[bytes, str]:
    """Return the body and its content type: the bytes as they came, or the JSON that the expression `body` makes."""
    if not destination.has_body:
        return event.body, event.content_type
    return orjson.dumps(destination.body_of(event), default=str, option=orjson.OPT_NON_STR_KEYS), JSON


def caught(error: BaseException, at_ms: int, took_ms: int) -> Attempt:
    """Return the attempt that ended in an error."""
    is_final = isinstance(error, Abandon | InvalidInput)
    text = hide_secrets(_reason(error) or "it failed")[:500]
    return Attempt(at_ms, took_ms, None, text, retry_after_s=_asked_wait_s(error, at_ms), is_final=is_final)


def _reason(error: BaseException) -> str:
    if not isinstance(error, CarboyError):
        return f"{type(error).__name__}: {error}"
    faults = error.faults if isinstance(error, InvalidInput | Problem) else ()
    return "; ".join(f"`{one.pointer}`: {one.detail}" for one in faults) or error.why


def _asked_wait_s(error: BaseException, at_ms: int) -> float:
    """Return how long an error asks to wait before the next attempt; 0 where it does not."""
    if isinstance(error, Problem):
        return parse_retry_after(error.headers.get("Retry-After"), at_ms / 1000)
    return error.retry_after_s if isinstance(error, Throttled) else error.after_s if isinstance(error, Later) else 0.0


class Http:
    """Posts to an address, signed as Standard Webhooks has it; to Slack, or what understands the same, a text."""

    batch: int = 1

    def __init__(self, destination: Destination, clock: Clock) -> None:
        config = destination.config
        self._destination, self._is_slack = destination, config.kind == "slack"
        secrets = [one.reveal() for one in config.secret]
        self._secrets = [] if self._is_slack else secrets
        self._headers = {name: value.reveal() for name, value in config.headers.items()}
        self._client = WebhookClient(
            secrets[0] if self._is_slack else config.url,
            guard=None if destination.allows_private else AddressGuard(),
            timeout_s=config.timeout_s,
            pool_size=config.max_in_flight,
            clock=clock,
        )

    def send(self, deliveries: Sequence[Outgoing]) -> list[Attempt]:
        """Post deliveries, one after the other."""
        return [self._post(one) for one in deliveries]

    def _post(self, one: Outgoing) -> Attempt:
        make = self._message if self._is_slack else partial(body_bytes, self._destination)
        body, content_type = make(one.event)
        headers = {"Content-Type": content_type, **self._headers}
        return self._client.post(body, headers, webhook_id=one.id, secrets=self._secrets)

    def _message(self, event: Event) -> tuple[bytes, str]:
        """Return the text that `body` makes as a message of Slack, or the object that it makes, as it is."""
        made = self._destination.body_of(event)
        return orjson.dumps(made if isinstance(made, dict) else {"text": as_text(made)}), JSON


class Calls:
    """Makes calls that have no HTTP response: a function of one's own, or this application's SMS gateway.

    Args:
        destination: one that raises is called again by its schedule.
        clock: the time.
        context: entered around each call.
        call: makes a delivery, and returns what the receiver said.
    """

    batch: int = 1

    def __init__(
        self,
        destination: Destination,
        clock: Clock,
        context: Callable[[], AbstractContextManager[Any]],
        call: Callable[[Outgoing], str],
    ) -> None:
        self._clock, self._context, self._call = clock, context, call
        self._limit = TimeLimit(destination.config.timeout_s, destination.config.max_in_flight)

    def send(self, deliveries: Sequence[Outgoing]) -> list[Attempt]:
        """Attempt deliveries one after the other, each for as long as the destination allows."""
        return [self._attempt(one) for one in deliveries]

    def _attempt(self, one: Outgoing) -> Attempt:
        at_ms, started_s = self._clock.now_ms(), self._clock.monotonic_s()

        def call() -> str:
            with self._context():
                return self._call(one)

        try:
            response = self._limit.run(call)
        except BaseException as error:  # noqa: BLE001 (whatever it is, `sys.exit` too, it is this delivery's failure)
            return caught(error, at_ms, took_ms(self._clock, started_s))
        response_bytes = hide_secrets(response).encode()[:4096]
        return Attempt(at_ms, took_ms(self._clock, started_s), response=response_bytes)


def call_function(function: Callable[..., Any], one: Outgoing) -> str:
    """Call a function of one's own with an event, and return what it returned as text."""
    answer = function(one.event)
    return "" if answer is None else as_text(answer)


def send_message(destination: Destination, gateway: Callable[[], SendSms | None], one: Outgoing) -> str:
    """Have the SMS gateway take a message; a repeat is known by the delivery's id and sends nothing."""
    send = gateway()
    if send is None:
        raise CarboyError("no message was sent", "MODULES does not name carboy.services.sms", "add it to MODULES")
    config = destination.config
    params = {name: as_text(value) for name, value in destination.params_of(one.event).items()}
    accepted = send({"receivers": list(config.to), "template": config.target, "params": params}, f"archive-{one.id}")
    return f"message {accepted.row}"


def took_ms(clock: Clock, started_s: float) -> int:
    """Return the milliseconds since a time of the monotonic clock."""
    return max(0, round((clock.monotonic_s() - started_s) * 1000))


def as_text(value: Any) -> str:
    """Return a text as it is, and any other value as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
