"""Make what makes the attempts: one sender for each destination, kept until its settings change."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from carboy.clock import Clock
from carboy.services.archive.destinations.aws_kinds import Aws
from carboy.services.archive.destinations.config import AWS_KINDS, Destination, import_function
from carboy.services.archive.destinations.hooks import hooks
from carboy.services.archive.destinations.kinds import (
    Calls,
    Http,
    Sender,
    SendSms,
    call_function,
    send_message,
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What destinations reach of the application.

    Attributes:
        context: entered around functions of one's own.
        gateway: returns how the SMS gateway takes a message; None where there is no gateway.
        notify: notifies the job engine of new work.
    """

    context: Callable[[], AbstractContextManager[Any]]
    gateway: Callable[[], SendSms | None]
    notify: Callable[[], None]


class Senders:
    """The senders of an application."""

    def __init__(self, clock: Clock, around: Surroundings) -> None:
        self._clock, self._around = clock, around
        self._made: dict[str, tuple[Destination, Sender]] = {}

    def __call__(self, destination: Destination) -> Sender:
        """Return what makes the attempts of a destination; kept until its settings change."""
        known = self._made.get(destination.name)
        if known is not None and (known[0] is destination or known[0].config == destination.config):
            return known[1]
        made = self._make_sender(destination)
        self._made[destination.name] = destination, made
        return made

    def _make_sender(self, destination: Destination) -> Sender:
        kind, around = destination.config.kind, self._around
        if kind in {"https", "http", "slack"}:
            return Http(destination, self._clock)
        if kind in AWS_KINDS:
            return Aws(destination, self._clock)
        if kind == "sms":
            call = partial(send_message, destination, around.gateway)
        else:
            own = hooks().get(destination.name)
            call = partial(call_function, own[1] if own else import_function(destination.config.url))
        return Calls(destination, self._clock, around.context, call)
