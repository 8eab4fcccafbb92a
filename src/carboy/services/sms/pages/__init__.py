"""The gateway's pages of the console: messages, statistics, templates, providers."""

from collections.abc import Callable
from typing import Any

from carboy.lazy import lazy_call
from carboy.web import Page, mark

__all__ = ["pages"]

_GROUP = mark("Messages")


def _lazily(module: str, name: str = "make_blueprint") -> Callable[[], Any]:
    return lazy_call(f"{__name__}.{module}", name)


pages: tuple[Page, ...] = (
    Page(
        mark("Messages"), mark("Messages"), "sms:read", _lazily("messages"), _GROUP, _lazily("messages", "summarize"),
        job_scopes={"sms.inbound": ("sms:content", "sms:numbers")},
    ),
    Page(mark("Message statistics"), mark("Statistics"), "sms:read", _lazily("statistics_page"), _GROUP),
    Page(mark("Templates"), mark("Templates"), "sms:read", _lazily("templates_page"), _GROUP),
    Page(mark("Providers"), mark("Providers"), "sms:read", _lazily("providers_page"), _GROUP),
)  # fmt: skip
"""In the order of the navigation."""
