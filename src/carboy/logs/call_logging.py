"""Decorators: log that a function was entered and left; put Lambda's ids on every line."""

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, TypeVar, cast, overload

from carboy.logs.log_context import lambda_ids, request_context
from carboy.logs.log_lines import parse_level
from carboy.logs.loggers import BoundLogger, get_logger
from carboy.logs.stdlib import deliver_waiting

_F = TypeVar("_F", bound=Callable[..., Any])
_Answer = TypeVar("_Answer")


@overload
def log_calls(function: _F) -> _F: ...
@overload
def log_calls(
    function: None = None, *, level: int | str = ..., logger: BoundLogger | None = ..., with_result: bool = ...
) -> Callable[[_F], _F]: ...
def log_calls(
    function: _F | None = None,
    *,
    level: int | str = logging.DEBUG,
    logger: BoundLogger | None = None,
    with_result: bool = False,
) -> _F | Callable[[_F], _F]:
    """Log `call_entered` and `call_left` around each call: `@log_calls`, or `@log_calls(level="info")`.

    The second line has `duration_ms`, and `error` when the function raised; the arguments are not logged.

    Args:
        function: what is called; a plain or an async function.
        level: the level of both lines.
        logger: who logs; by default a logger named after the function's module.
        with_result: whether `call_left` has the `result` too.

    Raises:
        UnknownLevel: there is no such level.
    """
    number = parse_level(level)  # an unknown one is an error here, not at the first call

    def decorate(function: _F) -> _F:
        logged_call = functools.partial(
            _logged_call, logger or get_logger(function.__module__), number, function.__qualname__
        )

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with logged_call() as facts:
                result = function(*args, **kwargs)
                if with_result:
                    facts["result"] = result
                return result

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with logged_call() as facts:
                result = await function(*args, **kwargs)
                if with_result:
                    facts["result"] = result
                return result

        return cast("_F", call_async if inspect.iscoroutinefunction(function) else call)

    return decorate if function is None else decorate(function)


@contextmanager
def _logged_call(log: BoundLogger, level: int | str, name: str) -> Iterator[dict[str, Any]]:
    log.log(level, "call_entered", function=name)
    facts: dict[str, Any] = {}
    started_s = perf_counter()
    try:
        yield facts
    except BaseException as error:
        facts["error"] = type(error).__name__
        raise
    finally:
        log.log(level, "call_left", function=name, duration_ms=round((perf_counter() - started_s) * 1000, 3), **facts)


def inject_request_ids(handler: Callable[[Any, Any], _Answer]) -> Callable[[Any, Any], _Answer]:
    """Put `api_request_id` and `lambda_request_id` on every line that this Lambda handler logs.

    Each is there only when the event, or the context, has it; `request_id` is the API's, else Lambda's. When the
    handler is done, lines that wait in a `RetryHandler` are delivered, for Lambda then stops the process's clock.
    """

    @functools.wraps(handler)
    def with_ids(event: Any, context: Any) -> _Answer:
        with request_context(**lambda_ids(event, context)):
            try:
                return handler(event, context)
            finally:
                deliver_waiting()

    return with_ids
