"""The queue itself: messages sent in batches, hidden for a while, counted."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Protocol
from urllib.parse import urlsplit

from carboy.aws import client
from carboy.errors import Unreachable
from carboy.jobs.sqs.queue_messages import MAX_BYTES

MAX_DELAY_S = 900
_MAX_HIDDEN_S = 43_200
_BATCH = 10
_AWS_HOST = re.compile(r"sqs\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send, and its delay in seconds (at most `MAX_DELAY_S`)."""

    text: str
    delay_s: int = 0


class Queue(Protocol):
    """Where messages wait."""

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Send messages; when this returns, the queue has all of them.

        Raises:
            UpstreamError: some were not sent, or may not have been.
        """
        ...

    def hide(self, receipt: str, seconds: float) -> None:
        """Make a received message come back after so many seconds, and no later.

        Raises:
            UpstreamError: it comes back when the queue's own time is over.
        """
        ...

    def waiting(self) -> int:
        """Return about how many messages can be received now; an `UpstreamError` where the queue cannot be used."""
        ...


class SqsQueue:
    """A queue of Amazon SQS, or of a server that speaks its protocol.

    Args:
        url: the queue's; its host is the endpoint where it is not one of AWS.
        connect_timeout_s: for connecting.
        read_timeout_s: for an answer.
    """

    def __init__(self, url: str, *, connect_timeout_s: float = 2.0, read_timeout_s: float = 5.0) -> None:
        self.url = url
        self._timeouts = (connect_timeout_s, read_timeout_s)

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Send messages, ten at a time; those that SQS refuses alone are sent a second time."""
        for batch in _batches(messages):
            refused = self._send(batch)
            if refused:
                refused = self._send([batch[at] for at in refused])
            if refused:
                raise Unreachable(
                    f"{len(refused)} messages were not sent", "SQS refused them alone", "they are sent again later"
                )

    def hide(self, receipt: str, seconds: float) -> None:
        """Make a message come back after so many seconds; at most twelve hours."""
        visible_s = min(max(ceil(seconds), 0), _MAX_HIDDEN_S)
        self._client().change_message_visibility(QueueUrl=self.url, ReceiptHandle=receipt, VisibilityTimeout=visible_s)

    def waiting(self) -> int:
        """Return about how many messages can be received now."""
        name = "ApproximateNumberOfMessages"
        answer = self._client().get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])
        return int(answer["Attributes"][name])

    def _send(self, batch: Sequence[Outgoing]) -> list[int]:
        entries = [
            {"Id": str(at), "MessageBody": one.text, "DelaySeconds": min(one.delay_s, MAX_DELAY_S)}
            for at, one in enumerate(batch)
        ]
        answer = self._client().send_message_batch(QueueUrl=self.url, Entries=entries)
        sent = {one["Id"] for one in answer.get("Successful", ())}  # the page of a proxy lists neither these nor others
        return [at for at in range(len(batch)) if str(at) not in sent]

    def _client(self) -> Any:
        parts = urlsplit(self.url)
        of_aws = _AWS_HOST.fullmatch(parts.hostname or "")
        connect_s, read_s = self._timeouts
        return client(
            "sqs",
            region_name=of_aws["region"] if of_aws else None,
            connect_timeout=connect_s,
            read_timeout=read_s,
            endpoint_url=None if of_aws else f"{parts.scheme}://{parts.netloc}",
        )


def _batches(messages: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
    """Yield messages in the batches that SQS takes: ten at most, and no longer together than one may be alone."""
    batch: list[Outgoing] = []
    size = 0
    for one in messages:
        length = len(one.text.encode())
        if batch and (len(batch) == _BATCH or size + length > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += length
    if batch:
        yield batch
