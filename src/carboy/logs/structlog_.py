"""Facts of structlog's `bind_contextvars`: they are part of every line, and end with the request."""

import sys
from collections.abc import Mapping
from typing import Any

_CONTEXT = "structlog.contextvars"


def bound_by_structlog() -> Mapping[str, Any]:
    """Return what structlog's `bind_contextvars` has bound in this context; nothing where structlog is not in use."""
    context = sys.modules.get(_CONTEXT)
    if context is None or not getattr(context, "_CONTEXT_VARS", True):  # nothing was ever bound: do not ask
        return {}
    bound: Mapping[str, Any] = context.get_contextvars()
    return bound


def restore_structlog(before: Mapping[str, Any]) -> None:
    """Restore the facts that were bound before a request."""
    if bound_by_structlog() != before:
        context = sys.modules[_CONTEXT]
        context.clear_contextvars()
        context.bind_contextvars(**before)
