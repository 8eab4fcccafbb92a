"""Fleece's `handlers.wsgi`: answer gateway events by a WSGI application, over `carboy.serve.lambda_handler`."""

from functools import lru_cache
from typing import Any

from carboy.serve import lambda_handler
from carboy.serve.lambda_ import alb, http_v2, rest_v1
from carboy.serve.lambda_.event_types import kind_of

__all__ = ["build_wsgi_environ_from_event", "wsgi_handler"]

_READERS = {"alb": alb.read_request, "http-v2": http_v2.read_request, "rest-v1": rest_v1.read_request}
_handler = lru_cache(maxsize=8)(lambda_handler)


def build_wsgi_environ_from_event(event: dict[str, Any]) -> dict[str, Any]:
    """Return the WSGI environ of any gateway's event; method and path are `GET` and `/` where it has none."""
    event = complete(event)
    return _READERS[kind_of(event)](event, None)


def wsgi_handler(event: dict[str, Any], context: Any, app: Any, logger: Any) -> Any:
    """Answer a gateway's event by an application."""
    event = complete(event)
    logger.info("Processing request", method=event.get("httpMethod") or event["requestContext"]["http"]["method"])
    answer = _handler(app)(event, context)
    logger.info("Returning answer", http_status=answer["statusCode"])
    return answer


def complete(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event that says its method and its path."""
    if kind_of(event) in _READERS:
        return event
    return {**event, "httpMethod": event.get("httpMethod") or "GET", "path": event.get("path") or "/"}
