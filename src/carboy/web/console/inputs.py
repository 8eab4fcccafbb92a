"""What a page's request carries: query parameters, form fields, the address by which the browser came."""

from flask import request

__all__ = ["form_field", "host_url", "query_string", "query_value"]


def query_value(name: str, max_chars: int = 255) -> str:
    """Return a query parameter without surrounding blanks, cut to `max_chars`; empty if absent."""
    return request.args.get(name, "").strip()[:max_chars]


def form_field(name: str) -> str:
    """Return a field of the submitted form as it was typed; empty if absent."""
    return request.form.get(name, "")


def query_string() -> str:
    """Return the raw query of the page's address."""
    return request.query_string.decode("utf-8", "replace")


def host_url() -> str:
    """Return scheme and host of the page's address, without a slash at the end."""
    return request.host_url.rstrip("/")
