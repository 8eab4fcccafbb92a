"""Events of inbound messages: the archive's destinations and functions of an application get each, by a job.

@on_inbound
def answer(message: InboundMessage) -> None: ...
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import orjson
from flask import current_app
from sqlalchemy import select

from carboy.http_values import render_time
from carboy.jobs import Job
from carboy.logs import BoundLogger, get_logger
from carboy.services.sms.tables import INBOUND
from carboy.web import runtime

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


def _hand_on(row: int) -> None:
    """Pass a message on."""
    with runtime(current_app).engine.connect() as connection:
        one = connection.execute(select(INBOUND).where(INBOUND.c.id == row)).one_or_none()
    if one is None or one.sender is None:
        log.warning("sms_inbound_deleted", message=str(row), reason="SMS_RETENTION is over")
        return
    message = InboundMessage(one.id, one.provider, one.sender, one.receiver, one.text or "", one.keyword, one.at)
    log.info("sms_inbound", message=str(message.id), provider=message.provider, keyword=message.keyword)
    keep = current_app.extensions.get(KEEP_EVENT)
    if keep is not None:
        document = {**asdict(message), "id": str(message.id), "at": render_time(message.at_ms)}
        del document["at_ms"]
        keep("sms", str(message.id), "inbound", message.at_ms, orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
    for function in _functions:
        function(message)


INBOUND_JOB: Job[[int]] = Job("sms.inbound", _hand_on, priority=5)
"""Passes a kept message on. It has the row's id alone, as lists of jobs show arguments."""
