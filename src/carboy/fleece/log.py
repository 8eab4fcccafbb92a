"""Fleece's `log`: its names over `carboy.logs`."""

import logging
import sys
from collections.abc import Callable
from typing import IO, Any

from carboy.config.environ import live_environ
from carboy.logs import BoundLogger, bound_facts, log_calls
from carboy.logs import RetryHandler as _RetryHandler
from carboy.logs import get_logger as _get_logger
from carboy.logs import inject_request_ids as inject_request_ids_into_environment
from carboy.logs import setup_root_logger as _setup_root_logger

__all__ = [
    "DEFAULT_STREAM",
    "ENV_APIG_REQUEST_ID",
    "ENV_LAMBDA_REQUEST_ID",
    "LOG_FORMAT",
    "RetryHandler",
    "add_request_ids_from_environment",
    "clobber_root_handlers",
    "getLogger",
    "get_logger",
    "initial_trace_and_context_binds",
    "inject_request_ids_into_environment",
    "logme",
    "setup_root_logger",
]

LOG_FORMAT = "%(message)s"
DEFAULT_STREAM = sys.stdout
ENV_APIG_REQUEST_ID, ENV_LAMBDA_REQUEST_ID = "_FLEECE_APIG_REQUEST_ID", "_FLEECE_LAMBDA_REQUEST_ID"  # not set here
_CONTEXT = (
    "function_name",
    "function_version",
    "invoked_function_arn",
    "memory_limit_in_mb",
    "aws_request_id",
    "log_group_name",
    "log_stream_name",
)


_OWN_STATE = frozenset({"disabled", "filters", "handlers", "level", "name", "parent", "propagate"})


class FleeceLogger(BoundLogger):
    """A logger of `carboy.logs` that has all of the `logging.Logger` of its name: `addHandler`, `setLevel`, `level`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._logger.standard, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN_STATE:
            setattr(self._logger.standard, name, value)
        else:
            super().__setattr__(name, value)

    def __reduce__(self) -> Any:
        return _restored, (self._logger.name, dict(self._context))


def _restored(name: str, facts: dict[str, Any]) -> FleeceLogger:
    plain = _get_logger(name)
    return FleeceLogger(plain._logger, plain._processors, facts)


class RetryHandler(_RetryHandler):
    """Wraps a handler that can fail; on AWS Lambda a record is delivered, or given up, when the logging call returns.

    Lambda stops the process's clock after each event, with what a background thread still has to deliver.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record for delivery."""
        super().emit(record)
        if "AWS_LAMBDA_FUNCTION_NAME" in live_environ():
            self.flush()


def clobber_root_handlers() -> None:
    """Remove every handler of the root logger."""
    logging.root.handlers[:] = []


def add_request_ids_from_environment(logger: Any, name: str, event_dict: dict[str, Any]) -> dict[str, Any]:
    """Put the ids of `inject_request_ids_into_environment` on an event; a processor for structlog."""
    known = bound_facts()
    event_dict.update((key, known[key]) for key in ("api_request_id", "lambda_request_id") if key in known)
    return event_dict


def setup_root_logger(
    level: int | str = logging.DEBUG, stream: IO[Any] | None = None, logger_factory: Any = None
) -> None:
    """Write one JSON line per event; `logger_factory` is not used."""
    _setup_root_logger(level, stream)


def get_logger(
    name: str | None = None, level: int | str | None = None, stream: IO[Any] | None = None, *_: Any, **__: Any
) -> FleeceLogger:
    """Return a logger in structlog's form that is a `logging.Logger` too; a level or a stream sets up the logs.

    Further arguments are not used.
    """
    if level is not None or stream is not None:
        _setup_root_logger(logging.DEBUG if level is None else level, stream)
    return _restored(name or "root", {})


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
