"""The archive's pages of the console: events, sources, destinations."""

from carboy.lazy import lazy_call
from carboy.web import Page, mark

__all__ = ["pages"]

_GROUP = mark("Webhooks")
_EVENTS = lazy_call(f"{__name__}.events", "make_blueprint")
_REFUSED = lazy_call(f"{__name__}.refused", "make_blueprint")
_SOURCES = lazy_call(f"{__name__}.sources", "make_blueprint")
_DESTINATIONS = lazy_call(f"{__name__}.destinations", "make_blueprint")
_EVENT_SUMMARY = lazy_call(f"{__name__}.summaries", "summarize_events")
_DESTINATION_SUMMARY = lazy_call(f"{__name__}.summaries", "summarize_destinations")

pages: tuple[Page, ...] = (
    Page(mark("Events"), mark("Events"), "archive:read", _EVENTS, _GROUP, _EVENT_SUMMARY),
    Page(mark("Refused requests"), mark("Refused"), "archive:read", _REFUSED, _GROUP),
    Page(mark("Sources"), mark("Sources"), "archive:read", _SOURCES, _GROUP),
    Page(
        mark("Destinations"), mark("Destinations"), "destinations:read", _DESTINATIONS, _GROUP, _DESTINATION_SUMMARY
    ),
)  # fmt: skip
"""In the order of the navigation."""
