"""Make what makes the attempts: one sender for each destination, kept until its settings change."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from carboy.clock import Clock
from carboy.services.archive.destinations.aws_kinds import Aws
from carboy.services.archive.destinations.config import AWS_KINDS, Destination, import_function
from carboy.services.archive.destinations.hooks import hooks
from carboy.services.archive.destinations.kinds import Function, Http, Sender, SendSms, Slack, Sms


class Surroundings:
    """What destinations reach of the application.

    Args:
        context: entered around functions of one's own.
        gateway: returns how the SMS gateway takes a message; None where there is no gateway.
        notify: notifies the job engine of new work.
    """

    def __init__(
        self,
        context: Callable[[], AbstractContextManager[Any]],
        gateway: Callable[[], SendSms | None],
        notify: Callable[[], None],
    ) -> None:
        self.context: Callable[[], AbstractContextManager[Any]] = context
        self.gateway: Callable[[], SendSms | None] = gateway
        self.notify: Callable[[], None] = notify


class Senders:
    """The senders of an application.

    Args:
        clock: the time.
        around: the application.
    """

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
        if kind in {"https", "http"}:
            return Http(destination, self._clock)
        if kind == "slack":
            return Slack(destination, self._clock)
        if kind in AWS_KINDS:
            return Aws(destination, self._clock)
        if kind == "sms":
            return Sms(destination, self._clock, around.context, around.gateway)
        own = hooks().get(destination.name)
        function = own[1] if own is not None else import_function(destination.config.url)
        return Function(destination, self._clock, around.context, function)
