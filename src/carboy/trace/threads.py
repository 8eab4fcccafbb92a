"""Propagate the current span to work in other threads."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial, wraps
from typing import Any

from carboy.trace.current import active_tracer
from carboy.trace.spans import Span, current_span, set_current

_MARK = "_carboy_carries_spans"


def instrument_threads() -> None:
    """Make every `Thread` and `ThreadPoolExecutor` propagate the current span; a second call does nothing.

    A thread that outlives the request does not stay in its trace.
    """
    if hasattr(threading.Thread.start, _MARK):
        return
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit

    @wraps(start)
    def start_carrying(thread: threading.Thread) -> None:
        parent = current_span()
        if parent is not None and active_tracer() is not None:
            vars(thread)["run"] = partial(_run_in, parent, thread.run)
        start(thread)

    @wraps(submit)  # type: ignore[arg-type]
    def submit_carrying(
        pool: ThreadPoolExecutor, call: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        if active_tracer() is None:
            return submit(pool, call, *args, **kwargs)
        return submit(pool, _run_in, current_span(), call, *args, **kwargs)

    setattr(start_carrying, _MARK, True)
    threading.Thread.start = start_carrying  # type: ignore[method-assign,assignment]
    ThreadPoolExecutor.submit = submit_carrying  # type: ignore[method-assign,assignment]


def _run_in(parent: Span | None, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    if parent is None:
        set_current(None)  # a pool's thread may have been started within a span
        return call(*args, **kwargs)
    token = parent.enter()
    try:
        return call(*args, **kwargs)
    finally:
        parent.leave(token)
