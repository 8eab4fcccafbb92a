"""Paths and methods are served as Flask serves them."""

from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from tests.api.kit import MakeDocument, Serve

from carboy import api
from carboy.errors import CarboyError
from carboy.problems import Problem


def _path_parameter(name: str, schema: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema, **more}


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "integer"}, "-5", -5),
        ({"type": "integer"}, "+5", 5),
        ({"type": "number"}, "3", 3.0),
        ({"type": "number"}, "-.5e1", -5.0),
        ({"type": "string"}, "a b", "a b"),
        ({"type": "string", "format": "path"}, "a/b/c", "a/b/c"),
        ({"type": "string", "format": "path"}, "/a//b/", "/a//b/"),
        ({"type": "string", "format": "path"}, "a%0Ab", "a\nb"),
        ({"type": "integer"}, "x", None),
        ({"type": "integer"}, "1.5", None),
        ({"type": "integer"}, "٣", None),
        ({"type": "integer"}, "9" * 5000, None),
        ({"type": "number"}, "1e999", None),
        ({"type": "string"}, "a/b", None),
    ],
)
def test_a_path_is_chosen_by_the_type_of_its_parameter(
    make_document: MakeDocument, serve: Serve, schema: Any, text: str, value: Any
) -> None:
    """What is not of the type is another path: 404."""
    client = serve(make_document("/things/{my-id}", parameters=[_path_parameter("my-id", schema)]))

    answer = client.get(f"/things/{text}")

    assert answer.status_code == (404 if value is None else 200)
    if value is not None:
        assert answer.get_json() == {"my_id": value}


def test_a_path_that_is_more_particular_wins(make_document: MakeDocument) -> None:
    """The order in the document does not matter."""
    document = make_document("/things/{id}", parameters=[_path_parameter("id", {"type": "string"})])
    document["paths"]["/things/mine"] = {"get": {"operationId": "mine", "responses": {"200": {"description": ""}}}}
    app = Flask("things")
    app.register_blueprint(api.blueprint(document, {"op": lambda **_: "id", "mine": lambda: "mine"}))

    assert app.test_client().get("/things/mine").get_json() == "mine"


def test_methods_answer_as_flask_has_them(make_document: MakeDocument, serve: Serve) -> None:
    """HEAD with GET, OPTIONS by itself, 405 with what is allowed."""
    client = serve(make_document())

    assert client.head("/things").status_code == 200
    assert client.head("/things").data == b""
    assert set(client.options("/things").headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    refused = client.post("/things")
    assert refused.status_code == 405
    assert "GET" in refused.headers["Allow"]
    assert client.get("/nothing").status_code == 404


def test_a_document_s_own_head_and_options_are_called(make_document: MakeDocument) -> None:
    """They stand before what Flask would do."""
    document = make_document()
    for method in ("options", "head"):
        node = {"operationId": method, "responses": {"200": {"description": ""}}}
        document["paths"]["/things"][method] = node
    app = Flask("things")
    operations = {"op": lambda: "get", "options": lambda: "own", "head": lambda: ("", 200, {"X-Own": "yes"})}
    app.register_blueprint(api.blueprint(document, operations))
    client = app.test_client()

    assert client.options("/things").get_json() == "own"
    assert client.head("/things").headers["X-Own"] == "yes"
    assert client.get("/things").get_json() == "get"


@pytest.mark.parametrize(
    ("root", "options", "path"),
    [
        ({}, {}, "/things"),
        ({"servers": [{"url": "/v1/"}]}, {}, "/v1/things"),
        ({"servers": [{"url": "https://example.com:8443/a/v1"}]}, {}, "/a/v1/things"),
        ({"servers": [{"url": "/{v}", "variables": {"v": {"default": "v2"}}}]}, {}, "/v2/things"),
        ({"servers": [{"url": "/v1"}]}, {"base_path": "/mine"}, "/mine/things"),
        ({"servers": [{"url": "/v1"}]}, {"base_path": "/"}, "/things"),
    ],
)
def test_a_document_is_served_below_its_server_s_path(
    make_document: MakeDocument, serve: Serve, root: Any, options: Any, path: str
) -> None:
    """Unless another is given."""
    assert serve(make_document(root=root), **options).get(path).status_code == 200


def test_operations_may_be_methods_a_module_or_a_mapping(make_document: MakeDocument) -> None:
    """By the operationId as it is or in snake case; what is not public is not looked at."""

    class Operations:
        def __init__(self) -> None:
            self.store = print

        def list_things(self) -> str:
            return self._help()

        def _help(self) -> str:
            return "here"

    module = ModuleType("things")
    exec("import json\nfrom os import getcwd\ndef listThings(): return 'here'\ndef _no(): pass", vars(module))  # noqa: S102
    for operations in (Operations(), module, {"listThings": lambda: "here"}):
        app = Flask("things")
        app.register_blueprint(api.blueprint(make_document(operationId="listThings"), operations))
        assert app.test_client().get("/things").get_json() == "here"


def test_a_problem_is_answered_as_its_document(make_document: MakeDocument, serve: Serve) -> None:
    """In any Flask application, with the request's id when it has one."""

    def op() -> None:
        raise Problem(409, "it is there", headers={"Retry-After": "5"}, extra={"tries_left": 2})

    answer = serve(make_document(), op).get("/things?")

    assert answer.status_code == 409
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Retry-After"] == "5"
    assert answer.get_json() == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "it is there",
        "instance": "/things",
        "request_id": "",
        "success": False,
        "tries_left": 2,
    }


def test_what_an_operation_aborts_with_is_a_problem(make_document: MakeDocument, serve: Serve) -> None:
    """Also a body that is too large, which Flask refuses."""
    from flask import abort

    def op(body: Any) -> None:
        abort(404, "no such thing")

    body: dict[str, Any] = {"content": {"application/json": {}}}
    client = serve(make_document(method="post", requestBody=body), op)
    client.application.config["MAX_CONTENT_LENGTH"] = 10

    assert client.post("/things", json=1).get_json()["detail"] == "no such thing"
    assert client.post("/things", json="x" * 20).status_code == 413
    assert client.post("/things", json="x" * 20).get_json()["status"] == 413


def test_an_application_that_answers_problems_itself_is_left_to_it(make_document: MakeDocument, serve: Serve) -> None:
    """The blueprint's own way is for applications that have none."""

    def op() -> None:
        raise Problem(409, "no")

    client = serve(make_document(), op)
    client.application.register_error_handler(CarboyError, lambda error: ("mine", 418))

    assert client.get("/things").status_code == 418


def test_two_documents_live_in_one_application(make_document: MakeDocument) -> None:
    """Each with its own name and base path."""
    app = Flask("things")
    for name in ("a", "b"):
        document = make_document("/things/{id}", parameters=[_path_parameter("id", {"type": "integer"})])
        operations = {"op": lambda name=name, **path: [name, path["id"]]}
        app.register_blueprint(api.blueprint(document, operations, name=name, base_path=f"/{name}"))
    client = app.test_client()

    assert [client.get("/a/things/1").get_json(), client.get("/b/things/2").get_json()] == [["a", 1], ["b", 2]]
    assert {rule.endpoint for rule in app.url_map.iter_rules()} >= {"a.op", "b.op"}


def test_a_concrete_path_takes_precedence_for_every_method() -> None:
    """`GET /pets/mine` is 405 where only POST is described, and not the pet called `mine`."""
    ok = {"responses": {"200": {"description": "ok"}}}
    pet = {"name": "pet", "in": "path", "required": True, "schema": {"type": "string"}}
    document = {
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1"},
        "paths": {
            "/pets/{pet}": {"parameters": [pet], "get": {"operationId": "get_pet", **ok}},
            "/pets/mine": {"post": {"operationId": "add_pet", **ok}},
        },
    }
    app = Flask(__name__)
    app.register_blueprint(api.blueprint(document, {"get_pet": lambda pet: pet, "add_pet": lambda: "added"}))
    client = app.test_client()

    answer = client.get("/pets/mine")

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert client.post("/pets/mine").status_code == 200
    assert client.get("/pets/yours").get_json() == "yours"
