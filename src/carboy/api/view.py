"""The view of one operation: a closure that does only what the operation needs, and how faults are answered."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flask import Request, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from carboy.api.operations import Signature
from carboy.api.parameters import Given, Read, parse_query
from carboy.api.request_body import BodyStep
from carboy.api.responses import Finish
from carboy.api.security import Authorise
from carboy.api.walk import render_pointer
from carboy.errors import Fault
from carboy.problems import CONTENT_TYPE, Problem, render_problem

__all__ = ["Steps", "answer_http", "answer_problem", "make_view", "with_caller"]


class Steps(NamedTuple):
    """What a request of one operation goes through before its function is called.

    Attributes:
        authorise: lets the caller in or raises; None when anybody may call.
        path: readers of the path's parameters.
        query: the same of the query's.
        header: the same of the headers'.
        cookie: the same of the cookies'.
        unknown: lists the names in the query that nobody described; None when any may be there.
        body: reads the body; None when it is let be.
    """

    authorise: Authorise | None
    path: list[Read]
    query: list[Read]
    header: list[Read]
    cookie: list[Read]
    unknown: Callable[[Given], list[str]] | None
    body: BodyStep | None


def make_view(
    function: Callable[..., Any], steps: Steps, finish: Finish, *, invalid_status: int, parameter_status: int
) -> Callable[..., Any]:
    """Return the view of an operation.

    Args:
        function: what the document's operation names.
        steps: what comes before it.
        finish: makes a response of what it returns.
        invalid_status: the status of a body that breaks its schema.
        parameter_status: the status of a parameter that does.
    """
    current = request._get_current_object  # type: ignore[attr-defined]  # the request itself: each use of the proxy costs
    authorise, body, unknown = steps.authorise, steps.body, steps.unknown
    path_reads, query_reads, header_reads, cookie_reads = steps.path, steps.query, steps.header, steps.cookie

    def view(**path: Any) -> Any:
        now: Request = current()
        environ = now.environ
        if authorise is not None:
            g.carboy_auth = authorise(now)
        kwargs: dict[str, Any] = {}
        faults: list[Fault] = []
        for read in path_reads:
            read(path, kwargs, faults)
        text = environ.get("QUERY_STRING")
        given = parse_query(text) if text else {}
        for read in query_reads:
            read(given, kwargs, faults)
        if given and unknown is not None:
            faults.extend(Fault(render_pointer(("query", name)), "is not known here") for name in unknown(given))
        for read in header_reads:
            read(environ, kwargs, faults)
        for read in cookie_reads:
            read(now.cookies, kwargs, faults)
        status = parameter_status
        if body is not None:
            before = len(faults)
            try:
                body(now, kwargs, faults)
            except Problem as problem:
                problem.faults += tuple(faults[:before])
                raise
            if len(faults) > before:
                status = invalid_status
        if faults:
            raise Problem(status, "the request does not keep the document", faults=faults)
        return finish(function(**kwargs))

    return view


def with_caller(function: Callable[..., Any], signature: Signature) -> Callable[..., Any]:
    """Hand over `user` and `token_info`, as Connexion does, to a function that takes them."""
    takes_user, takes_info = signature.takes("user"), signature.takes("token_info")
    if not takes_user and not takes_info:
        return function

    def call(**kwargs: Any) -> Any:
        info = g.carboy_auth
        if takes_user:
            kwargs["user"] = _user_of(info)
        if takes_info:
            kwargs["token_info"] = info
        return function(**kwargs)

    return call


def answer_problem(problem: Problem) -> Any:
    """Answer a problem as its document, or as the application does when it has a handler of its own."""
    own = _handler_of_application(problem, None)
    if own is not None:
        return own(problem)
    data = render_problem(problem, request.path, g.get("request_id", ""))
    return Response(data, problem.status, problem.headers, content_type=CONTENT_TYPE)


def answer_http(error: HTTPException) -> Any:
    """Answer what Flask or an operation aborts with: the same status and headers, as a problem."""
    if error.response is not None or error.code is None or error.code < 400:
        return error
    own = _handler_of_application(error, error.code)
    if own is not None:
        return own(error)
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    return answer_problem(Problem(error.code, error.description or error.name, title=error.name, headers=headers))


def _handler_of_application(error: Exception, code: int | None) -> Callable[[Exception], Any] | None:
    """Find what the application itself does with an error: a blueprint's handlers would come before it."""
    handlers = current_app.error_handler_spec.get(None, {})
    for by_class in (handlers.get(code, {}), handlers.get(None, {})):
        for kind in type(error).__mro__:
            if kind in by_class:
                return by_class[kind]
    return None


def _user_of(info: Mapping[str, Any]) -> Any:
    for one in (info, *(value for value in info.values() if isinstance(value, Mapping))):
        found = one.get("sub", one.get("uid"))
        if found is not None:
            return found
    return None
