"""Events of inbound messages: the archive's destinations and functions of an application get each, by a job.

@on_inbound
def answer(message: InboundMessage) -> None: ...
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from flask import current_app

from carboy.http_values import render_time
from carboy.jobs import Job, row_of
from carboy.logs import BoundLogger, get_logger

KEEP_EVENT = "carboy.keep_event"
"""The extension of an application that archives an event, as the archive registers it."""

log: BoundLogger = get_logger("carboy.sms")


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message that a person sent to one of our numbers.

    Attributes:
        id: its row.
        provider: its name.
        sender: E.164.
        receiver: our number; None if the provider does not say.
        text: as the person wrote it.
        keyword: `stop` or `start`; None for neither.
        at_ms: when it arrived, milliseconds since the epoch.
    """

    id: int
    provider: str
    sender: str
    receiver: str | None
    text: str
    keyword: str | None
    at_ms: int


_functions: list[Callable[[InboundMessage], object]] = []


def on_inbound(function: Callable[[InboundMessage], object]) -> Callable[[InboundMessage], object]:
    """Register a function that is called for each inbound message, at least once; a failure is tried again."""
    _functions.append(function)
    return function


def inbound_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of the job that passes a kept message on."""
    names = ("id", "provider", "sender", "receiver", "text", "keyword", "at")
    return row_of(INBOUND_JOB, tuple(row[name] for name in names), now_ms=row["at"])


def _hand_on(*values: Any) -> None:
    message = InboundMessage(*values)
    log.info("sms_inbound", message=str(message.id), provider=message.provider, keyword=message.keyword)
    keep = current_app.extensions.get(KEEP_EVENT)
    if keep is not None:
        document = {**asdict(message), "id": str(message.id), "at": render_time(message.at_ms)}
        del document["at_ms"]
        keep("sms", str(message.id), "inbound", message.at_ms, orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
    for function in _functions:
        function(message)


INBOUND_JOB: Job[...] = Job("sms.inbound", _hand_on, priority=5)
