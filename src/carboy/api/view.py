"""The view of one operation: a closure that does only what the operation needs, and how faults are answered."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flask import Request, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from carboy.api.operations import Signature
from carboy.api.parameters import Given, Read, parse_query
from carboy.api.raw_body import BodyStep
from carboy.api.responses import Finish
from carboy.api.security import Authorise, Caller, anonymous
from carboy.errors import Fault
from carboy.http_values import render_pointer
from carboy.problems import CONTENT_TYPE, Problem, render_problem
from carboy.raw_request import RawRequest

CallerStep = Callable[[Request, Caller, dict[str, Any]], None]


class Steps(NamedTuple):
    """What a request of one operation goes through before its function is called.

    Attributes:
        authorise: returns the caller or raises; None when no credentials are needed.
        path: readers of the path's parameters.
        query: the same of the query's.
        header: the same of the headers'.
        cookie: the same of the cookies'.
        unknown: lists the names in the query that the document does not describe; None when any may be there.
        body: reads the body; None when it is left to the function.
        caller: fills the arguments that are about the caller; None when the function takes none.
    """

    authorise: Authorise | None
    path: list[Read]
    query: list[Read]
    header: list[Read]
    cookie: list[Read]
    unknown: Callable[[Given], list[str]] | None
    body: BodyStep | None
    caller: CallerStep | None = None


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
    enter, body, unknown = _compile_entry(steps.authorise, steps.caller), steps.body, steps.unknown
    path_reads, query_reads, header_reads, cookie_reads = steps.path, steps.query, steps.header, steps.cookie

    def view(**path: Any) -> Any:
        now: Request = current()
        environ = now.environ
        kwargs: dict[str, Any] = {}
        verified = enter(now, kwargs)
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
        if verified is not None:
            kwargs |= {"body": verified.body} if body is not None else {}
        elif body is not None:
            before = len(faults)
            try:
                body(now, kwargs, faults)
            except Problem as problem:
                problem.faults += tuple(faults[:before])
                raise
            if len(faults) > before:
                status = invalid_status
        if faults:
            raise Problem(status, "the request does not match the OpenAPI document", faults=faults)
        return finish(function(**kwargs))

    return view


def _compile_entry(
    authorise: Authorise | None, fill_caller: CallerStep | None
) -> Callable[[Request, dict[str, Any]], RawRequest | None]:
    """Return what lets the caller in or raises; it returns the request that a security scheme verified and read."""

    def enter(now: Request, kwargs: dict[str, Any]) -> RawRequest | None:
        if authorise is None:
            if fill_caller is not None:
                fill_caller(now, anonymous(now), kwargs)
            return None
        caller = authorise(now)
        g.carboy_auth = caller.info
        if fill_caller is not None:
            fill_caller(now, caller, kwargs)
        return caller.request

    return enter


def compile_caller(signature: Signature, media_types: list[str], *, is_secured: bool) -> CallerStep | None:
    """Return what fills `caller`, and `user` and `token_info` as in Connexion, where the function takes them.

    A function that takes `media_type` gets the one of the response's media types that `Accept` prefers.
    """
    takes_caller, takes_media_type = "caller" in signature.names, "media_type" in signature.names
    takes_user, takes_info = (is_secured and signature.takes(name) for name in ("user", "token_info"))
    if not (takes_caller or takes_media_type or takes_user or takes_info):
        return None

    def fill(request: Request, caller: Caller, kwargs: dict[str, Any]) -> None:
        if takes_caller:
            kwargs["caller"] = caller
        if takes_user:
            kwargs["user"] = _user_of(caller.info)
        if takes_info:
            kwargs["token_info"] = caller.info
        if takes_media_type:
            is_any = request.environ.get("HTTP_ACCEPT", "*/*") == "*/*"
            kwargs["media_type"] = media_types[0] if is_any else request.accept_mimetypes.best_match(media_types)

    return fill


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
