"""A Flask application with all of it wired, or with one part of it.

Each name is loaded when it is first asked for: a start pays for what it uses.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from carboy.lazy import lazy_names
from carboy.web.runtime import Runtime, runtime

if TYPE_CHECKING:
    from carboy.web.assembly import create_app, init_app, settings_parts
    from carboy.web.audit_log import audit_row, write_audit
    from carboy.web.auth.api_keys import SCOPES, Key
    from carboy.web.authentication import authenticate, basic_info, bearer_info, current_key, require
    from carboy.web.configuration import ConfigProvider, load_settings
    from carboy.web.console.access import has_scope, require_scope
    from carboy.web.console.audit import record_action
    from carboy.web.console.downloads import Download, make_download
    from carboy.web.console.forms import PAGE_ROWS, read_choice, read_cursor, read_time_range
    from carboy.web.console.inner_calls import call_service
    from carboy.web.console.inputs import form_field, host_url, query_string, query_value, query_values, visitor_address
    from carboy.web.console.rendering import go_to_page, render_page, show_notice, translate
    from carboy.web.console.tallies import Tally, find_tally
    from carboy.web.http.rate_limits import RateLimiter
    from carboy.web.metrics.registry import Counter, Gauge, Histogram, Metrics
    from carboy.web.metrics_listener import MetricsListener
    from carboy.web.openapi import add_api
    from carboy.web.pages import Fact, Failure, Figure, Page, Summary, mark
    from carboy.web.parts import PARTS
    from carboy.web.settings import ModulesSettings, WebSettings

__all__ = [
    "PAGE_ROWS",
    "PARTS",
    "SCOPES",
    "ConfigProvider",
    "Counter",
    "Download",
    "Fact",
    "Failure",
    "Figure",
    "Gauge",
    "Histogram",
    "Key",
    "Metrics",
    "MetricsListener",
    "ModulesSettings",
    "Page",
    "RateLimiter",
    "Runtime",
    "Summary",
    "Tally",
    "WebSettings",
    "add_api",
    "audit_row",
    "authenticate",
    "basic_info",
    "bearer_info",
    "call_service",
    "create_app",
    "current_key",
    "find_tally",
    "form_field",
    "go_to_page",
    "has_scope",
    "host_url",
    "init_app",
    "load_settings",
    "make_download",
    "mark",
    "query_string",
    "query_value",
    "query_values",
    "read_choice",
    "read_cursor",
    "read_time_range",
    "record_action",
    "render_page",
    "require",
    "require_scope",
    "runtime",
    "settings_parts",
    "show_notice",
    "translate",
    "visitor_address",
    "write_audit",
]

__getattr__: Callable[[str], Any] = lazy_names(
    __name__,
    {
        ".audit_log": ("audit_row", "write_audit"),
        ".assembly": ("create_app", "init_app", "settings_parts"),
        ".authentication": ("authenticate", "basic_info", "bearer_info", "current_key", "require"),
        ".configuration": ("ConfigProvider", "load_settings"),
        ".openapi": ("add_api",),
        ".auth.api_keys": ("Key", "SCOPES"),
        ".metrics.registry": ("Counter", "Gauge", "Histogram", "Metrics"),
        ".metrics_listener": ("MetricsListener",),
        ".pages": (
            "Fact",
            "Failure",
            "Figure",
            "Page",
            "Summary",
            "mark",
        ),
        ".console.access": ("has_scope", "require_scope"),
        ".console.audit": ("record_action",),
        ".console.downloads": ("Download", "make_download"),
        ".console.inner_calls": ("call_service",),
        ".console.forms": (
            "PAGE_ROWS",
            "read_choice",
            "read_cursor",
            "read_time_range",
        ),
        ".console.inputs": ("form_field", "host_url", "query_string", "query_value", "query_values", "visitor_address"),
        ".console.rendering": (
            "go_to_page",
            "render_page",
            "show_notice",
            "translate",
        ),
        ".console.tallies": ("Tally", "find_tally"),
        ".parts": ("PARTS",),
        ".http.rate_limits": ("RateLimiter",),
        ".settings": ("ModulesSettings", "WebSettings"),
    },
)
