"""Fleece's `events`: the old integration's event in one form."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from werkzeug.datastructures import Headers

__all__ = ["Hasher", "format_event"]

_CONTEXT = (
    "aws_request_id",
    "client_context",
    "function_name",
    "function_version",
    "invoked_function_arn",
    "log_group_name",
    "log_stream_name",
    "memory_limit_in_mb",
)


class Hasher(dict[Any, Any]):
    """A dictionary in which a key that is missing is a further one."""

    def __missing__(self, key: Any) -> "Hasher":
        return self.setdefault(key, Hasher())  # type: ignore[no-any-return]


def format_event(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Return an event of the old integration with what Lambda says of the call; what it has not is `{}`."""
    parameters = event.get("parameters", {})
    request = parameters.get("request", {})
    return {
        "requested-at": datetime.now(UTC).replace(tzinfo=None).isoformat(),
        "context": {
            **{name: getattr(context, name) for name in _CONTEXT},
            "get_remaining_time_in_millis": context.get_remaining_time_in_millis(),
        },
        "operation": event.get("operation", {}),
        "requestor": parameters.get("requestor", {}),
        "body": request.get("body", {}),
        "path": request.get("path", {}),
        "querystring": request.get("querystring", {}),
        "header": Headers(request.get("header", {})),
        "gateway": parameters.get("gateway", {}),
    }
