"""Find out what `lambda_handler` was given: a factory, a WSGI application or an ASGI application."""

import inspect
from typing import Any, Literal

from carboy.errors import UsageError

Interface = Literal["factory", "wsgi", "asgi"]

_FACTORY_NAMES = {"create_app", "make_app"}  # as Flask looks for them


def make_application(given: Any) -> tuple[Any, Literal["wsgi", "asgi"]]:
    """Return the application and its interface; a factory is called, without arguments.

    Raises:
        UsageError: it is neither WSGI nor ASGI nor a factory of one.
    """
    interface = interface_of(given)
    if interface != "factory":
        return given, interface
    application = given()
    interface = interface_of(application)
    if interface == "factory":
        raise UsageError(
            "the application cannot be started",
            f"`{_named(given)}` returned a `{type(application).__name__}` that is called without arguments",
            "return a WSGI or an ASGI application from it",
        )
    return application, interface


def interface_of(given: Any) -> Interface:
    """Return how something is to be called: by its signature, never by trying.

    Raises:
        UsageError: the interface cannot be determined.
    """
    if callable(getattr(given, "wsgi_app", None)):
        return "wsgi"  # Flask, whose __call__ a subclass may have wrapped
    try:
        signature = inspect.signature(given)
    except (TypeError, ValueError) as error:
        raise _unclear(given, "it is not callable, or does not tell how") from error
    is_async = inspect.iscoroutinefunction(given) or inspect.iscoroutinefunction(getattr(given, "__call__", None))  # noqa: B004
    takes_any = any(each.kind is each.VAR_POSITIONAL for each in signature.parameters.values())
    if takes_any and getattr(given, "__name__", "") not in _FACTORY_NAMES:
        return "asgi" if is_async else "wsgi"  # middleware often passes its arguments on unread; factories do not
    if _takes(signature, 0):
        if is_async:
            raise _unclear(given, "a factory must not be a coroutine function")
        return "factory"
    if _takes(signature, 3):
        return "asgi"
    if _takes(signature, 2) and not is_async:
        return "wsgi"
    raise _unclear(given, "its arguments are those of none of them")


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _unclear(given: Any, why: str) -> UsageError:
    return UsageError(
        f"`{_named(given)}` is not an application",
        why,
        "give a factory `() -> app`, a WSGI application `(environ, start_response)` or an ASGI application "
        "`(scope, receive, send)`",
    )


def _named(given: Any) -> str:
    return str(getattr(given, "__qualname__", None) or type(given).__qualname__)
