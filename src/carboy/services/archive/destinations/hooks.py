"""`@on_archived`: have code of one's own run for each event that is kept."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from carboy.services.archive.destinations.config import Destination, DestinationConfig

Hook = TypeVar("Hook", bound=Callable[..., Any])

_HOOKS: dict[str, tuple[Destination, Callable[..., Any]]] = {}


def on_archived(*sources: str, timeout_s: float = 300.0) -> Callable[[Hook], Hook]:
    """Have a function called with each event that is kept, as a job of its own.

    @on_archived("github")
    def deploy(event: Event) -> None: ...

    It is called at least once for each event, and again by the schedule of Standard Webhooks where it raises. The calls
    are deliveries: `carboy archive destinations list` shows them under the function's dotted name with `-` for dots.

    Args:
        sources: whose events; none for all.
        timeout_s: for one call, in all; one that takes longer has failed, though it cannot be stopped.
    """

    def register(function: Hook) -> Hook:
        dotted = f"{function.__module__}-{function.__qualname__}".lower()
        name = re.sub(r"[^a-z0-9_-]+", "-", dotted).strip("-_0123456789")[-64:].lstrip("-_0123456789") or "hook"
        config = DestinationConfig("on_archived", sources, max_in_flight=4, timeout_s=timeout_s)
        _HOOKS[name] = (Destination(name, config), function)
        return function

    return register


def hooks() -> Mapping[str, tuple[Destination, Callable[..., Any]]]:
    """Return the functions that were registered, each with its destination, by name."""
    return MappingProxyType(_HOOKS)
