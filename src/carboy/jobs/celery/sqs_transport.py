"""Kombu's transport for SQS, for workers that outlive an outage of SQS.

Kombu 5.7 takes a poll without an answer for a list where it then needs a mapping, and raises inside its HTTP client
where SQS refuses a poll: either ends the worker, or makes it stop polling. Here such a poll counts as empty, and
polling goes on.
"""

from functools import cached_property
from typing import Any

from kombu.asynchronous.aws.sqs.connection import AsyncSQSConnection
from kombu.transport import SQS

from carboy.logs import BoundLogger, get_logger

log: BoundLogger = get_logger("carboy.jobs")


class _Polls(AsyncSQSConnection):
    @cached_property
    def _unavailable(self) -> set[str]:
        return set()

    def _on_list_ready(self, parent: str, markers: Any, operation: str, response: Any) -> Any:
        if response.status != self.STATUS_CODE_OK:
            if parent not in self._unavailable:
                log.warning("jobs_queue_unavailable", queue=parent, status=response.status, error=str(response.reason))
            self._unavailable.add(parent)
            return {}
        if parent in self._unavailable:
            log.info("jobs_queue_recovered", queue=parent)
            self._unavailable.discard(parent)
        return super()._on_list_ready(parent, markers, operation, response)  # type: ignore[no-untyped-call]


class _Channel(SQS.Channel):
    def asynsqs(self, queue: str | None = None) -> Any:
        channel: Any = self
        if channel._asynsqs is None:
            wanted = channel.get_message_attributes
            channel._asynsqs = _Polls(  # type: ignore[no-untyped-call]
                sqs_connection=channel.sqs(queue=queue),
                region=channel.region,
                message_system_attribute_names=wanted.get("MessageSystemAttributeNames"),
                message_attribute_names=wanted.get("MessageAttributeNames"),
            )
        return channel._asynsqs


class Transport(SQS.Transport):
    """Kombu's own, whose polls may be refused, or end without an answer."""

    Channel = _Channel
