"""The gateway's pages of the console: messages, statistics, templates, providers."""

from typing import TYPE_CHECKING

from carboy.web import Page, Summary, mark

if TYPE_CHECKING:
    from flask import Blueprint

__all__ = ["pages"]

_GROUP = mark("Messages")


def _messages() -> "Blueprint":
    from carboy.services.sms.pages.messages import make_blueprint

    return make_blueprint()


def _templates() -> "Blueprint":
    from carboy.services.sms.pages.templates_page import make_blueprint

    return make_blueprint()


def _providers() -> "Blueprint":
    from carboy.services.sms.pages.providers_page import make_blueprint

    return make_blueprint()


def _statistics() -> "Blueprint":
    from carboy.services.sms.pages.statistics_page import make_blueprint

    return make_blueprint()


def _summary() -> Summary:
    from carboy.services.sms.pages.messages import summarize

    return summarize()


pages: tuple[Page, ...] = (
    Page(
        mark("Messages"), mark("Messages"), "sms:read", _messages, _GROUP, _summary,
        job_scopes={"sms.inbound": ("sms:content", "sms:numbers")},
    ),
    Page(mark("Message statistics"), mark("Statistics"), "sms:read", _statistics, _GROUP),
    Page(mark("Templates"), mark("Templates"), "sms:read", _templates, _GROUP),
    Page(mark("Providers"), mark("Providers"), "sms:read", _providers, _GROUP),
)  # fmt: skip
"""In the order of the navigation."""
