"""Trace SQL by SQLAlchemy's own events: each statement within a span is a span."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from carboy.db.sql_masking import mask_sql
from carboy.redact import mask_text
from carboy.trace import begin_span

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, ExceptionContext

_MAX_STATEMENT = 4000
_KEY = "carboy_span"
_TYPES = {"postgresql": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB", "sqlite": "SQLite"}


def trace_statements(engine: "Engine") -> "Engine":
    """Give every statement of an engine a span, and return the engine; a second call does nothing.

    Values never reach the trace: parameters are left out, literals become `?`, comments go.
    """
    from sqlalchemy import event

    handlers: dict[str, Callable[..., Any]] = {
        "before_cursor_execute": _begin,
        "after_cursor_execute": _end,
        "handle_error": _fail,
    }
    for name, handle in handlers.items():
        if not event.contains(engine, name, handle):
            event.listen(engine, name, handle)
    return engine


def _begin(connection: "Connection", _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
    url = connection.engine.url
    database = (url.database or "").rpartition("/")[2]
    span = begin_span(f"{database or url.get_backend_name()}@{url.host or 'local'}", "remote")
    if span is not None and context is not None:
        backend = url.get_backend_name()
        block = {
            "database_type": _TYPES.get(backend, backend),
            "sanitized_query": mask_text(mask_sql(statement, backend))[:_MAX_STATEMENT],
            "url": f"{backend}://{url.host or ''}{f':{url.port}' if url.port else ''}/{database}",
        }
        if url.username:
            block["user"] = url.username
        span.add(sql=block)
        setattr(context, _KEY, span)


def _end(_connection: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
    span = getattr(context, _KEY, None)
    if span is not None:
        span.end()


def _fail(failure: "ExceptionContext") -> None:
    span = getattr(failure.execution_context, _KEY, None)
    if span is not None:
        span.fail(failure.original_exception)
        span.end()
