"""The kinds of destinations: each makes attempts at deliveries and says what came of them; none of them raises."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
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
    """Posts to an address, signed as Standard Webhooks has it."""

    batch: int = 1

    def __init__(self, destination: Destination, clock: Clock) -> None:
        config = destination.config
        self._destination = destination
        self._client = WebhookClient(
            config.url,
            guard=None if destination.allows_private else AddressGuard(),
            timeout_s=config.timeout_s,
            pool_size=config.max_in_flight,
            clock=clock,
        )
        self._secrets = [one.reveal() for one in config.secret]
        self._headers = {name: value.reveal() for name, value in config.headers.items()}

    def send(self, deliveries: Sequence[Outgoing]) -> list[Attempt]:
        """Post a delivery."""
        return [self._post(one) for one in deliveries]

    def _post(self, one: Outgoing) -> Attempt:
        body, content_type = body_bytes(self._destination, one.event)
        headers = {"Content-Type": content_type, **self._headers}
        return self._client.post(body, headers, webhook_id=one.id, secrets=self._secrets)


class Slack:
    """Posts a text to an incoming webhook of Slack, or of what understands the same."""

    batch: int = 1

    def __init__(self, destination: Destination, clock: Clock) -> None:
        self._destination = destination
        url = destination.config.secret[0].reveal()
        guard = None if destination.allows_private else AddressGuard()
        self._client = WebhookClient(url, guard=guard, timeout_s=destination.config.timeout_s, clock=clock)

    def send(self, deliveries: Sequence[Outgoing]) -> list[Attempt]:
        """Post a text: what `body` makes, or the object that it makes, as it is."""
        return [self._post(one) for one in deliveries]

    def _post(self, one: Outgoing) -> Attempt:
        made = self._destination.body_of(one.event)
        message = made if isinstance(made, dict) else {"text": made if isinstance(made, str) else _text(made)}
        return self._client.post(orjson.dumps(message), {"Content-Type": JSON}, webhook_id=one.id)


class _Timed:
    """Runs an attempt that has no HTTP response, for as long as the destination allows."""

    batch: int = 1

    def __init__(
        self, destination: Destination, clock: Clock, context: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        self._destination, self._clock, self._context = destination, clock, context
        self._limit = TimeLimit(destination.config.timeout_s, destination.config.max_in_flight)

    def send(self, deliveries: Sequence[Outgoing]) -> list[Attempt]:
        """Attempt a delivery, within the application's context."""
        return [self._attempt(one) for one in deliveries]

    def _attempt(self, one: Outgoing) -> Attempt:
        at_ms, started_s = self._clock.now_ms(), self._clock.monotonic_s()

        def call() -> str:
            with self._context():
                return self.call(one)

        try:
            response = self._limit.run(call)
        except BaseException as error:  # noqa: BLE001 (whatever it is, `sys.exit` too, it is this delivery's failure)
            return caught(error, at_ms, self._took_ms(started_s))
        return Attempt(at_ms, self._took_ms(started_s), response=hide_secrets(response).encode()[:4096])

    def _took_ms(self, started_s: float) -> int:
        return max(0, round((self._clock.monotonic_s() - started_s) * 1000))

    def call(self, one: Outgoing) -> str:
        """Make the delivery and return what the receiver said."""
        raise NotImplementedError


class Function(_Timed):
    """Calls a function of one's own with the event; one that raises is called again by the schedule."""

    def __init__(
        self,
        destination: Destination,
        clock: Clock,
        context: Callable[[], AbstractContextManager[Any]],
        function: Callable[..., Any],
    ) -> None:
        super().__init__(destination, clock, context)
        self._function = function

    def call(self, one: Outgoing) -> str:
        """Call the function."""
        answer = self._function(one.event)
        return "" if answer is None else _text(answer)


class Sms(_Timed):
    """Sends a message through this application's own SMS gateway."""

    def __init__(
        self,
        destination: Destination,
        clock: Clock,
        context: Callable[[], AbstractContextManager[Any]],
        gateway: Callable[[], SendSms | None],
    ) -> None:
        super().__init__(destination, clock, context)
        self._gateway = gateway

    def call(self, one: Outgoing) -> str:
        """Have the gateway take the message; a repeat is known by the delivery's id and sends nothing."""
        send = self._gateway()
        if send is None:
            raise CarboyError("no message was sent", "MODULES does not name carboy.services.sms", "add it to MODULES")
        config = self._destination.config
        params = {name: _text(value) for name, value in self._destination.params_of(one.event).items()}
        accepted = send(
            {"receivers": list(config.to), "template": config.target, "params": params}, f"archive-{one.id}"
        )
        return f"message {accepted.row}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
