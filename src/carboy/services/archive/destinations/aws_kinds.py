"""Deliveries to Amazon SQS, SNS, EventBridge and Kinesis, in batches.

Sources: the API references of SendMessageBatch, PublishBatch, PutEvents and PutRecords.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from carboy import aws
from carboy.clock import Clock
from carboy.errors import UpstreamError
from carboy.services.archive.destinations.config import Destination
from carboy.services.archive.destinations.kinds import Outgoing, body_bytes, caught, took_ms
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
_UNCONFIRMED = "the response does not confirm it"  # such as the page of a proxy, with status 200
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # no attribute can have these


class Aws:
    """Sends batches to one queue, topic, bus or stream."""

    batch: int = _BATCH

    def __init__(self, destination: Destination, clock: Clock) -> None:
        self._destination, self._clock = destination, clock
        self._queue_url = ""
        self._limit = TimeLimit(destination.config.timeout_s, destination.config.max_in_flight)
        self._kind, self._target = destination.config.kind, destination.config.target
        sends: dict[str, Callable[[Sequence[Outgoing]], Sequence[str]]] = {
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
            is_final = _code_of(error) in _FINAL
            is_everyones = isinstance(error, UpstreamError) and not is_final
            if len(deliveries) > 1 and not is_everyones:  # one of them may be at fault for all
                return [attempt for one in deliveries for attempt in self._attempts([one])]
            attempt = caught(error, at_ms, took_ms(self._clock, started_s))
            return [replace(attempt, is_final=attempt.is_final or is_final) for _ in deliveries]
        ended_ms = took_ms(self._clock, started_s)
        return [_attempt(at_ms, ended_ms, error) for error in failed]

    def _client(self) -> Any:
        service = "events" if self._kind == "eventbridge" else self._kind
        timeout_s = self._destination.config.timeout_s
        return aws.client(service, connect_timeout=min(5.0, timeout_s), read_timeout=timeout_s, attempts=1)

    def _sqs(self, deliveries: Sequence[Outgoing]) -> list[str]:
        client = self._client()
        if not self._queue_url:
            is_url = self._target.startswith(("https://", "http://"))
            self._queue_url = self._target if is_url else client.get_queue_url(QueueName=self._target)["QueueUrl"]
        entries = self._entries("MessageBody", deliveries)
        answer = client.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        return _by_id(answer, len(deliveries))

    def _sns(self, deliveries: Sequence[Outgoing]) -> list[str]:
        entries = self._entries("Message", deliveries)
        answer = self._client().publish_batch(TopicArn=self._target, PublishBatchRequestEntries=entries)
        return _by_id(answer, len(deliveries))

    def _entries(self, body: str, deliveries: Sequence[Outgoing]) -> list[dict[str, Any]]:
        """Return the entries of a batch of SQS or SNS, whose body has this name."""
        return [
            {"Id": str(at), body: self._text(one), "MessageAttributes": _attributes(one), **self._fifo(one)}
            for at, one in enumerate(deliveries)
        ]

    def _eventbridge(self, deliveries: Sequence[Outgoing]) -> list[str]:
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
        return _by_place(answer.get("Entries", ()), "EventId", len(deliveries))

    def _kinesis(self, deliveries: Sequence[Outgoing]) -> list[str]:
        records = [
            {"Data": body_bytes(self._destination, one.event)[0], "PartitionKey": one.event.id[:256] or one.id}
            for one in deliveries
        ]
        answer = self._client().put_records(StreamName=self._target, Records=records)
        return _by_place(answer.get("Records", ()), "SequenceNumber", len(deliveries))

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


def _attempt(at_ms: int, duration_ms: int, error: str) -> Attempt:
    is_final = error.partition(":")[0].rpartition(".")[2] in _FINAL
    return Attempt(at_ms, duration_ms, error=hide_secrets(error)[:500], is_final=is_final)


def _code_of(error: Exception) -> str:
    response: Any = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", "")).rpartition(".")[2]


def _attributes(one: Outgoing) -> dict[str, Any]:
    event = one.event
    values = {"source": event.source, "type": event.type, "id": event.id, "delivery": one.id}
    texts = ((name, _NOT_XML.sub("", value)) for name, value in values.items())
    return {name: {"DataType": "String", "StringValue": text} for name, text in texts if text}


def _by_id(answer: Mapping[str, Any], count: int) -> list[str]:
    """Return why each entry of a batch failed; empty for those that the service confirms, and for no others."""
    errors = [_UNCONFIRMED] * count
    for one in answer.get("Successful", ()):
        errors[int(one["Id"])] = ""
    for one in answer.get("Failed", ()):
        errors[int(one["Id"])] = f"{one.get('Code', '')}: {one.get('Message', '')}"
    return errors


def _by_place(entries: Sequence[Mapping[str, Any]], confirmation: str, count: int) -> list[str]:
    """Return the same of a service that answers with the entries in their order."""
    errors = [
        f"{one['ErrorCode']}: {one.get('ErrorMessage', '')}"
        if one.get("ErrorCode")
        else "" if one.get(confirmation) else _UNCONFIRMED
        for one in entries
    ]  # fmt: skip
    return [*errors, *[_UNCONFIRMED] * count][:count]
