"""`@trace()`: a span around every call of a function, a method, a generator or a coroutine."""

import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from functools import partial, wraps
from typing import Any, TypeVar, overload

from carboy.errors import UsageError
from carboy.redact import MASK, is_secret_name
from carboy.trace.current import active_tracer
from carboy.trace.sanitize import clean_name
from carboy.trace.spans import Span, current_span

Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def trace(name: Function, /) -> Function: ...
@overload
def trace(name: str | None = None, *, skip_args: bool = False) -> Callable[[Function], Function]: ...
def trace(name: Any = None, *, skip_args: bool = False) -> Any:
    """Return a decorator that gives each call of a function a span: `@trace()`, `@trace("name")` or `@trace`.

    It is within the span that the caller works in. The outermost one is a segment of its own; on AWS Lambda it is
    within the function's. A generator's span lasts from its first step to its end, and only its own steps are in it.

    Args:
        name: the span's; the function's own by default.
        skip_args: leave the arguments out of the trace; else they are its metadata, and those whose names sound
            secret are masked.

    Raises:
        UsageError: what is decorated cannot be called.
    """
    label = name if isinstance(name, str) else None

    def decorate(function: Any) -> Any:
        if isinstance(function, staticmethod | classmethod):
            return type(function)(decorate(function.__func__))
        if not callable(function):
            raise UsageError(
                "`@trace` cannot be applied",
                f"a {type(function).__name__} is not a function",
                "put it right above `def`, or below the other decorators",
            )
        return _decorate(function, clean_name(label or _name_of(function)), skip_args)

    return decorate if name is None or label is not None else decorate(name)


def _decorate(function: Callable[..., Any], label: str, skip_args: bool) -> Callable[..., Any]:
    note = None if skip_args else _Arguments(function)
    called = function if inspect.isroutine(function) or isinstance(function, partial) else type(function).__call__
    if inspect.isasyncgenfunction(called):
        return _trace_async_generator(function, label, note)
    if inspect.iscoroutinefunction(called):
        return _trace_coroutine(function, label, note)
    if inspect.isgeneratorfunction(called):
        return _trace_generator(function, label, note)
    return _trace_function(function, label, note)


def _name_of(function: Any) -> str:
    if isinstance(function, partial):
        return _name_of(function.func)
    return str(getattr(function, "__name__", type(function).__name__))


class _Arguments:
    """What a call was given, by what is known of the function once."""

    __slots__ = ("_is_method", "_secret")

    def __init__(self, function: Callable[..., Any]) -> None:
        try:
            names = list(inspect.signature(function).parameters)
        except (TypeError, ValueError):  # one that is written in C
            names = []
        owner = str(getattr(function, "__qualname__", "")).rpartition(".")[0]
        self._is_method = bool(owner) and not owner.endswith("<locals>") and names[:1] in (["self"], ["cls"])
        self._secret = [place for place, each in enumerate(names) if is_secret_name(each)]

    def __call__(self, span: Span, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        shown = list(args)
        for place in self._secret:
            if place < len(shown):
                shown[place] = MASK
        span.metadata = {"args": shown[1:] if self._is_method else shown, "kwargs": kwargs}


Note = _Arguments | None


def _begin(label: str, note: Note, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Span | None:
    parent = current_span()
    if parent is None:
        tracer = active_tracer()
        if tracer is None:
            return None
        span = tracer.begin_alone(label)
    elif not parent.is_sampled or parent.root.is_over:
        return None
    else:
        span = parent.tracer.begin_child(parent, label)
    if note is not None and span.is_sampled:
        note(span, args, kwargs)
    return span


def _trace_function(function: Callable[..., Any], label: str, note: Note) -> Callable[..., Any]:
    @wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        parent = current_span()
        if parent is not None and not parent.is_sampled:
            return function(*args, **kwargs)
        span = _begin(label, note, args, kwargs)
        if span is None:
            return function(*args, **kwargs)
        token = span.enter()
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            span.fail(error)
            raise
        finally:
            span.leave(token)
            span.end()

    return traced


def _trace_coroutine(function: Callable[..., Any], label: str, note: Note) -> Callable[..., Any]:
    @wraps(function)
    async def traced(*args: Any, **kwargs: Any) -> Any:
        span = _begin(label, note, args, kwargs)
        if span is None:
            return await function(*args, **kwargs)
        with span:
            return await function(*args, **kwargs)

    return traced


def _trace_generator(function: Callable[..., Any], label: str, note: Note) -> Callable[..., Any]:
    @wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        span = _begin(label, note, args, kwargs)
        inner = function(*args, **kwargs)
        if span is None:
            return (yield from inner)
        try:
            step, given = inner.send, None
            while True:
                token = span.enter()
                try:
                    item = step(given)
                except StopIteration as over:
                    return over.value
                finally:
                    span.leave(token)
                try:
                    given = yield item
                    step = inner.send
                except GeneratorExit:
                    inner.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - it is the generator's
                    step, given = inner.throw, error
        except BaseException as error:
            span.fail(error)
            raise
        finally:
            span.end()

    return traced


def _trace_async_generator(function: Callable[..., Any], label: str, note: Note) -> Callable[..., Any]:
    @wraps(function)
    async def traced(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        span = _begin(label, note, args, kwargs)
        inner = function(*args, **kwargs)
        try:
            step, given = inner.asend, None
            while True:
                token = span.enter() if span is not None else None
                try:
                    item = await step(given)
                except StopAsyncIteration:
                    return
                finally:
                    if span is not None:
                        span.leave(token)
                try:
                    given = yield item
                    step = inner.asend
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - it is the generator's
                    step, given = inner.athrow, error
        except BaseException as error:
            if span is not None:
                span.fail(error)
            raise
        finally:
            if span is not None:
                span.end()

    return traced
