"""Turn every error into a problem document: Carboy's, werkzeug's, and unexpected ones."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from werkzeug.exceptions import HTTPException, default_exceptions

from carboy.errors import CarboyError, InvalidInput, Throttled, UpstreamError
from carboy.extension import find_extension
from carboy.http_values import render_retry_after
from carboy.logs import BoundLogger, get_logger, request_id
from carboy.problems import CONTENT_TYPE, Problem, render_problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from flask import Flask
    from flask.typing import ResponseReturnValue
    from werkzeug.datastructures import MIMEAccept

log: BoundLogger = get_logger(__name__)

INTERNAL = "the service failed; see its log under this request's id"
_UPSTREAM = "a service that this one needs did not do its part; try again later"
_DETAILS = {404: "there is nothing at this address", 405: "this address does not take this method"}


def problem_of(error: Exception, retry_after_s: int = 5) -> Problem:
    """Return the problem document of an error: an expected one is explained, an unexpected one is not.

    Args:
        error: the exception.
        retry_after_s: the value of `Retry-After` where an upstream sent none.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, InvalidInput):
        return Problem(422, str(error), faults=error.faults)
    if _is_outage(error):
        asked_s = error.retry_after_s if isinstance(error, Throttled) else 0.0
        return Problem(503, _UPSTREAM, headers={"Retry-After": render_retry_after(max(asked_s, retry_after_s))})
    if _is_database_unavailable(getattr(error, "original_exception", error)):
        return Problem(503, _UPSTREAM, headers={"Retry-After": render_retry_after(retry_after_s)})
    if _is_bad_value(getattr(error, "original_exception", error)):
        return Problem(422, "a value cannot be stored: it is too long, too large, or holds characters such as NUL")
    if isinstance(error, HTTPException) and error.code is not None and error.code != 500:
        return _of_werkzeug(error, error.code)
    return Problem(500, INTERNAL)


def _is_outage(error: Exception) -> bool:
    return isinstance(error, UpstreamError) and error.is_outage


def too_many(wait_s: float) -> Problem:
    """Return the 429 of a caller who sent too many requests."""
    return Problem(429, "too many requests", headers={"Retry-After": render_retry_after(wait_s)})


def handle_problems(
    app: "Flask", retry_after_s: int, show_path: Callable[[str], str], *, has_pages: bool = False
) -> None:
    """Make an application respond to errors with problem documents, and log its own faults once.

    Args:
        app: the application.
        retry_after_s: see `problem_of`.
        show_path: masks secrets in a path.
        has_pages: whether the application has pages for browsers: who prefers HTML gets Flask's own error page, and
            handlers of the application for `HTTPException` and `Exception` keep the HTTP errors that they had.
    """
    from flask import Flask, request

    def log_exception(exc_info: Any) -> None:
        if app.debug and is_debugged(request.environ):
            raise exc_info[1]  # the debugger shows it
        if has_pages:  # the application's own handlers may send it by mail
            app.logger.error("Exception on %s [%s]", show_path(request.path), request.method, exc_info=exc_info)
            return
        log.error("request_failed", endpoint=request.endpoint, method=request.method, exc_info=exc_info)

    answer = problem_answerer(app, retry_after_s, show_path, has_pages=has_pages)
    if not has_pages or HTTPException not in app.error_handler_spec[None][None]:
        app.register_error_handler(HTTPException, answer)
    app.register_error_handler(CarboyError, answer)
    if type(app).log_exception is Flask.log_exception and "log_exception" not in vars(app):
        vars(app)["log_exception"] = log_exception  # Flask's own names the path, which may hold a secret


def answer_own_problems(app: "Flask", retry_after_s: int, show_path: Callable[[str], str]) -> None:
    """Make an application respond to a raised `Problem`, and leave all other errors to it.

    Other parts raise it, also in an application without the part `problems`: 401 without a key, 503 while not ready.
    """
    app.register_error_handler(Problem, problem_answerer(app, retry_after_s, show_path, has_pages=True))


def problem_answerer(
    app: "Flask", retry_after_s: int, show_path: Callable[[str], str], *, has_pages: bool
) -> "Callable[[Exception], ResponseReturnValue]":
    """Return the error handler that responds with a problem document, or with a page; see `handle_problems`."""
    from flask import Response, current_app, g, request

    def answer(error: Exception) -> "ResponseReturnValue":
        if isinstance(error, HTTPException) and (error.response is not None or (error.code or 0) < 400):
            return error  # a finished answer, or a redirect: not an error
        own_handler = app.error_handler_spec[None][None].get(Exception) if has_pages else None
        if own_handler is not None and isinstance(error, HTTPException):
            return cast(
                "ResponseReturnValue", app.ensure_sync(own_handler)(getattr(error, "original_exception", error))
            )
        problem = problem_of(error, retry_after_s)
        if isinstance(error, CarboyError) and problem.status >= 500:
            _log(error, problem)
        make_page = getattr(find_extension(current_app), "error_page", None)
        page = make_page(request.environ, problem) if make_page is not None else None
        if page is not None:
            return Response(page[0], problem.status, {**problem.headers, **page[1]})
        if has_pages and _wants_page(app, error, request.accept_mimetypes):
            return error if isinstance(error, HTTPException) and error.code == problem.status else _page(problem)
        body = render_problem(problem, request.root_path + show_path(request.path), g.get("request_id") or request_id())
        headers = {**problem.headers, "Vary": "Accept"} if make_page is not None else problem.headers
        return Response(body, problem.status, headers, content_type=CONTENT_TYPE)

    return answer


def _wants_page(app: "Flask", error: Exception, accepted: "MIMEAccept") -> bool:
    """Return whether a client gets Flask's page: it prefers HTML, or accepts anything and the application has pages."""
    if accepted.best not in {None, "*/*"}:
        return accepted["text/html"] > accepted["application/json"]
    return not isinstance(error, CarboyError) and has_status_handlers(app)


def answer_refusal(
    app: "Flask", problem: Problem, answer: "Callable[[Exception], ResponseReturnValue]"
) -> "ResponseReturnValue":
    """Respond to a request that is refused before any view: by the application's own handler for its status, if any."""
    from flask import request

    kind = default_exceptions.get(problem.status)
    error = None if kind is None else kind(problem.detail)
    handler = None if error is None else _own_handler(app, error, request.blueprints)
    if handler is None:
        return answer(problem)
    response = app.make_response(app.ensure_sync(handler)(error))
    for name, value in problem.headers.items():
        response.headers.setdefault(name, value)
    return response


def has_own_handlers(app: "Flask") -> bool:
    """Return whether an application has error handlers besides Carboy's."""
    specs = (handlers for codes in app.error_handler_spec.values() for handlers in codes.values())
    return any(_is_own(handler) for handlers in specs for handler in handlers.values())


def has_status_handlers(app: "Flask") -> bool:
    """Return whether an application has handlers of its own for HTTP statuses: it has chosen how errors look."""
    return any(
        code is not None and _is_own(handler)
        for codes in app.error_handler_spec.values()
        for code, handlers in codes.items()
        for handler in handlers.values()
    )


def _own_handler(app: "Flask", error: HTTPException, blueprints: list[str]) -> "Callable[..., Any] | None":
    """Return the handler that Flask would call for an error, if it is the application's own."""
    found: Callable[..., Any] | None = app._find_error_handler(error, blueprints)
    return found if found is None or _is_own(found) else app.error_handler_spec[None][None].get(Exception)


def _is_own(handler: "Callable[..., Any]") -> bool:
    return handler.__module__ != __name__


def is_debugged(environ: "WSGIEnvironment") -> bool:
    """Return whether werkzeug's debugger wraps the application."""
    return "werkzeug.debug.preserve_context" in environ


def _page(problem: Problem) -> "ResponseReturnValue":
    """Return werkzeug's error page for a problem."""
    error = HTTPException(problem.detail)
    error.code = problem.status
    response = error.get_response()
    response.headers.extend(problem.headers)
    return cast("ResponseReturnValue", response)


def _is_database_unavailable(error: BaseException) -> bool:
    """Check without importing SQLAlchemy: a process that has not loaded it does not raise its errors."""
    if "sqlalchemy.exc" not in sys.modules:
        return False
    from carboy.db import is_unavailable

    return is_unavailable(error)


def _is_bad_value(error: BaseException) -> bool:
    """Return whether the database cannot hold or compare a value of the request, such as a NUL in PostgreSQL."""
    known = sys.modules.get("sqlalchemy.exc")
    return known is not None and isinstance(error, known.DataError)


def _of_werkzeug(error: HTTPException, code: int) -> Problem:
    """Keep werkzeug's description and headers (`Allow`, `Retry-After`, `WWW-Authenticate`), not its HTML."""
    own = {"content-type", "content-length"}
    headers = {name: value for name, value in error.get_headers() if name.lower() not in own}
    detail = error.description if error.description != type(error).description else _DETAILS.get(code)
    return Problem(code, detail or error.description or error.name, title=error.name, headers=headers)


def _log(error: CarboyError, problem: Problem) -> None:
    facts = {"status": problem.status, "what": error.what, "why": error.why, "hint": error.hint}
    if _is_outage(error) or isinstance(error, Problem):
        log.warning("request_refused" if isinstance(error, Problem) else "upstream_failed", **facts)
    else:
        log.error("request_failed", **facts, exc_info=error)
