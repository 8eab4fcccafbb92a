"""Deliveries to Amazon SQS, SNS, EventBridge and Kinesis, in batches.

Sources: the API references of SendMessageBatch, PublishBatch, PutEvents and PutRecords.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from carboy import aws
from carboy.clock import Clock
from carboy.errors import Refused, UpstreamError
from carboy.services.archive.destinations.config import Destination
from carboy.services.archive.destinations.kinds import Outgoing, body_bytes, caught
from carboy.services.archive.destinations.time_limit import TimeLimit
from carboy.webhooks import Attempt, hide_secrets

_BATCH = 10
_MAX_ID = 128
_MOST_BYTES, _ROOM = 262_144, 2_048  # of a batch; of what stands beside a body in it
_FINAL = {
    "BatchRequestTooLong",
    "InvalidArgumentException",
    "InvalidMessageContents",
    "InvalidParameter",
    "InvalidParameterValue",
    "MalformedDetail",
    "ValidationException",
}
"""Codes by which a service refuses this message, whenever it is sent."""


class Aws:
    """Sends batches to one queue, topic, bus or stream."""

    batch: int = _BATCH

    def __init__(self, destination: Destination, clock: Clock) -> None:
        self._destination, self._clock = destination, clock
        self._queue_url = ""
        self._limit = TimeLimit(destination.config.timeout_s, destination.config.max_in_flight)
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
        return [attempt for batch in self._fitting(deliveries) for attempt in self._attempts(batch)]

    def _fitting(self, deliveries: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
        """Yield the batches that the service takes: no longer together than one may be alone."""
        batch: list[Outgoing] = []
        size = 0
        for one in deliveries:
            length = len(one.event.body) + _ROOM
            if batch and size + length > _MOST_BYTES:
                yield batch
                batch, size = [], 0
            batch.append(one)
            size += length
        yield batch

    def _attempts(self, deliveries: Sequence[Outgoing]) -> list[Attempt]:
        at_ms, started_s = self._clock.now_ms(), self._clock.monotonic_s()
        try:
            failed = self._limit.run(partial(self._send, deliveries))
        except Exception as error:  # noqa: BLE001 (the client's errors, and what botocore refuses to send)
            is_everyones = isinstance(error, UpstreamError) and not isinstance(error, Refused)
            if len(deliveries) > 1 and not is_everyones:  # one of them may be at fault for all
                return [attempt for one in deliveries for attempt in self._attempts([one])]
            attempt = caught(error, at_ms, self._took_ms(started_s))
            return [replace(attempt, is_final=attempt.is_final or _code_of(error) in _FINAL) for _ in deliveries]
        took_ms = self._took_ms(started_s)
        return [_attempt(at_ms, took_ms, failed.get(at, "")) for at in range(len(deliveries))]

    def _took_ms(self, started_s: float) -> int:
        return max(0, round((self._clock.monotonic_s() - started_s) * 1000))

    def _client(self) -> Any:
        service = "events" if self._kind == "eventbridge" else self._kind
        timeout_s = self._destination.config.timeout_s
        return aws.client(service, connect_timeout=min(5.0, timeout_s), read_timeout=timeout_s, attempts=1)

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
                "DetailType": one.event.type[:_MAX_ID] or "event",
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


def _attempt(at_ms: int, took_ms: int, error: str) -> Attempt:
    is_final = error.partition(":")[0].rpartition(".")[2] in _FINAL
    return Attempt(at_ms, took_ms, error=hide_secrets(error)[:500], is_final=is_final)


def _code_of(error: Exception) -> str:
    response: Any = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", "")).rpartition(".")[2]


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
