"""Deliveries to Amazon SQS, SNS, EventBridge and Kinesis, in batches.

Sources: the API references of SendMessageBatch, PublishBatch, PutEvents and PutRecords.
"""

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from carboy import aws
from carboy.clock import Clock
from carboy.services.archive.destinations.config import Destination
from carboy.services.archive.destinations.kinds import Outgoing, body_bytes, caught
from carboy.webhooks import Attempt, hide_secrets

__all__ = ["Aws"]

_BATCH = 10
_MAX_ID = 128


class Aws:
    """Sends batches to one queue, topic, bus or stream."""

    batch: int = _BATCH

    def __init__(self, destination: Destination, clock: Clock) -> None:
        self._destination, self._clock = destination, clock
        self._queue_url = ""
        self._kind, self._target = destination.config.kind, destination.config.target
        sends: dict[str, Callable[[Sequence[Outgoing]], dict[int, str]]] = {
            "sqs": self._sqs,
            "sns": self._sns,
            "eventbridge": self._eventbridge,
            "kinesis": self._kinesis,
        }
        self._send = sends[self._kind]

    def send(self, deliveries: Sequence[Outgoing]) -> list[Attempt]:
        """Send a batch; what the service refuses of it is a failure of its own."""
        at_ms, started_s = self._clock.now_ms(), self._clock.monotonic_s()
        try:
            failed = self._send(deliveries)
        except Exception as error:  # noqa: BLE001 (the client's errors, and what botocore refuses to send)
            return [caught(error, at_ms, self._took_ms(started_s)) for _ in deliveries]
        took_ms = self._took_ms(started_s)
        return [Attempt(at_ms, took_ms, error=hide_secrets(failed.get(at, ""))[:500]) for at in range(len(deliveries))]

    def _took_ms(self, started_s: float) -> int:
        return max(0, round((self._clock.monotonic_s() - started_s) * 1000))

    def _client(self) -> Any:
        service = "events" if self._kind == "eventbridge" else self._kind
        return aws.client(service, read_timeout=self._destination.config.timeout_s)

    def _sqs(self, deliveries: Sequence[Outgoing]) -> dict[int, str]:
        client = self._client()
        if not self._queue_url:
            is_url = self._target.startswith(("https://", "http://"))
            self._queue_url = self._target if is_url else client.get_queue_url(QueueName=self._target)["QueueUrl"]
        entries = [
            {"Id": str(at), "MessageBody": self._text(one), "MessageAttributes": _attributes(one), **self._fifo(one)}
            for at, one in enumerate(deliveries)
        ]
        answer = client.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        return _failures(answer.get("Failed", ()))

    def _sns(self, deliveries: Sequence[Outgoing]) -> dict[int, str]:
        entries = [
            {"Id": str(at), "Message": self._text(one), "MessageAttributes": _attributes(one), **self._fifo(one)}
            for at, one in enumerate(deliveries)
        ]
        answer = self._client().publish_batch(TopicArn=self._target, PublishBatchRequestEntries=entries)
        return _failures(answer.get("Failed", ()))

    def _eventbridge(self, deliveries: Sequence[Outgoing]) -> dict[int, str]:
        entries = [
            {
                "Source": f"carboy.{one.event.source}",
                "DetailType": one.event.type or "event",
                "Detail": self._detail(one),
                "EventBusName": self._target,
            }
            for one in deliveries
        ]
        answer = self._client().put_events(Entries=entries)
        return _by_place(answer.get("Entries", ()))

    def _kinesis(self, deliveries: Sequence[Outgoing]) -> dict[int, str]:
        records = [
            {"Data": body_bytes(self._destination, one.event)[0], "PartitionKey": one.event.id[:256] or one.id}
            for one in deliveries
        ]
        answer = self._client().put_records(StreamName=self._target, Records=records)
        return _by_place(answer.get("Records", ()))

    def _text(self, one: Outgoing) -> str:
        if self._destination.has_body:
            return body_bytes(self._destination, one.event)[0].decode()
        return one.event.text

    def _detail(self, one: Outgoing) -> str:
        """Return the body where it is an object; other bodies stand in `body`, as EventBridge takes objects alone."""
        made = self._destination.body_of(one.event) if self._destination.has_body else one.event.json
        if isinstance(made, dict):
            return self._text(one)
        value = one.event.text if made is None and not self._destination.has_body else made
        return orjson.dumps({"body": value}, default=str).decode()

    def _fifo(self, one: Outgoing) -> dict[str, str]:
        if not self._target.endswith(".fifo"):
            return {}
        return {"MessageGroupId": one.event.source, "MessageDeduplicationId": one.id[:_MAX_ID]}


def _attributes(one: Outgoing) -> dict[str, Any]:
    event = one.event
    values = {"source": event.source, "type": event.type, "id": event.id, "delivery": one.id}
    return {name: {"DataType": "String", "StringValue": value} for name, value in values.items() if value}


def _failures(failed: Sequence[Any]) -> dict[int, str]:
    return {int(one["Id"]): f"{one.get('Code', '')}: {one.get('Message', '')}" for one in failed}


def _by_place(entries: Sequence[Any]) -> dict[int, str]:
    return {
        at: f"{one['ErrorCode']}: {one.get('ErrorMessage', '')}"
        for at, one in enumerate(entries)
        if one.get("ErrorCode")
    }
