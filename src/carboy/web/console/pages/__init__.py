"""The pages that every service has: jobs, keys, settings, health, audit."""

from carboy.web.console.overview import summarize_checks, summarize_jobs
from carboy.web.console.pages import audit, health, jobs, keys, settings
from carboy.web.pages import Page, mark

__all__ = ["OWN_PAGES"]

_GROUP = mark("Service")

OWN_PAGES = (
    Page(mark("Jobs"), mark("Jobs"), "jobs:admin", jobs.make_blueprint, _GROUP, summarize_jobs),
    Page(mark("API keys"), mark("Keys"), "keys:admin", keys.make_blueprint, _GROUP),
    Page(mark("Settings"), mark("Settings"), "settings:read", settings.make_blueprint, _GROUP),
    Page(mark("Health"), mark("Health"), "settings:read", health.make_blueprint, _GROUP, summarize_checks),
    Page(mark("Audit log"), mark("Audit"), "audit:read", audit.make_blueprint, _GROUP),
)
"""In the order of the navigation, after the modules' own."""
