"""The archive's pages of the console: events, sources, destinations."""

from typing import TYPE_CHECKING

from carboy.web import Page, Summary, mark

if TYPE_CHECKING:
    from flask import Blueprint

__all__ = ["pages"]

_GROUP = mark("Webhooks")


def _events() -> "Blueprint":
    from carboy.services.archive.pages.events import make_blueprint

    return make_blueprint()


def _refused() -> "Blueprint":
    from carboy.services.archive.pages.refused import make_blueprint

    return make_blueprint()


def _sources() -> "Blueprint":
    from carboy.services.archive.pages.sources import make_blueprint

    return make_blueprint()


def _destinations() -> "Blueprint":
    from carboy.services.archive.pages.destinations import make_blueprint

    return make_blueprint()


def _event_summary() -> Summary:
    from carboy.services.archive.pages.summaries import summarize_events

    return summarize_events()


def _destination_summary() -> Summary:
    from carboy.services.archive.pages.summaries import summarize_destinations

    return summarize_destinations()


pages: tuple[Page, ...] = (
    Page(mark("Events"), mark("Events"), "archive:read", _events, _GROUP, _event_summary),
    Page(mark("Refused requests"), mark("Refused"), "archive:read", _refused, _GROUP),
    Page(mark("Sources"), mark("Sources"), "archive:read", _sources, _GROUP),
    Page(
        mark("Destinations"), mark("Destinations"), "destinations:read", _destinations, _GROUP, _destination_summary
    ),
)  # fmt: skip
"""In the order of the navigation."""
