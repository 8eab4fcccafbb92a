"""The document is the router: a Flask blueprint whose views are compiled from it.

All that can be decided is decided here, once; a request runs through closures and looks at no document.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Request, Response, g, request
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, ValidationError

from carboy.api import typed
from carboy.api.answers import compile_answers
from carboy.api.bodies import Body, BodyStep, compile_body
from carboy.api.checks import Schemas
from carboy.api.document import Document, load_document
from carboy.api.faults import Faults
from carboy.api.grammar import PLACEHOLDER, deref
from carboy.api.operations import (
    Signature,
    argument_names,
    choose,
    find_function,
    find_in,
    public_names,
    signature_of,
)
from carboy.api.parameters import Read, Value, compile_value, parse_query, unknown_names
from carboy.api.security import Scheme, compile_security, make_scheme
from carboy.api.shape import METHODS, render_pointer
from carboy.errors import Fault
from carboy.problems import CONTENT_TYPE, Problem, render_problem

__all__ = ["base_path_of", "blueprint"]

_CONTROLLERS = ("x-openapi-router-controller", "x-swagger-router-controller")
_IGNORED_HEADERS = frozenset({"accept", "content-type", "authorization"})  # OpenAPI says so: they are told elsewhere
_NO_WORD = re.compile(r"\W+")


@dataclass(frozen=True, slots=True)
class _Options:
    strict_validation: bool
    validate_responses: bool
    pythonic_params: bool
    invalid_status: int
    parameter_status: int
    max_depth: int


@dataclass(frozen=True, slots=True)
class _Place:
    """One operation of the document: where it stands, and what it is."""

    path: str
    method: str
    node: Mapping[str, Any]
    item: Mapping[str, Any]

    @property
    def pointer(self) -> tuple[str, ...]:
        return "paths", self.path, self.method


class _Integer(BaseConverter):
    """Whole numbers with a sign."""

    regex = r"[+-]?[0-9]{1,400}"
    weight = 50

    def to_python(self, value: str) -> int:
        return int(value)


class _Number(BaseConverter):
    """Numbers as JSON writes them, and a little more."""

    regex = r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,3})?"
    weight = 50

    def to_python(self, value: str) -> float:
        number = float(value)
        if number in {float("inf"), float("-inf")}:
            raise ValidationError
        return number


def blueprint(
    document: Document | str | os.PathLike[str] | Mapping[str, Any],
    operations: Any = None,
    *,
    name: str | None = None,
    base_path: str | None = None,
    strict_validation: bool = True,
    validate_responses: bool = False,
    security: Mapping[str, Callable[..., Any]] | None = None,
    pythonic_params: bool = False,
    invalid_status: int = 422,
    parameter_status: int | None = None,
    max_depth: int = 64,
    cache_dir: str | Path | None = None,
) -> Blueprint:
    """Make the blueprint that serves a document.

    Args:
        document: a loaded document, the path of one, or a mapping.
        operations: an object whose methods are the operations, a module, or a mapping of functions by operationId; without
            it each operationId is imported, as Connexion does.
        name: the blueprint's name; by default the file's.
        base_path: where it is served; by default the path of the first server in the document.
        strict_validation: parameters and form fields that the document does not know are refused.
        validate_responses: an answer that breaks the document is logged and becomes a 500.
        security: functions that know the credentials, by the name of their scheme. Each is called with the credentials (a
            token; a key; a user name and a password) and `required_scopes`, and returns a mapping about the caller, or
            None for 401; it may raise `Problem`.
        pythonic_params: arguments are in snake case, with `_` after names that Python has taken.
        invalid_status: the status of a body that breaks its schema.
        parameter_status: the same of a parameter; by default as `invalid_status`.
        max_depth: how many arrays and objects of a JSON body may stand one in another.
        cache_dir: see `load_document`.

    Raises:
        ConfigurationError: the document is not well formed, an operation is missing or one is left over; every fault with
            its file, line and pointer.
    """
    if not isinstance(document, Document):
        document = load_document(document, cache_dir=cache_dir)
    options = _Options(
        strict_validation,
        validate_responses,
        pythonic_params,
        invalid_status,
        invalid_status if parameter_status is None else parameter_status,
        max_depth,
    )
    faults = Faults(document.name, document.origins)
    routes = _Compiler(document.content, operations, security or {}, options, faults).routes()
    prefix = base_path_of(document.content) if base_path is None else base_path
    result = Blueprint(name or _name_of(document), __name__, url_prefix=prefix.rstrip("/") or None)
    result.record(_add_converters)
    for route in routes:
        result.add_url_rule(
            route.rule, route.endpoint, route.view, methods=[route.method], provide_automatic_options=route.has_options
        )
    faults.stop_if_any()
    result.register_error_handler(Problem, _answer_problem)
    result.register_error_handler(HTTPException, _answer_http)
    return result


@dataclass(frozen=True, slots=True)
class _Route:
    rule: str
    endpoint: str
    view: Callable[..., Any]
    method: str
    has_options: bool


class _Compiler:
    """Compiles the operations of one document, and notes every fault on the way."""

    def __init__(
        self,
        content: dict[str, Any],
        operations: Any,
        security: Mapping[str, Callable[..., Any]],
        options: _Options,
        faults: Faults,
    ) -> None:
        self.content, self.operations, self.options, self.faults = content, operations, options, faults
        self.schemas = Schemas(content)
        self.used: set[str] = set()
        self.security = security
        self.schemes: dict[str, Scheme | None] = {}

    def routes(self) -> list[_Route]:
        routes = [route for place in _places(self.content) if (route := self._route(place)) is not None]
        known = self.content.get("components", {}).get("securitySchemes", {})
        for name in self.security.keys() - known.keys():
            self.faults.add(
                ("components", "securitySchemes"), f"`{name}` is handed in, and is no scheme of the document"
            )
        if self.operations is not None:
            for name in sorted(set(public_names(self.operations)) - self.used):
                self.faults.add(("paths",), f"`{name}` is handed in, and no operationId names it")
        return routes

    def _route(self, place: _Place) -> _Route | None:
        function = self._function(place)
        schemes = self._schemes(place)
        if function is None or schemes is None:
            return None
        signature = signature_of(function)
        alternatives = place.node.get("security", self.content.get("security")) or []
        authorise = compile_security(alternatives, schemes)
        values = self._values(place, signature)
        self._check_signature(place, signature, values)
        steps = self._steps(place, values, [scheme.query_name for scheme in schemes.values() if scheme.query_name])
        body = self._body(place, signature)
        try:
            finish = compile_answers(
                place.node.get("responses", {}),
                self.content,
                self.schemas,
                place.node["operationId"],
                is_checked=self.options.validate_responses,
            )
        except ValueError as error:
            self.faults.add((*place.pointer, "responses"), str(error))
            return None
        if authorise is not None:
            function = _with_caller(function, signature)
        view = _make_view(function, authorise, steps, body, finish, self.options)
        rule, endpoint = self._rule(place, values), _endpoint(place, self._controller(place))
        return _Route(rule, endpoint, view, place.method.upper(), "options" not in place.item)

    def _function(self, place: _Place) -> Callable[..., Any] | None:
        operation_id = place.node.get("operationId")
        if not operation_id:
            self.faults.add(place.pointer, "the operation has no operationId")
            return None
        try:
            if self.operations is None:
                return find_function(operation_id, self._controller(place))
            name, function = find_in(self.operations, operation_id)
        except ValueError as error:
            self.faults.add((*place.pointer, "operationId"), str(error))
            return None
        self.used.add(name)
        return function

    def _controller(self, place: _Place) -> str | None:
        if self.operations is not None:
            return None
        for node in (place.node, place.item, self.content):
            for key in _CONTROLLERS:
                if key in node:
                    return str(node[key])
        return None

    def _schemes(self, place: _Place) -> dict[str, Scheme] | None:
        known = self.content.get("components", {}).get("securitySchemes", {})
        needed = place.node.get("security", self.content.get("security")) or []
        for name in dict.fromkeys(name for one in needed for name in one):
            if name not in self.schemes:
                try:
                    self.schemes[name] = make_scheme(name, deref(self.content, known[name]), self.security.get(name))
                except ValueError as error:
                    self.schemes[name] = None
                    self.faults.add(("components", "securitySchemes", name), str(error))
        found = {name: self.schemes[name] for one in needed for name in one}
        return {name: scheme for name, scheme in found.items() if scheme} if all(found.values()) else None

    def _values(self, place: _Place, signature: Signature) -> list[Value]:
        nodes: dict[tuple[str, str], Any] = {}
        for node in (*place.item.get("parameters", ()), *place.node.get("parameters", ())):
            found = deref(self.content, node)
            nodes[found["name"], found["in"]] = found
        values = []
        for (name, where), node in nodes.items():
            if where == "header" and name.lower() in _IGNORED_HEADERS:
                continue
            argument = self._argument(name, where, signature)
            values.append(
                Value.of(
                    node,
                    argument=argument,
                    is_none_when_absent=argument in signature.required,
                    key=_key(name, where),
                    is_strict=self.options.strict_validation,
                )
            )
        return values

    def _argument(self, name: str, where: str, signature: Signature) -> str | None:
        """Return the argument of a parameter; headers and cookies are handed over only where they are asked for by name."""
        names = argument_names(_key(name, where) if where == "path" else name, is_pythonic=self.options.pythonic_params)
        if where in {"header", "cookie"}:
            return next((one for one in names if one in signature.names), None)
        return choose(names, signature)

    def _check_signature(self, place: _Place, signature: Signature, values: list[Value]) -> None:
        """Note an argument that nothing fills, one that two parameters fill, and a path parameter that is not taken."""
        given = [value.argument for value in values if value.argument is not None]
        for name in sorted({name for name in given if given.count(name) > 1}):
            self.faults.add(place.pointer, f"two parameters are the argument `{name}`")
        if place.node.get("requestBody") is None:
            for name in sorted(signature.required - set(given) - {"user", "token_info"}):
                self.faults.add((*place.pointer, "operationId"), f"nothing fills the argument `{name}` of the function")

    def _steps(self, place: _Place, values: list[Value], keys: list[str]) -> "_Steps":
        reads: dict[str, list[Read]] = {"path": [], "query": [], "header": [], "cookie": []}
        for value in values:
            try:
                reads[value.place].append(compile_value(value, self.content, self.schemas))
            except ValueError as error:
                self.faults.add((*place.pointer, "parameters"), f"`{value.name}`: {error}")
        queries = [value for value in values if value.place == "query"]
        unknown = unknown_names(queries, self.content, keys) if self.options.strict_validation else None
        return _Steps(reads["path"], reads["query"], reads["header"], reads["cookie"], unknown)

    def _body(self, place: _Place, signature: Signature) -> BodyStep | None:
        node = deref(self.content, place.node.get("requestBody"))
        if node is None or not node.get("content") or place.node.get("x-carboy-body") == "raw":
            return None
        options = self.options
        body = Body(
            node,
            self.content,
            self.schemas,
            signature,
            options.pythonic_params,
            options.strict_validation,
            options.max_depth,
        )
        try:
            return compile_body(body)
        except ValueError as error:
            self.faults.add((*place.pointer, "requestBody"), str(error))
            return None

    def _rule(self, place: _Place, values: list[Value]) -> str:
        converters = {value.name: self._converter(value) for value in values if value.place == "path"}
        return PLACEHOLDER.sub(lambda match: f"<{converters.get(match[1], '')}{_key(match[1], 'path')}>", place.path)

    def _converter(self, value: Value) -> str:
        types = typed.types_of(self.content, value.schema)
        if value.style == "simple" and types in {("integer",), ("number",)}:
            return "carboy_integer:" if types == ("integer",) else "carboy_number:"
        is_path = typed.keyword_of(self.content, value.schema, "format") == "path"
        return "path:" if is_path else ""


@dataclass(frozen=True, slots=True)
class _Steps:
    path: list[Read]
    query: list[Read]
    header: list[Read]
    cookie: list[Read]
    unknown: Callable[[Any], list[str]] | None


def _make_view(
    function: Callable[..., Any],
    authorise: Callable[[Request], Mapping[str, Any]] | None,
    steps: _Steps,
    body: BodyStep | None,
    finish: Callable[[Any], Any],
    options: _Options,
) -> Callable[..., Any]:
    """Return the view: one closure that does only what this operation needs."""
    current = request._get_current_object  # type: ignore[attr-defined]  # the request itself: every use of the proxy costs
    path_reads, query_reads, header_reads, cookie_reads = steps.path, steps.query, steps.header, steps.cookie
    unknown = steps.unknown

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
        if cookie_reads:
            for read in cookie_reads:
                read(now.cookies, kwargs, faults)
        status = options.parameter_status
        if body is not None:
            before = len(faults)
            try:
                body(now, kwargs, faults)
            except Problem as problem:
                problem.faults += tuple(faults[:before])
                raise
            if len(faults) > before:
                status = options.invalid_status
        if faults:
            raise Problem(status, "the request does not keep the document", faults=faults)
        return finish(function(**kwargs))

    return view


def _with_caller(function: Callable[..., Any], signature: Signature) -> Callable[..., Any]:
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


def _user_of(info: Mapping[str, Any]) -> Any:
    for one in (info, *(value for value in info.values() if isinstance(value, Mapping))):
        found = one.get("sub", one.get("uid"))
        if found is not None:
            return found
    return None


def _places(content: Mapping[str, Any]) -> Iterator[_Place]:
    for path, item in (content.get("paths") or {}).items():
        if path.startswith("/"):
            for method in METHODS:
                if method in item:
                    yield _Place(path, method, item[method], item)


def _key(name: str, where: str) -> str:
    """Return the name under which a request holds a parameter."""
    if where == "path":
        return _NO_WORD.sub("_", name)
    return "HTTP_" + name.upper().replace("-", "_") if where == "header" else name


def _endpoint(place: _Place, controller: str | None) -> str:
    operation_id = place.node["operationId"]
    return (f"{controller}.{operation_id}" if controller else operation_id).replace(".", "_")


def base_path_of(content: Mapping[str, Any]) -> str:
    servers = content.get("servers") or [{"url": "/"}]
    server = servers[0]
    variables = {name: variable["default"] for name, variable in server.get("variables", {}).items()}
    url = PLACEHOLDER.sub(lambda match: variables.get(match[1], ""), server["url"])
    return "/" + urlsplit(url).path.strip("/")


def _name_of(document: Document) -> str:
    return _NO_WORD.sub("_", Path(document.name).stem).strip("_").lower() or "api"


def _add_converters(state: BlueprintSetupState) -> None:
    state.app.url_map.converters |= {"carboy_integer": _Integer, "carboy_number": _Number}


def _answer_problem(problem: Problem) -> Response:
    data = render_problem(problem, request.path, g.get("request_id", ""))
    return Response(data, problem.status, problem.headers, content_type=CONTENT_TYPE)


def _answer_http(error: HTTPException) -> Any:
    """Answer what Flask or an operation aborts with: the same status and headers, as a problem."""
    if error.response is not None or error.code is None or error.code < 400:
        return error
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    return _answer_problem(Problem(error.code, error.description or error.name, title=error.name, headers=headers))
