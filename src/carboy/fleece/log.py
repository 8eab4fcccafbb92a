"""Fleece's `log`: its names over `carboy.logs`."""

import logging
from collections.abc import Callable
from typing import IO, Any

from carboy.logs import (
    BoundLogger,
    RetryHandler,
    log_calls,
)
from carboy.logs import get_logger as _get_logger
from carboy.logs import inject_request_ids as inject_request_ids_into_environment
from carboy.logs import setup_root_logger as _setup_root_logger

__all__ = [
    "RetryHandler",
    "getLogger",
    "get_logger",
    "initial_trace_and_context_binds",
    "inject_request_ids_into_environment",
    "logme",
    "setup_root_logger",
]

_CONTEXT = (
    "function_name",
    "function_version",
    "invoked_function_arn",
    "memory_limit_in_mb",
    "aws_request_id",
    "log_group_name",
    "log_stream_name",
)


def setup_root_logger(
    level: int | str = logging.DEBUG, stream: IO[Any] | None = None, logger_factory: Any = None
) -> None:
    """Write one JSON line per event; `logger_factory` is not used."""
    _setup_root_logger(level, stream)


def get_logger(
    name: str | None = None, level: int | str | None = None, stream: IO[Any] | None = None, *_: Any, **__: Any
) -> BoundLogger:
    """Return a structlog logger; a level or a stream sets up the logs, further arguments are not used."""
    if level is not None or stream is not None:
        _setup_root_logger(logging.DEBUG if level is None else level, stream)
    return _get_logger(name)


def logme(level: int | str = logging.DEBUG, logger: Any = None) -> Callable[[Any], Any]:
    """Return a decorator that logs when a function is entered and left, and what it returned."""
    if isinstance(logger, logging.Logger):
        logger = _get_logger(logger.name)
    return log_calls(level=level, logger=logger, with_result=True)


def initial_trace_and_context_binds(logger: BoundLogger, trace_id: str, lambda_context: Any) -> BoundLogger:
    """Return a logger whose lines carry a trace's id and what Lambda says of the function."""
    known = {name: getattr(lambda_context, name) for name in _CONTEXT}
    return logger.new(trace_id=trace_id, lambda_context=known)


getLogger = get_logger  # noqa: N816 - Fleece's name
