"""The sources and destinations as the settings are now, and what destinations reach of the application."""

from collections.abc import Callable
from typing import Generic, TypeVar

from flask import Flask

from carboy.config import Rate
from carboy.services.archive.destinations.config import Destination, make_destinations
from carboy.services.archive.destinations.messages import MessageDeliverer
from carboy.services.archive.destinations.senders import Senders, Surroundings
from carboy.services.archive.settings import ArchiveSettings
from carboy.services.archive.sources import THREATSTACK, WebhookSource, make_sources, source_names
from carboy.web import RateLimiter, Runtime

T = TypeVar("T")

SEND_SMS = "carboy.send_sms"
_ALERTS = "/api/v1/s3/alert"
_WEBHOOKS = "/api/v1/webhooks/"
_HANDSHAKES = Rate(60, 60.0)


class FromSettings(Generic[T]):
    """What is made of the settings as they are now: the same object as long as they are the same."""

    def __init__(self, runtime: Runtime, make: Callable[[ArchiveSettings], T]) -> None:
        self._runtime, self._make = runtime, make
        self._made: tuple[ArchiveSettings, T] | None = None

    def __call__(self) -> T:
        """Return it."""
        settings, made = self._runtime.newest(ArchiveSettings), self._made
        if made is None or made[0] is not settings:
            made = self._made = settings, self._make(settings)
        return made[1]


class SourceRegistry(FromSettings[dict[str, WebhookSource]]):
    """The sources by name: secrets, tokens and options follow the settings without a restart."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime, lambda settings: make_sources(settings.archive_sources))
        self._limiters: dict[tuple[str, str], RateLimiter] = {}

    def take(self, source: WebhookSource) -> float:
        """Count a request of a source; return the seconds to wait where there were too many."""
        rate = source.config.rate
        return self._count(f"source:{source.name}", rate) if rate else 0.0

    def take_handshake(self, source: WebhookSource) -> float:
        """Count a handshake of a source; return the seconds to wait where there were too many."""
        return self._count(f"handshake:{source.name}", _HANDSHAKES)

    def _count(self, name: str, rate: Rate) -> float:
        limiter = self._limiters.get((name, str(rate)))
        if limiter is None:
            limiter = self._limiters[name, str(rate)] = self._runtime.make_limiter(name, rate)
        return limiter.take(name)

    def body_limit(self, path: str) -> int:
        """Return how large a body a path takes, where its source has a limit of its own; else 0."""
        name = THREATSTACK if path.startswith(_ALERTS) else ""
        if path.startswith(_WEBHOOKS):
            name = path.removeprefix(_WEBHOOKS).partition("/")[0]
        source = self().get(name)
        return 0 if source is None else source.config.max_body_bytes

    def takes_compressed(self, path: str) -> bool:
        """Return whether a path is one of a source; whether that takes compressed bodies it says itself."""
        return path.startswith(_WEBHOOKS)


def configured_destinations(runtime: Runtime) -> FromSettings[dict[str, Destination]]:
    """Return the destinations of the settings, by name."""

    def make(settings: ArchiveSettings) -> dict[str, Destination]:
        names = source_names(settings.archive_sources)
        return make_destinations(settings.archive_destinations, names, runtime.settings.profile)

    return FromSettings(runtime, make)


def surroundings(app: Flask, runtime: Runtime) -> Surroundings:
    """Return what destinations reach of an application."""
    return Surroundings(app.app_context, lambda: app.extensions.get(SEND_SMS), runtime.jobs.notify)


def message_deliverer(app: Flask, runtime: Runtime) -> MessageDeliverer:
    """Return the destinations of an application without a database."""
    senders = Senders(runtime.clock, surroundings(app, runtime))
    return MessageDeliverer(configured_destinations(runtime), senders, runtime.jobs.send, runtime.clock)
