"""Who may call is asked of the function that knows the credentials."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask, Response, g
from tests.api.kit import MakeDocument, Serve
from werkzeug.exceptions import Unauthorized

from carboy import api
from carboy.errors import ConfigurationError
from carboy.problems import Problem

_BEARER = {"type": "http", "scheme": "bearer"}
_BASIC = {"type": "http", "scheme": "Basic"}
_OAUTH = {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "/t", "scopes": {"a": "", "b": ""}}}}
_OPENID = {"type": "openIdConnect", "openIdConnectUrl": "https://example.com/.well-known/openid-configuration"}


def _key(place: str, name: str = "X-Key") -> dict[str, str]:
    return {"type": "apiKey", "in": place, "name": name}


def _secured(make_document: MakeDocument, needed: Any, **schemes: Any) -> dict[str, Any]:
    return make_document(security=needed, components={"securitySchemes": schemes})


def token(value: str) -> Mapping[str, Any] | None:
    return {"sub": "ann", "scope": "a b"} if value == "good" else None


def token_without_scopes(value: str, required_scopes: list[str]) -> Mapping[str, Any]:
    return {"uid": value, "asked": required_scopes}


def basic(user: str, password: str) -> Mapping[str, Any] | None:
    return {"sub": user} if password == "pä:ss" else None


def _basic_header(text: str, charset: str = "utf-8") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode(charset)).decode()}


def op(user: str, token_info: dict[str, Any]) -> Any:
    return [user, token_info, dict(g.carboy_auth) == token_info]


@pytest.mark.parametrize("scheme", [_BEARER, _OAUTH, _OPENID])
def test_a_bearer_token_is_asked_after(make_document: MakeDocument, serve: Serve, scheme: Any) -> None:
    """Known callers come in; others are 401 with a challenge."""
    client = serve(_secured(make_document, [{"s": ["a"]}], s=scheme), op, security={"s": token})

    answer = client.get("/things", headers={"Authorization": "bearer  good"})
    assert answer.get_json() == ["ann", {"sub": "ann", "scope": "a b"}, True]
    for headers, challenge in (
        ({}, "Bearer"),
        ({"Authorization": "Basic Zm9v"}, "Bearer"),
        ({"Authorization": "Bearer"}, "Bearer"),
        ({"Authorization": "Bearer bad"}, 'Bearer error="invalid_token"'),
    ):
        refused = client.get("/things", headers=headers)
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, challenge)
        assert refused.content_type == "application/problem+json"
        assert b"bad" not in refused.data


@pytest.mark.parametrize("place", ["header", "query", "cookie"])
def test_a_key_is_taken_from_its_place(make_document: MakeDocument, serve: Serve, place: str) -> None:
    """A key in the query is no unknown parameter."""
    client = serve(_secured(make_document, [{"s": []}], s=_key(place)), op, security={"s": token})
    headers = {"header": {"X-Key": "good"}, "cookie": {"Cookie": "a=b; X-Key=good"}}.get(place, {})

    answer = client.get("/things" + ("?X-Key=good" if place == "query" else ""), headers=headers)

    assert answer.get_json()[0] == "ann"
    assert client.get("/things").headers["WWW-Authenticate"] == f'ApiKey in="{place}", name="X-Key"'


def test_a_user_and_a_password_are_asked_after(make_document: MakeDocument, serve: Serve) -> None:
    """In UTF-8, as the challenge says, or in what browsers sent before; a colon may be in the password."""
    client = serve(_secured(make_document, [{"s": []}], s=_BASIC), op, security={"s": basic})

    assert client.get("/things", headers=_basic_header("Jörg:pä:ss")).get_json()[0] == "Jörg"
    assert client.get("/things", headers=_basic_header("Jörg:pä:ss", "latin-1")).get_json()[0] == "Jörg"
    for headers in ({}, _basic_header("ann:no"), _basic_header("nocolon"), {"Authorization": "Basic ???"}):
        refused = client.get("/things", headers=headers)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == 'Basic realm="api", charset="UTF-8"'


@pytest.mark.parametrize("scheme", [_BEARER, _OAUTH, _key("header", "Authorization")])
def test_a_scope_that_is_missing_is_a_403(make_document: MakeDocument, serve: Serve, scheme: Any) -> None:
    """Of any kind of scheme."""
    value = "good" if scheme["type"] == "apiKey" else "Bearer good"
    client = serve(_secured(make_document, [{"s": ["a", "c"]}], s=scheme), op, security={"s": token})

    refused = client.get("/things", headers={"Authorization": value})

    assert refused.status_code == 403
    assert refused.get_json()["detail"] == "the scope a c is needed"
    if scheme["type"] != "apiKey":
        assert refused.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="a c"'


def test_a_function_that_gets_the_scopes_may_judge_them(make_document: MakeDocument, serve: Serve) -> None:
    """A token function must receive the scopes; one that does not take them lets no request through."""
    header = {"Authorization": "Bearer x"}
    needed = [{"s": ["a"]}]
    client = serve(_secured(make_document, needed, s=_BEARER), op, security={"s": token_without_scopes})
    assert client.get("/things", headers=header).get_json()[:2] == ["x", {"uid": "x", "asked": ["a"]}]

    client = serve(_secured(make_document, needed, s=_OAUTH), op, security={"s": token_without_scopes})
    assert client.get("/things", headers=header).status_code == 403
    client = serve(_secured(make_document, needed, s=_BEARER), op, security={"s": lambda value: {"sub": value}})
    assert client.get("/things", headers=header).status_code == 403


def test_one_of_several_ways_is_enough(make_document: MakeDocument, serve: Serve) -> None:
    """Schemes of one alternative are needed together; an empty alternative admits everyone, and is tried last."""
    schemes = {"t": _BEARER, "k": _key("header"), "u": _key("header", "X-Other")}
    functions = {"t": token, "k": token, "u": token}
    client = serve(_secured(make_document, [{"t": []}, {"k": [], "u": []}], **schemes), op, security=functions)
    known = {"sub": "ann", "scope": "a b"}
    assert client.get("/things", headers={"Authorization": "Bearer good"}).get_json()[1] == known
    both = client.get("/things", headers={"X-Key": "good", "X-Other": "good"})
    assert both.get_json()[:2] == ["ann", {"k": known, "u": known}]
    assert client.get("/things", headers={"X-Key": "good"}).status_code == 401
    bad_first = {"Authorization": "Bearer bad", "X-Key": "good", "X-Other": "good"}
    assert client.get("/things", headers=bad_first).status_code == 200

    client = serve(_secured(make_document, [{}, {"t": []}], t=_BEARER), op, security={"t": token})
    assert client.get("/things").get_json() == [None, {}, True]
    assert client.get("/things", headers={"Authorization": "Bearer good"}).get_json()[0] == "ann"


def test_a_failure_that_explains_most_is_answered(make_document: MakeDocument, serve: Serve) -> None:
    """403 before 401 before others; what the function raises is kept, and what it breaks on is no 401."""

    def raising(error: Exception) -> Any:
        def function(value: str) -> Any:
            raise error

        return function

    schemes = {"a": _key("header", "X-A"), "b": _key("header", "X-B")}
    headers = {"X-A": "1", "X-B": "1"}

    def status(first: Exception, second: Exception) -> int:
        functions = {"a": raising(first), "b": raising(second)}
        client = serve(_secured(make_document, [{"a": []}, {"b": []}], **schemes), op, security=functions)
        return client.get("/things", headers=headers).status_code

    assert status(Unauthorized(), Problem(403, "no")) == 403
    assert status(Problem(429, "slow"), Unauthorized()) == 401
    assert status(Problem(503, "later"), Problem(429, "slow")) == 429
    assert status(KeyError("bug"), Problem(401, "no")) == 500


def test_an_operation_may_do_without(make_document: MakeDocument, serve: Serve) -> None:
    """What the document asks for, an operation can lift."""
    document = make_document(components={"securitySchemes": {"t": _BEARER}}, root={"security": [{"t": []}]})
    assert serve(document, security={"t": token}).get("/things").status_code == 401
    document["paths"]["/things"]["get"]["security"] = []
    assert serve(document, security={"t": token}).get("/things").status_code == 200


def test_credentials_are_looked_at_before_anything_else(make_document: MakeDocument, serve: Serve) -> None:
    """A stranger learns nothing of the parameters."""
    document = _secured(make_document, [{"t": []}], t=_BEARER)
    assert serve(document, security={"t": token}).get("/things?unknown=1").status_code == 401


@pytest.mark.parametrize(
    ("scheme", "key", "headers"),
    [
        (_BEARER, "x-bearerInfoFunc", {"Authorization": "Bearer good"}),
        (_OAUTH, "x-tokenInfoFunc", {"Authorization": "Bearer good"}),
        (_OPENID, "x-tokenInfoFunc", {"Authorization": "Bearer good"}),
        (_key("header"), "x-apikeyInfoFunc", {"X-Key": "good"}),
        ({**_key("header"), "x-authentication-scheme": "Bearer"}, "x-bearerInfoFunc", {"Authorization": "Bearer good"}),
        (_BASIC, "x-basicInfoFunc", _basic_header("ann:pä:ss")),
    ],
)
def test_the_document_may_name_the_function(
    make_document: MakeDocument, serve: Serve, scheme: Any, key: str, headers: Any
) -> None:
    """As Connexion has it."""
    function = f"{__name__}.{'basic' if scheme is _BASIC else 'token'}"
    client = serve(_secured(make_document, [{"s": []}], s={**scheme, key: function}), op)
    assert client.get("/things", headers=headers).get_json()[0] == "ann"


@pytest.mark.parametrize(
    ("scheme", "options", "detail"),
    [
        (_BEARER, {}, "nothing knows the credentials of `s`: hand a function in as security[`s`], or name one under"),
        ({**_BEARER, "x-bearerInfoFunc": "no.such"}, {}, "`no.such` names no module that can be imported"),
        ({**_BEARER, "x-bearerInfoFunc": "os.nope"}, {}, "`os.nope` is not there: `nope` is missing"),
        ({"type": "mutualTLS"}, {}, "`mutualTLS` is for the server in front to check"),
        (_BEARER, {"security": {"s": token, "z": token}}, "`z` is handed in, and is no scheme of the document"),
    ],
)
def test_a_scheme_that_cannot_be_checked_stops_the_start(
    make_document: MakeDocument, serve: Serve, scheme: Any, options: Any, detail: str
) -> None:
    """An operation is never open by mistake."""
    with pytest.raises(ConfigurationError, match="cannot be served") as caught:
        serve(_secured(make_document, [{"s": []}], s=scheme), op, **options)
    assert any(detail in fault.detail for fault in caught.value.faults)


def test_no_operation_is_open_that_the_document_secures(make_document: MakeDocument) -> None:
    """Merging writes the document's own security into each operation."""
    document = make_document(components={"securitySchemes": {"t": _BEARER}}, root={"security": [{"t": ["a"]}]})
    merged = api.merge([document], info={"title": "all", "version": "1"})
    assert merged["paths"]["/things"]["get"]["security"] == [{"t": ["a"]}]


def test_a_function_that_takes_the_request_verifies_all_of_it() -> None:
    """It sees the address and the body as they were sent; what it refuses no other alternative lets in."""
    seen: list[api.RawRequest] = []

    def verify(request: api.RawRequest) -> api.Caller | None:
        if "x-sig" not in request.headers:
            return None
        seen.append(request)
        if request.headers["x-sig"] == "hello":
            raise api.Answered(Response("world"))
        if request.headers["x-sig"] != "right":
            raise Problem(403, "no")
        return api.Caller("sender", request.client, request=replace(request, body=request.body.upper()))

    def op(caller: api.Caller, body: bytes) -> dict[str, str]:
        return {"caller": caller.id, "body": body.decode()}

    document = {
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1"},
        "components": {"securitySchemes": {"signed": {"type": "http", "scheme": "signature"}}},
        "paths": {
            "/hook": {
                "post": {
                    "operationId": "op",
                    "x-carboy-body": "raw",
                    "security": [{"signed": []}, {}],
                    "requestBody": {"content": {"text/plain": {}}},
                    "responses": {"200": {"description": "ok"}},
                }
            }
        },
    }
    app = Flask(__name__)
    app.register_blueprint(api.blueprint(document, {"op": op}, strict_validation=False, security={"signed": verify}))
    client = app.test_client()

    def post(signature: str | None) -> Any:
        headers = {} if signature is None else {"X-Sig": signature}
        return client.post("/hook?a=%2F", data=b"abc", headers=headers, content_type="text/plain")

    assert post("right").get_json() == {"caller": "sender", "body": "ABC"}
    assert post("wrong").status_code == 403
    assert post("hello").text == "world"
    assert post(None).get_json() == {"caller": "", "body": "abc"}
    assert seen[0].url == "http://localhost/hook?a=%2F"
