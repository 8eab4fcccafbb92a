"""Compile the security requirements of an operation: take the credentials, call the function that knows them.

Alternatives are tried in the document's order, an empty one last. Of several failures the response is
403 before 401. A function that takes `request` verifies the whole request, as signatures of webhooks need; what it
refuses is refused, whatever the other alternatives are. Credentials are never part of a message.

Source: OpenAPI 3.1.1, section 4.8.30; RFC 6750, section 3; RFC 7617; Connexion 2.14, "Security".
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flask import Request, Response
from werkzeug.exceptions import HTTPException

from carboy.api.operations import import_function, signature_of
from carboy.api.raw_body import read_body
from carboy.problems import Problem
from carboy.raw_request import RawRequest


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls an operation, once its security has let the request in.

    Attributes:
        id: of the key, user or sender; empty for an anonymous caller.
        address: the client's address, behind the trusted proxies.
        info: what the function of the security scheme returned; of several schemes a mapping of these by scheme.
        request: the request that a scheme verified, with the body to go on with; None where the credentials alone did.
    """

    id: str = ""
    address: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    request: RawRequest | None = None


class Answered(HTTPException):
    """Ends a request with a response before its operation: what a handshake asks for.

    Args:
        response: the response.
    """

    def __init__(self, response: Response) -> None:
        super().__init__(response.status, response)


Authorise = Callable[[Request], Caller]
_Credentials = tuple[Any, ...] | None
_Way = Callable[[Request], Caller | None]

_FUNCTION_KEYS = {
    "apiKey": "x-apikeyInfoFunc",
    "basic": "x-basicInfoFunc",
    "bearer": "x-bearerInfoFunc",
    "oauth2": "x-tokenInfoFunc",
    "openIdConnect": "x-tokenInfoFunc",
}


class Scheme(NamedTuple):
    """A security scheme of the document, with the function that knows its credentials.

    Attributes:
        name: as in the document.
        kind: `apiKey`, `basic`, `bearer`, `oauth2`, `openIdConnect`, or another HTTP scheme in lower case; `request`
            where the function verifies the whole request.
        take: gets the credentials out of a request; None when they are not there.
        verify: the function, called with the credentials.
        takes_scopes: the function takes `required_scopes`.
        judge_scopes: called with the scopes needed and those that are there.
        challenge: the value of `WWW-Authenticate`.
        query_name: the parameter of the query that holds the key, or empty.
    """

    name: str
    kind: str
    take: Callable[[Request], _Credentials]
    verify: Callable[..., Any]
    takes_scopes: bool
    judge_scopes: Callable[[list[str], list[str]], bool]
    challenge: str
    query_name: str = ""


def make_scheme(name: str, node: Mapping[str, Any], handed_in: Callable[..., Any] | None) -> Scheme:
    """Make the scheme of a security scheme object.

    Raises:
        ValueError: it has no function, the function is not there, or the scheme cannot be served.
    """
    kind: str = node["type"]
    if kind == "mutualTLS":
        raise ValueError("`mutualTLS` is for the server in front to check; it cannot be served here")
    if kind == "http":
        kind = node["scheme"].lower()
    elif kind == "apiKey" and node.get("x-authentication-scheme", "").lower() == "bearer":
        kind = "bearer"
    verify = handed_in or _named_function(name, kind, node)
    if "request" in signature_of(verify).names:
        kind = "request"
    judge = import_function(node["x-scopeValidateFunc"]) if "x-scopeValidateFunc" in node else _has_scopes
    is_key = kind == "apiKey"
    return Scheme(
        name=name,
        kind=kind,
        take=_take_key(node["in"], node["name"]) if is_key else _TAKERS.get(kind) or _take_header(kind),
        verify=verify,
        takes_scopes=signature_of(verify).takes("required_scopes"),
        judge_scopes=judge,
        challenge=_challenge(kind, node),
        query_name=node["name"] if is_key and node["in"] == "query" else "",
    )


def compile_security(
    alternatives: Sequence[Mapping[str, list[str]]], schemes: Mapping[str, Scheme]
) -> Authorise | None:
    """Return the function that lets a request in or raises; None when nothing is asked for."""
    if not alternatives:
        return None
    wanted = [[(schemes[name], list(scopes)) for name, scopes in one.items()] for one in alternatives if one]
    is_optional = len(wanted) < len(alternatives)
    if not wanted:
        return None
    challenges = ", ".join(
        dict.fromkeys(scheme.challenge for one in wanted for scheme, _ in one if scheme.kind != "request")
    )
    ways = [_one_way(one) if len(one) > 1 else _one_scheme(*one[0]) for one in wanted]

    def authorise(request: Request) -> Caller:
        failures: list[Problem | HTTPException] = []
        for way in ways:
            try:
                caller = way(request)
            except Answered:
                raise
            except (Problem, HTTPException) as error:
                failures.append(error)
                continue
            except _Final as error:
                raise error.problem from error.problem.__cause__
            if caller is not None:
                return caller
        if is_optional:
            return anonymous(request)
        if failures:
            raise min(failures, key=_rank)
        raise Problem(401, "credentials are needed", headers={"WWW-Authenticate": challenges})

    return authorise


def anonymous(request: Request) -> Caller:
    """Return the caller of an operation that needs no credentials."""
    return Caller(address=request.environ.get("REMOTE_ADDR") or "")


class _Final(Exception):
    """A refusal that no other alternative changes."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def _named_function(name: str, kind: str, node: Mapping[str, Any]) -> Callable[..., Any]:
    key = _FUNCTION_KEYS.get(kind, "")
    if key not in node:
        also = f", or name one under `{key}`" if key else ""
        raise ValueError(f"nothing knows the credentials of `{name}`: hand a function in as security[`{name}`]{also}")
    return import_function(node[key])


def _challenge(kind: str, node: Mapping[str, Any]) -> str:
    if kind == "apiKey":
        return f'ApiKey in="{node["in"]}", name="{node["name"]}"'
    if kind == "basic":
        return _BASIC
    if kind == "request":
        return str(node.get("scheme", "Signature")).capitalize()
    return "Bearer" if kind in {"bearer", "oauth2", "openIdConnect"} else kind.capitalize()


def _rank(error: Problem | HTTPException) -> tuple[bool, bool, int]:
    status = error.status if isinstance(error, Problem) else error.code or 600
    return status != 403, status != 401, status


def _one_way(wanted: list[tuple[Scheme, list[str]]]) -> _Way:
    """All of several schemes at once."""
    parts = {scheme.name: _one_scheme(scheme, scopes) for scheme, scopes in wanted}

    def way(request: Request) -> Caller | None:
        found: dict[str, Caller] = {}
        for name, part in parts.items():
            caller = part(request)
            if caller is None:
                return None
            found[name] = caller
        callers = list(found.values())
        return Caller(
            next((one.id for one in callers if one.id), ""),
            callers[0].address,
            {name: one.info for name, one in found.items()},
            next((one.request for one in callers if one.request is not None), None),
        )

    return way


def _one_scheme(scheme: Scheme, scopes: list[str]) -> _Way:
    if scheme.kind == "request":
        return _request_scheme(scheme, scopes)
    take, verify, challenge = scheme.take, scheme.verify, scheme.challenge
    more: dict[str, Any] = {"required_scopes": scopes} if scheme.takes_scopes else {}
    is_bearer = challenge == "Bearer"
    refused = {"WWW-Authenticate": challenge + (' error="invalid_token"' if is_bearer else "")}
    lacking = {}
    if is_bearer:
        lacking["WWW-Authenticate"] = f'{challenge} error="insufficient_scope", scope="{" ".join(scopes)}"'
    # A function that takes the scopes may judge them itself; that of a token must say what the token has.
    is_trusted = scheme.takes_scopes and scheme.kind not in {"oauth2", "openIdConnect"}

    def way(request: Request) -> Caller | None:
        credentials = take(request)
        if credentials is None:
            return None
        info: Mapping[str, Any] | None = verify(*credentials, **more)
        if info is None:
            raise Problem(401, "the credentials are not known", headers=refused)
        if scopes:
            had = info.get("scope", info.get("scopes"))
            if not (is_trusted if had is None else scheme.judge_scopes(scopes, _scope_list(had))):
                raise Problem(403, f"the scope {' '.join(scopes)} is needed", headers=lacking)
        return Caller(_id_of(info), request.environ.get("REMOTE_ADDR") or "", info)

    return way


def _request_scheme(scheme: Scheme, scopes: list[str]) -> _Way:
    more: dict[str, Any] = {"required_scopes": scopes} if scheme.takes_scopes else {}

    def way(request: Request) -> Caller | None:
        raw = RawRequest.of(request.environ, read_body(request), request.view_args)
        try:
            caller: Caller | None = scheme.verify(request=raw, **more)
        except Problem as problem:
            raise _Final(problem) from problem
        return caller

    return way


def _id_of(info: Mapping[str, Any]) -> str:
    found = info.get("sub", info.get("uid"))
    return "" if found is None else str(found)


def _scope_list(scopes: Any) -> list[str]:
    return scopes.split() if isinstance(scopes, str) else list(scopes or ())


def _has_scopes(needed: list[str], had: list[str]) -> bool:
    return set(needed) <= set(had)


def _take_key(place: str, name: str) -> Callable[[Request], _Credentials]:
    if place == "header":
        key = "HTTP_" + name.upper().replace("-", "_")

        def from_header(request: Request) -> _Credentials:
            value = request.environ.get(key)
            return None if value is None else (value,)

        return from_header
    if place == "cookie":
        return lambda request: None if name not in request.cookies else (request.cookies[name],)
    return lambda request: None if name not in request.args else (request.args[name],)


def _take_header(kind: str) -> Callable[[Request], _Credentials]:
    word = kind if kind not in {"oauth2", "openIdConnect"} else "bearer"

    def take(request: Request) -> _Credentials:
        scheme, _, value = request.environ.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
        value = value.strip()
        return (value,) if value and scheme.lower() == word else None

    return take


_take_encoded = _take_header("basic")


def _take_basic(request: Request) -> _Credentials:
    found = _take_encoded(request)
    if found is None:
        return None
    try:
        data = base64.b64decode(found[0], validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem(401, "the credentials cannot be read", headers={"WWW-Authenticate": _BASIC}) from error
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # what browsers send without `charset="UTF-8"`
    user, colon, password = text.partition(":")
    if not colon:
        raise Problem(401, "the credentials cannot be read", headers={"WWW-Authenticate": _BASIC})
    return user, password


_BASIC = 'Basic realm="api", charset="UTF-8"'
_TAKERS: Mapping[str, Callable[[Request], _Credentials]] = {"basic": _take_basic, "request": lambda _: ()}
