"""Functions that events other than HTTP requests call: queues, topics, schedules, authorizers.

This module keeps and finds the functions of an application; `carboy.serve` calls them, on Lambda.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from carboy.errors import UsageError
from carboy.extension import extension_of

__all__ = ["EventKind", "Events", "offer_events", "on_event"]

EventKind = Literal["sqs", "sns", "schedule", "eventbridge", "s3", "dynamodb", "kinesis", "authorizer", "other"]
"""What a function is called with: an SQS record; the `Sns` object of an SNS record; the whole event of all the others.
`other` is any event that is none of these."""

Function = TypeVar("Function", bound=Callable[..., Any])


class _Registered(NamedTuple):
    function: Callable[..., Any]
    kind: EventKind
    name: str | None
    matches: Mapping[str, Any]


class Events:
    """The functions of one application, each with the events that it wants."""

    def __init__(self) -> None:
        self._registered: list[_Registered] = []

    def on(self, kind: EventKind, name: str | None = None, **matches: Any) -> Callable[[Function], Function]:
        """Register the decorated function.

        Args:
            kind: what kind of event it wants.
            name: the queue, topic, rule, schedule, bucket, table or stream, by the last part of its ARN; any when None.
            matches: what the event's own top-level members must be besides, such as `source="orders"`; write
                `detail_type` for `detail-type`.

        Raises:
            UsageError: there is no such kind of event.
        """
        if kind not in get_args(EventKind):
            known = ", ".join(f"`{each}`" for each in get_args(EventKind))
            raise UsageError(f"no function can wait for `{kind}`", "there is no such kind of event", f"one of: {known}")
        wanted = {"detail-type" if key == "detail_type" else key: value for key, value in matches.items()}

        def register(function: Function) -> Function:
            self._registered.append(_Registered(function, kind, name, wanted))
            return function

        return register

    def find(self, kind: EventKind, name: str, event: Mapping[str, Any]) -> list[Callable[..., Any]]:
        """Return the functions that want an event, in the order in which they were registered.

        Args:
            kind: what kind of event it is.
            name: what it comes from, as `on` has it.
            event: the event, or the record of it that the functions get.
        """
        return [
            each.function
            for each in self._registered
            if each.kind == kind
            and each.name in {None, name}
            and all(event.get(key) == value for key, value in each.matches.items())
        ]

    def names(self, kind: str) -> list[str]:
        """Return the names that functions of a kind want, in the order in which they were registered."""
        return list(dict.fromkeys(each.name for each in self._registered if each.kind == kind and each.name))


def offer_events(app: Any) -> None:
    """Give an application the decorator `@app.on_event(kind, name, **matches)`: `Events.on`."""
    app.on_event = _events_of(app).on


def on_event(app: Any, kind: EventKind, name: str | None = None, **matches: Any) -> Callable[[Function], Function]:
    """Register the decorated function for events of an application, as `Events.on` does.

    Args:
        app: a Flask application, or anything else with a dict `extensions`.
        kind: what kind of event it wants.
        name: the last part of the ARN of what the event comes from; any when None.
        matches: what the event's own members must be besides.
    """
    return _events_of(app).on(kind, name, **matches)


def _events_of(app: Any) -> Events:
    extension = extension_of(app)
    events = extension.find(Events)
    if events is None:
        extension.keep(events := Events())
    return events
