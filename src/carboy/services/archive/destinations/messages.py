"""Destinations without a database: each delivery is a message of the queue, and the queue repeats it.

A repeat has the same id. There is no list of deliveries and attempts, no pause by hand, no replay, no circuit breaker;
the waits between attempts are the queue's, and what it gives up is in its dead-letter queue. Attempts are in the log. A
receiver that answers 410 is left alone by this process for an hour, while its messages wait in the queue.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from carboy.clock import Clock
from carboy.errors import Throttled, Unreachable
from carboy.jobs import Abandon, Job, Later
from carboy.logs import BoundLogger, get_logger
from carboy.services.archive.destinations.config import Destination, DestinationConfig
from carboy.services.archive.destinations.events import Event, event_of
from carboy.services.archive.destinations.kinds import Outgoing, Sender
from carboy.services.archive.items import NewItem, parse_body, render_body

log: BoundLogger = get_logger("carboy.archive")

_DISABLED_S = 900.0
_GONE_S = 3600.0


class MessageDeliverer:
    """Sends deliveries as messages, and makes them.

    Args:
        destinations: returns them by name, as the settings are now.
        sender: returns what makes the attempts of one.
        send: sends a job once for each list of arguments; `carboy.jobs.sqs.SqsEngine.send`.
    """

    def __init__(
        self,
        destinations: Callable[[], Mapping[str, Destination]],
        sender: Callable[[Destination], Sender],
        send: Callable[..., None],
        clock: Clock,
    ) -> None:
        self._destinations, self._sender, self._send, self._clock = destinations, sender, send, clock
        self._gone: dict[str, tuple[DestinationConfig, float]] = {}  # until when each is left alone
        self.job: Job[[str, dict[str, Any]]] = Job(
            "archive.deliver_message", self.deliver, attempts=None, backoff_s=(5.0, 3600.0), timeout_s=300.0
        )

    def pass_on(self, items: Sequence[NewItem], now_ms: int) -> None:
        """Send a message for each item and each destination that wants it.

        Raises:
            UpstreamError: the queue did not take them; nothing is promised.
        """
        calls = []
        for item in items:
            event = event_of(item, now_ms, item.body)
            wire = _render(event)
            for name, one in self._destinations().items():
                if one.config.enabled and one.wants(event):
                    content = f"{name} {item.source} {item.item_id} ".encode() + item.digest
                    calls.append((name, {**wire, "delivery": hashlib.sha256(content).hexdigest()[:32]}))
        if calls:
            self._send(self.job, *calls)

    def deliver(self, name: str, wire: dict[str, Any]) -> None:
        """Make an attempt at a delivery.

        Raises:
            Throttled: the receiver asks to be left alone for a while.
            Unreachable: the attempt failed; the queue brings it again.
            Abandon: it can never succeed, or the receiver wants no further delivery.
            Later: the destination is not enabled, or answered 410; the queue keeps its deliveries.
        """
        destination = self._destinations().get(name)
        if destination is None:
            raise Abandon(f"there is no destination `{name}`")
        if not destination.config.enabled:
            raise Later(f"the destination `{name}` is not enabled", _DISABLED_S)
        config, until_s = self._gone.get(name, (None, 0.0))
        if config == destination.config and self._clock.monotonic_s() < until_s:
            raise Later(f"the destination `{name}` answered 410 Gone", _DISABLED_S)
        [attempt] = self._sender(destination).send([Outgoing(wire["delivery"], _parse(wire))])
        if attempt.is_delivered:
            return
        log.info("delivery_failed", destination=name, delivery=wire["delivery"], error=attempt.error)
        if attempt.is_gone:
            self._gone[name] = destination.config, self._clock.monotonic_s() + _GONE_S
            log.error("destination_paused", alarm=True, destination=name, why="the receiver answered 410 Gone")
        if attempt.is_gone or attempt.is_final:
            raise Abandon(attempt.error)
        what, hint = f"the delivery to `{name}` failed", "see the destination"
        if attempt.retry_after_s:
            raise Throttled(what, attempt.error, hint, attempt.retry_after_s)
        raise Unreachable(what, attempt.error, hint)


def _render(event: Event) -> dict[str, Any]:
    return {
        "source": event.source,
        "id": event.id,
        "type": event.type,
        "at": event.at_ms,
        "received_at": event.received_at_ms,
        "content_type": event.content_type,
        **render_body(event.body),
    }


def _parse(wire: Mapping[str, Any]) -> Event:
    body = parse_body(wire)
    return Event(wire["source"], wire["id"], wire["type"], wire["at"], wire["received_at"], wire["content_type"], body)
