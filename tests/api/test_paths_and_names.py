"""Every legal path and name of a parameter is served, or refused in words."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from tests.api.kit import MakeDocument, Serve

from carboy import api
from carboy.errors import ConfigurationError


def _parameters(*names: str, **schema: Any) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": schema or {"type": "string"}} for name in names]


@pytest.mark.parametrize(
    ("path", "names", "url", "expected"),
    [
        ("/a/{2fa}", ["2fa"], "/a/x", {"fa": "x"}),
        (
            "/a/{None}/{True}/{__debug__}",
            ["None", "True", "__debug__"],
            "/a/1/2/3",
            {"None": "1", "True": "2", "__debug__": "3"},
        ),
        ("/a/{größe}", ["größe"], "/a/x", {"größe": "x"}),
        ("/a/{имя}/{год}", ["имя", "год"], "/a/x/y", {"имя": "x", "год": "y"}),
        ("/a/{pet-id}", ["pet-id"], "/a/x", {"pet_id": "x"}),
        ("/a/{pet-id}/{pet.name}", ["pet-id", "pet.name"], "/a/x/y", {"pet_id": "x", "pet_name": "y"}),
        ("/a/{$id}", ["$id"], "/a/x", {"_id": "x"}),
        ("/a/{id}.json", ["id"], "/a/x.json", {"id": "x"}),
        ("/a/{id}:cancel", ["id"], "/a/x:cancel", {"id": "x"}),
        ("/a/{x},{y}", ["x", "y"], "/a/1,2", {"x": "1", "y": "2"}),
        ("/a/({x})", ["x"], "/a/(1)", {"x": "1"}),
        ("/a b/{x}", ["x"], "/a%20b/1", {"x": "1"}),
        ("/a%20b/{x}", ["x"], "/a%20b/1", {"x": "1"}),
        ("/straße", [], "/stra%C3%9Fe", {}),
        ("/a+b*c|d$e", [], "/a+b*c|d$e", {}),
        ("/a//b", [], "/a//b", {}),
        ("/a//{x}/", ["x"], "/a//1/", {"x": "1"}),
        ("/", [], "/", {}),
    ],
)
def test_a_path_is_served(
    make_document: MakeDocument, serve: Serve, path: str, names: list[str], url: str, expected: dict[str, str]
) -> None:
    """The names of the path parameters do not matter."""
    client = serve(make_document(path, parameters=_parameters(*names)))
    assert client.get(url).get_json() == expected


@pytest.mark.parametrize(
    ("path", "names", "words"),
    [
        ("/a/{loc}/b/{loc}", ["loc"], "the path holds `{loc}` twice"),
        ("/a/{x", [], "a path does not hold `{`"),
        ("/a/{}", [], "a path does not hold `{`"),
        ("/a/x}", [], "a path does not hold `}`"),
        ("/a?b=c", [], "a path does not hold `?`"),
        ("/a#b", [], "a path does not hold `#`"),
        ("/a<int:b>", [], "a path does not hold `<`"),
        ("/a/{a/b}", [], "a path does not hold `{`"),
        ("/a/{x}", [], "no path parameter has that name"),
        ("/a/{pet-id}/{pet_id}", ["pet-id", "pet_id"], "two parameters are the argument `pet_id`"),
    ],
)
def test_a_path_that_cannot_be_served_is_refused(
    make_document: MakeDocument, path: str, names: list[str], words: str
) -> None:
    """In words, when the blueprint is made."""

    def op(pet_id: str = "") -> None: ...

    with pytest.raises(ConfigurationError) as caught:
        api.blueprint(make_document(path, parameters=_parameters(*names)), {"op": op})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("./", "/things"),
        (".", "/things"),
        ("/", "/things"),
        ("", "/things"),
        ("v1", "/v1/things"),
        ("./v1/", "/v1/things"),
        ("../v1", "/v1/things"),
        ("https://example.com", "/things"),
        ("https://example.com/my%20api", "/my%20api/things"),
        ("//example.com/v2", "/v2/things"),
        ("{scheme}://example.com/{base}", "/b/things"),
    ],
)
def test_the_path_of_a_server_is_where_it_is_served(
    make_document: MakeDocument, serve: Serve, server: str, url: str
) -> None:
    """Relative ones are resolved, and what is encoded is decoded."""
    variables = {"scheme": {"default": "https"}, "base": {"default": "b"}}
    client = serve(make_document(root={"servers": [{"url": server, "variables": variables}]}))
    assert client.get(url).status_code == 200


@pytest.mark.parametrize("kind", ["async def", "asynchronous generator", "object", "security"])
def test_an_asynchronous_function_stops_the_start(make_document: MakeDocument, kind: str) -> None:
    """Rather than failing at each request."""

    async def op() -> None: ...

    async def stream() -> Any:
        yield 1

    class Op:
        async def __call__(self) -> None: ...

    function: Any = {"async def": op, "asynchronous generator": stream, "object": Op(), "security": lambda: None}[kind]
    components = {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}}
    document = make_document(components=components, security=[{"key": []}])
    with pytest.raises(ConfigurationError, match="is an `async def`"):
        api.blueprint(document, {"op": function}, security={"key": op if kind == "security" else lambda token: {}})


@pytest.mark.parametrize(
    ("schema", "query", "expected"),
    [
        ({"type": "integer"}, "a=", None),
        ({"type": "boolean"}, "a", None),
        ({"type": "string", "minLength": 1}, "a=", ""),
        ({"type": "integer"}, "a=5", 5),
    ],
)
def test_an_empty_value_is_taken_where_it_may_be(
    make_document: MakeDocument, serve: Serve, schema: Any, query: str, expected: Any
) -> None:
    """`allowEmptyValue`."""
    parameter = {"name": "a", "in": "query", "allowEmptyValue": True, "schema": schema}
    assert serve(make_document(parameters=[parameter])).get(f"/things?{query}").get_json() == {"a": expected}


_FILTER = {
    "type": "object",
    "properties": {
        "id": {"type": "array", "items": {"type": "integer"}},
        "by": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        "0": {"type": "string"},
    },
}


@pytest.mark.parametrize(
    ("schema", "query", "expected"),
    [
        ({"type": "array", "items": {"type": "string"}}, "a[]=x&a[]=y", ["x", "y"]),
        ({"type": "array", "items": {"type": "integer"}}, "a[0]=1&a[1]=2", [1, 2]),
        ({"type": "array", "items": {"type": "integer"}}, "a[10]=3&a[9]=2", [2, 3]),
        (_FILTER, "a[id][]=1&a[id][]=2", {"id": [1, 2]}),
        (_FILTER, "a[id][0]=1&a[id][1]=2", {"id": [1, 2]}),
        (_FILTER, "a[id]=1&a[0]=x", {"id": [1], "0": "x"}),
        (_FILTER, "a[by][0][n]=1&a[by][1][n]=2", {"by": [{"n": 1}, {"n": 2}]}),
        (_FILTER, "a[id][99999999999999999999]=1", {"id": [1]}),
    ],
)
def test_a_list_may_be_written_with_brackets(
    make_document: MakeDocument, serve: Serve, schema: Any, query: str, expected: Any
) -> None:
    """As Stripe's own document has it."""
    parameter = {"name": "a", "in": "query", "style": "deepObject", "explode": True, "schema": schema}
    assert serve(make_document(parameters=[parameter])).get(f"/things?{query}").get_json() == {"a": expected}


@pytest.mark.parametrize(
    ("outer", "inner", "query", "expected"),
    [
        ("pipes", "csv", "1,2|3", [[1, 2], [3]]),
        ("multi", "csv", "1,2&a=3", [[1, 2], [3]]),
        ("csv", "pipes", "1|2,3", [[1, 2], [3]]),
        ("multi", None, "1,2", [[1, 2]]),
        ("csv", "ssv", "1%202,3", [[1, 2], [3]]),
    ],
)
def test_arrays_in_arrays_of_swagger_2_have_a_format_of_their_own(
    serve: Serve, outer: str, inner: str | None, query: str, expected: Any
) -> None:
    """`collectionFormat` of the items."""
    items: dict[str, Any] = {"type": "array", "items": {"type": "integer"}}
    if inner is not None:
        items["collectionFormat"] = inner
    parameter = {"name": "a", "in": "query", "type": "array", "collectionFormat": outer, "items": items}
    operation = {"operationId": "op", "parameters": [parameter], "responses": {"200": {"description": ""}}}
    document = {"swagger": "2.0", "info": {"title": "t", "version": "1"}, "paths": {"/things": {"get": operation}}}
    assert serve(document).get(f"/things?a={query}").get_json() == {"a": expected}


_NESTED = {"properties": {"s": {"type": "string"}, "o": {"properties": {"n": {"type": "string"}}}}}
_ROWS = {"type": "array", "items": {"properties": {"n": {"type": "string"}}}}


@pytest.mark.parametrize(
    ("style", "explode", "schema", "query"),
    [
        ("deepObject", True, _NESTED, "a[s]=1&a[s]=2"),
        ("deepObject", True, _NESTED, "a[o][n]=1&a[o][n]=2"),
        ("deepObject", True, _ROWS, "a[][n]=1&a[][n]=2"),
        ("form", True, {**_NESTED, "type": "object"}, "s=1&s=2"),
    ],
)
def test_a_value_that_is_given_twice_is_refused_or_the_last_counts(
    make_document: MakeDocument, serve: Serve, style: str, explode: bool, schema: Any, query: str
) -> None:
    """As a plain parameter is: nothing is dropped under `strict_validation`."""
    parameter = {"name": "a", "in": "query", "style": style, "explode": explode, "schema": schema}
    document = make_document(parameters=[parameter])
    answer = serve(document).get(f"/things?{query}")
    assert answer.status_code == 422
    assert "more than once" in answer.get_json()["errors"][0]["detail"]
    assert "2" in str(serve(document, strict_validation=False).get(f"/things?{query}").get_json()["a"])


@pytest.mark.parametrize(("explode", "value"), [(False, "s,1,s,2"), (True, "s=1,s=2")])
def test_a_name_that_stands_twice_in_one_text_is_refused(
    make_document: MakeDocument, serve: Serve, explode: bool, value: str
) -> None:
    """No part of a value is dropped."""
    schema = {**_NESTED, "type": "object"}
    parameter = {"name": "a", "in": "header", "style": "simple", "explode": explode, "schema": schema}
    answer = serve(make_document(parameters=[parameter]), lambda a=None: a).get("/things", headers={"a": value})
    assert [one["detail"] for one in answer.get_json()["errors"]] == ["must not have a name twice"]


def _operation(operation_id: str, name: str, kind: str = "string") -> dict[str, Any]:
    parameter = {"name": name, "in": "path", "required": True, "schema": {"type": kind}}
    return {"operationId": operation_id, "parameters": [parameter], "responses": {"200": {"description": ""}}}


def _served(paths: dict[str, Any], operation_ids: str) -> FlaskClient:
    app = Flask("paths")
    document = {"openapi": "3.0.3", "info": {"title": "paths", "version": "1"}, "paths": paths}

    def make(operation_id: str) -> Any:
        return lambda **arguments: [operation_id, arguments]

    app.register_blueprint(api.blueprint(document, {name: make(name) for name in operation_ids.split()}))
    return app.test_client()


def test_a_parameter_with_a_plus_holds_slashes() -> None:
    """RFC 6570's reserved expansion, as in the documents of Google's APIs."""
    client = _served(
        {
            "/v1/{+name}": {"get": _operation("read", "name")},
            "/v1/{+parent}/jobs": {"post": _operation("create", "parent")},
            "/v1/{+resource}:cancel": {"post": _operation("cancel", "resource")},
        },
        "read create cancel",
    )
    assert client.get("/v1/projects/p/things/1").get_json() == ["read", {"name": "projects/p/things/1"}]
    assert client.post("/v1/projects/p/jobs").get_json() == ["create", {"parent": "projects/p"}]
    assert client.post("/v1/projects/p:cancel").get_json() == ["cancel", {"resource": "projects/p"}]
    assert client.get("/v1/").status_code == 404


def test_a_path_may_be_there_twice_with_methods_of_its_own() -> None:
    """Under another name of its parameter, and with another type."""
    client = _served(
        {"/a/{id}": {"get": _operation("read", "id", "integer")}, "/a/{name}": {"put": _operation("write", "name")}},
        "read write",
    )
    assert client.get("/a/5").get_json() == ["read", {"id": 5}]
    assert client.put("/a/5").get_json() == ["write", {"name": "5"}]
    assert client.get("/a/x").status_code == 405
    assert {"GET", "PUT"} <= set(client.delete("/a/5").headers["Allow"].split(", "))
