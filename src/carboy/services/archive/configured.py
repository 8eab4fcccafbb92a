"""The destinations as the settings are now, and what they reach of the application."""

from flask import Flask

from carboy.services.archive.destinations.config import Destination, make_destinations
from carboy.services.archive.destinations.messages import MessageDeliverer
from carboy.services.archive.destinations.senders import Senders, Surroundings
from carboy.services.archive.settings import ArchiveSettings
from carboy.services.archive.sources import source_names
from carboy.web import Runtime

SEND_SMS = "carboy.send_sms"


class Configured:
    """The destinations of the settings as they are now."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._made: tuple[ArchiveSettings, dict[str, Destination]] | None = None

    def __call__(self) -> dict[str, Destination]:
        """Return them by name; the same mapping as long as the settings are the same."""
        settings, made = self._runtime.newest(ArchiveSettings), self._made
        if made is None or made[0] is not settings:
            sources = source_names(settings.archive_sources)
            tables = make_destinations(settings.archive_destinations, sources, self._runtime.settings.profile)
            made = self._made = settings, tables
        return made[1]


def surroundings(app: Flask, runtime: Runtime) -> Surroundings:
    """Return what destinations reach of an application."""
    return Surroundings(app.app_context, lambda: app.extensions.get(SEND_SMS), runtime.jobs.notify)


def message_deliverer(app: Flask, runtime: Runtime) -> MessageDeliverer:
    """Return the destinations of an application without a database."""
    senders = Senders(runtime.clock, surroundings(app, runtime))
    return MessageDeliverer(Configured(runtime), senders, runtime.jobs.send, runtime.clock)
