"""What a page's request carries: query parameters, form fields, the address by which the browser came."""

from flask import request

from carboy.web.runtime import runtime

_UNKNOWN_HOST = "https://YOUR-HOST"


def query_value(name: str, max_chars: int = 255) -> str:
    """Return a query parameter without surrounding blanks, cut to `max_chars`; empty if absent."""
    return request.args.get(name, "").strip()[:max_chars]


def query_values(name: str) -> list[str]:
    """Return all values of a query parameter that may be there several times."""
    return request.args.getlist(name)


def form_field(name: str) -> str:
    """Return a field of the submitted form as it was typed; empty if absent."""
    return request.form.get(name, "")


def query_string() -> str:
    """Return the raw query of the page's address."""
    return request.query_string.decode("utf-8", "replace")


def host_url() -> str:
    """Return scheme and host by which the service is reached, without a slash at the end.

    It is the page's own; a console with an address of its own (`CONSOLE_BIND`) does not know the service's.
    """
    return _UNKNOWN_HOST if runtime().web.console_bind else request.host_url.rstrip("/")


def visitor_address() -> str:
    """Return the address of the visitor's browser."""
    return request.remote_addr or ""
