"""The document is the router: a Flask blueprint whose views are compiled from it.

All that can be decided is decided here, once; a request runs through closures and looks at no document.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flask import Blueprint
from werkzeug.exceptions import HTTPException

from carboy.api.document_errors import Faults
from carboy.api.loading import load_document
from carboy.api.model import Document
from carboy.api.operations import (
    Signature,
    argument_names,
    choose,
    find_in,
    import_function,
    public_names,
    signature_of,
    synchronous,
)
from carboy.api.parameters import Read, Value, compile_value, unknown_names
from carboy.api.raw_body import BodyStep, compile_parsed_body, compile_raw_body
from carboy.api.request_body import Body, arguments_of, compile_body
from carboy.api.responses import Finish, compile_answers
from carboy.api.routing import (
    Place,
    Route,
    add_converters,
    base_path_of,
    full_name,
    key_of,
    path_keys,
    places,
    refuse_method,
    rule_of,
    shadowed_methods,
    slug,
)
from carboy.api.security import Scheme, compile_security, make_scheme
from carboy.api.validators import Schemas
from carboy.api.view import Steps, answer_http, answer_problem, compile_caller, make_view
from carboy.api.walk import deref
from carboy.problems import Problem

_CONTROLLERS = ("x-openapi-router-controller", "x-swagger-router-controller")
_IGNORED_HEADERS = frozenset({"accept", "content-type", "authorization"})  # OpenAPI describes them elsewhere


class _Options(NamedTuple):
    strict_validation: bool
    validate_responses: bool
    pythonic_params: bool
    invalid_status: int
    parameter_status: int
    max_depth: int


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
        operations: an object whose methods are the operations, a module, or a mapping of functions by operationId;
            without it each operationId is imported, as Connexion does.
        name: the blueprint's name; by default the file's.
        base_path: where it is served; by default the path of the first server in the document.
        strict_validation: parameters and form fields that the document does not know are refused.
        validate_responses: an answer that breaks the document is logged and becomes a 500.
        security: functions that know the credentials, by the name of their scheme. Each is called with the credentials
            (a token; a key; a user name and a password) and, if it takes it, `required_scopes`, and returns a mapping
            about the caller, or None for 401; it may raise `Problem`. One with the argument `request` gets a
            `RawRequest` in place of credentials: it verifies the request itself and returns a `Caller`, or None where
            the request does not use the scheme; it may raise `Answered` to send the response of a handshake.
        pythonic_params: arguments are in snake case, with `_` after names that Python has taken.
        invalid_status: the status of a body that breaks its schema.
        parameter_status: the same of a parameter; by default as `invalid_status`.
        max_depth: how many arrays and objects of a JSON body may stand one in another.
        cache_dir: see `load_document`.

    Raises:
        ConfigurationError: the document is not well formed, an operation is missing or one is left over; every fault
            with its file, line and pointer.
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
    faults.stop_if_any()
    prefix = base_path_of(document.content) if base_path is None else base_path
    return _blueprint_of(name or slug(Path(document.name).stem), prefix.rstrip("/"), routes)


def _blueprint_of(name: str, prefix: str, routes: Iterable[Route]) -> Blueprint:
    result = Blueprint(name, __name__, url_prefix=prefix or None)
    result.record(add_converters)
    routes = list(routes)
    for rule, allowed, others in shadowed_methods([(route.rule, route.method) for route in routes]):
        result.add_url_rule(rule, f"{slug(rule)}_not_allowed", refuse_method(allowed), methods=others)
    for route in routes:
        result.add_url_rule(
            route.rule,
            route.endpoint,
            route.view,
            methods=[route.method],
            provide_automatic_options=None if route.has_automatic_options else False,
            merge_slashes=False,  # no redirect: many a client does not follow one
        )
    result.register_error_handler(Problem, answer_problem)
    result.register_error_handler(HTTPException, answer_http)
    return result


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
        self._content, self._operations, self._options, self._faults = content, operations, options, faults
        self._schemas = Schemas(content)
        self._handed_in = security
        self._known_schemes: Mapping[str, Any] = content.get("components", {}).get("securitySchemes", {})
        self._schemes: dict[str, Scheme | None] = {}
        self._used: set[str] = set()

    def routes(self) -> list[Route]:
        """Return the routes of all operations that can be served."""
        routes = [route for place in places(self._content) if (route := self._route(place)) is not None]
        for name in sorted(self._handed_in.keys() - self._known_schemes.keys()):
            detail = f"`{name}` is handed in, and is no scheme of the document"
            self._faults.add(("components", "securitySchemes"), detail)
        if self._operations is not None:
            for name in sorted(set(public_names(self._operations)) - self._used):
                self._faults.add(("paths",), f"`{name}` is handed in, and no operationId names it")
        return routes

    def _route(self, place: Place) -> Route | None:
        function = self._function(place)
        needed = place.node.get("security", self._content.get("security")) or []
        schemes = {name: scheme for one in needed for name in one if (scheme := self._scheme(name)) is not None}
        if function is None or any(name not in schemes for one in needed for name in one):
            return None
        signature, authorise = signature_of(function), compile_security(needed, schemes)
        keys = [scheme.query_name for scheme in schemes.values()]
        values, (body, arguments) = self._values(place, signature, keys), self._body(place, signature)
        filled = {"caller", "media_type", *(("user", "token_info") if authorise is not None else ())}
        self._check_signature(place, signature, values, filled | arguments)
        reads = self._reads(values)
        queries = [value for value in values if value.place == "query"]
        unknown = unknown_names(queries, self._content, keys) if self._options.strict_validation else None
        view = make_view(
            function,
            Steps(
                authorise,
                **reads,
                unknown=unknown,
                body=body,
                caller=compile_caller(signature, self._media_types(place), is_secured=authorise is not None),
            ),
            self._finish(place),
            invalid_status=self._options.invalid_status,
            parameter_status=self._options.parameter_status,
        )
        rule = rule_of(place.path, values, self._content)
        endpoint = full_name(place.node["operationId"], self._controller(place)).replace(".", "_")
        return Route(rule, endpoint, view, place.method.upper(), "options" not in place.item)

    def _function(self, place: Place) -> Callable[..., Any] | None:
        operation_id = place.node.get("operationId")
        if not operation_id:
            self._faults.add(place.pointer, "the operation has no operationId")
            return None
        try:
            if self._operations is None:
                return import_function(full_name(operation_id, self._controller(place)))
            name, function = find_in(self._operations, operation_id)
        except ValueError as error:
            self._faults.add((*place.pointer, "operationId"), str(error))
            return None
        self._used.add(name)
        return function

    def _controller(self, place: Place) -> str | None:
        if self._operations is None:
            for node in (place.node, place.item, self._content):
                for key in _CONTROLLERS:
                    if key in node:
                        return str(node[key])
        return None

    def _scheme(self, name: str) -> Scheme | None:
        if name not in self._schemes:
            self._schemes[name] = None
            node = deref(self._content, self._known_schemes[name])
            try:
                handed_in = self._handed_in.get(name)
                verify = None if handed_in is None else synchronous(handed_in, name)
                self._schemes[name] = make_scheme(name, node, verify)
            except ValueError as error:
                self._faults.add(("components", "securitySchemes", name), str(error))
        return self._schemes[name]

    def _values(self, place: Place, signature: Signature, keys_in_query: Iterable[str]) -> list[Value]:
        nodes: dict[tuple[str, str], Any] = {}
        for node in (*place.item.get("parameters", ()), *place.node.get("parameters", ())):
            found = deref(self._content, node)
            nodes[found["name"], found["in"]] = found
        values, keys = [], path_keys(place.path)
        queries = {*keys_in_query, *(name for name, where in nodes if where == "query")}
        for (name, where), node in nodes.items():
            if where == "header" and name.lower() in _IGNORED_HEADERS:
                continue
            argument = self._argument(name, where, signature)
            more: dict[str, Any] = {"argument": argument, "is_none_when_absent": argument in signature.required}
            more |= {
                "key": keys[name] if where == "path" else key_of(name, where),
                "others": frozenset(queries - {name}),
            }
            values.append(Value.of(node, is_strict=self._options.strict_validation, **more))
        return values

    def _argument(self, name: str, where: str, signature: Signature) -> str | None:
        """Return the argument of a parameter; headers and cookies are passed only to functions that name them."""
        name = key_of(name, where) if where == "path" and name.isascii() else name
        names = argument_names(name, is_pythonic=self._options.pythonic_params)
        if where in {"header", "cookie"}:
            return next((one for one in names if one in signature.names), None)
        return choose(names, signature)

    def _check_signature(self, place: Place, signature: Signature, values: list[Value], others: set[str]) -> None:
        """Note an argument that two parameters fill, and one that nothing does."""
        given = [value.argument for value in values if value.argument is not None]
        for name in sorted({name for name in given if given.count(name) > 1}):
            self._faults.add(place.pointer, f"two parameters are the argument `{name}` of the function")
        for name in sorted(signature.required - {*given} - others):
            self._faults.add((*place.pointer, "operationId"), f"nothing fills the argument `{name}` of the function")

    def _reads(self, values: list[Value]) -> dict[str, list[Read]]:
        reads: dict[str, list[Read]] = {"path": [], "query": [], "header": [], "cookie": []}
        for value in values:
            reads[value.place].append(compile_value(value, self._content, self._schemas))
        return reads

    def _body(self, place: Place, signature: Signature) -> tuple[BodyStep | None, set[str]]:
        """Return what reads the body, and the arguments that it fills."""
        node = deref(self._content, place.node.get("requestBody"))
        options, form = self._options, place.node.get("x-carboy-body")
        if node is None or not node.get("content"):
            return None, set()
        if form in {"raw", "parsed"}:
            if "body" not in signature.names:
                return None, set()
            return compile_raw_body(node) if form == "raw" else compile_parsed_body(options.max_depth), {"body"}
        body = Body(
            node,
            self._content,
            self._schemas,
            signature,
            options.pythonic_params,
            options.strict_validation,
            options.max_depth,
        )
        return compile_body(body), arguments_of(body)

    def _media_types(self, place: Place) -> list[str]:
        """Return the media types of the first successful response, in the document's order."""
        for status, node in place.node.get("responses", {}).items():
            if status.startswith("2"):
                return list(deref(self._content, node).get("content", {}))
        return []

    def _finish(self, place: Place) -> Finish:
        is_checked = self._options.validate_responses
        responses, operation_id = place.node.get("responses", {}), str(place.node["operationId"])
        return compile_answers(responses, self._content, self._schemas, operation_id, is_checked=is_checked)
