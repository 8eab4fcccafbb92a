"""The pages that every service has: jobs, keys, settings, health, audit."""

from typing import TYPE_CHECKING

from carboy.web.console.overview import summarize_checks, summarize_jobs
from carboy.web.pages import Page, mark

if TYPE_CHECKING:
    from flask import Blueprint

__all__ = ["OWN_PAGES"]

_GROUP = mark("Service")


def _jobs() -> "Blueprint":
    from carboy.web.console.pages.jobs import make_blueprint

    return make_blueprint()


def _keys() -> "Blueprint":
    from carboy.web.console.pages.keys import make_blueprint

    return make_blueprint()


def _settings() -> "Blueprint":
    from carboy.web.console.pages.settings import make_blueprint

    return make_blueprint()


def _health() -> "Blueprint":
    from carboy.web.console.pages.health import make_blueprint

    return make_blueprint()


def _audit() -> "Blueprint":
    from carboy.web.console.pages.audit import make_blueprint

    return make_blueprint()


OWN_PAGES = (
    Page(mark("Jobs"), mark("Jobs"), "jobs:admin", _jobs, _GROUP, summarize_jobs),
    Page(mark("API keys"), mark("Keys"), "keys:admin", _keys, _GROUP),
    Page(mark("Settings"), mark("Settings"), "settings:read", _settings, _GROUP),
    Page(mark("Health"), mark("Health"), "settings:read", _health, _GROUP, summarize_checks),
    Page(mark("Audit log"), mark("Audit"), "audit:read", _audit, _GROUP),
)
"""In the order of the navigation, after the modules' own."""
