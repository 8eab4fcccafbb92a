"""A project on Connexion 2 moves by changing its entry: its conventions hold here."""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from tests.api.kit import MakeDocument

from carboy import api
from carboy.errors import ConfigurationError

_CODE = """
from dataclasses import dataclass

def op(**arguments):
    return arguments

def explicit(petId, body=None):
    return [petId, body]

class Handler:
    @staticmethod
    def show():
        return "static"

    def __init__(self, name):
        self.name = name

    def show_self(self):
        return self.name

handler = Handler("bound")
number = 5
"""


@pytest.fixture(autouse=True)
def pets() -> Iterator[None]:
    """A package with the functions of a project."""
    package, module = ModuleType("oldproject"), ModuleType("oldproject.pets")
    package.__path__ = []
    exec(_CODE, vars(module))  # noqa: S102
    vars(package)["pets"] = module
    sys.modules |= {"oldproject": package, "oldproject.pets": module}
    yield
    for name in ("oldproject", "oldproject.pets"):
        del sys.modules[name]


def _client(document: Any, **options: Any) -> Any:
    app = Flask("old")
    app.register_blueprint(api.blueprint(document, **options))
    return app.test_client()


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ({"operationId": "oldproject.pets.op"}, {}),
        ({"operationId": "op", "x-openapi-router-controller": "oldproject.pets"}, {}),
        ({"operationId": "pets.op", "x-swagger-router-controller": "oldproject"}, {}),
        ({"operationId": "oldproject.pets.Handler.show"}, "static"),
        ({"operationId": "oldproject.pets.handler.show_self"}, "bound"),
    ],
)
def test_an_operation_id_names_a_function(make_document: MakeDocument, operation: Any, answer: Any) -> None:
    """In a module, in a class, on an object; below a controller."""
    assert _client(make_document(**operation)).get("/things").get_json() == answer


def test_a_controller_may_stand_for_a_path_or_for_all(make_document: MakeDocument) -> None:
    """The nearest counts."""
    document = make_document(root={"x-openapi-router-controller": "nowhere"})
    document["paths"]["/things"]["x-openapi-router-controller"] = "oldproject.pets"
    assert _client(document).get("/things").get_json() == {}


@pytest.mark.parametrize(
    ("operation_id", "detail"),
    [
        ("oldproject.pets.nope", "`oldproject.pets.nope` is not there: `nope` is missing"),
        ("oldproject.nope.op", "`oldproject.nope.op` is not there: `nope` is missing"),
        ("nowhere.op", "`nowhere.op` names no module that can be imported"),
        ("op", "`op` names no module that can be imported"),
        ("oldproject.pets.number", "`oldproject.pets.number` cannot be called"),
    ],
)
def test_a_function_that_is_not_there_stops_the_start(
    make_document: MakeDocument, operation_id: str, detail: str
) -> None:
    """With what is missing."""
    with pytest.raises(ConfigurationError) as caught:
        api.blueprint(make_document(operationId=operation_id))
    assert [fault.detail for fault in caught.value.faults] == [detail]


@pytest.mark.parametrize(
    ("name", "plain", "pythonic"),
    [
        ("petId", "petId", "pet_id"),
        ("my-param", "myparam", "my_param"),
        ("ids[]", "ids", "ids"),
        ("filter[name]", "filter_name", "filter_name"),
        ("$top", "top", "top"),
        ("id", "id", "id_"),
        ("class", "class", "class_"),
        ("HTTPStatus", "HTTPStatus", "http_status"),
    ],
)
def test_a_parameter_is_an_argument_under_its_clean_name(
    make_document: MakeDocument, name: str, plain: str, pythonic: str
) -> None:
    """With `pythonic_params` in snake case, and with `_` after what Python has taken."""
    parameters = [{"name": name, "in": "query", "schema": {"type": "string"}}]
    document = make_document(operationId="oldproject.pets.op", parameters=parameters)

    assert _client(document).get("/things", query_string={name: "x"}).get_json() == {plain: "x"}
    answer = _client(document, pythonic_params=True).get("/things", query_string={name: "x"})
    assert answer.get_json() == {pythonic: "x"}


def test_what_a_function_does_not_take_is_not_handed_over(make_document: MakeDocument) -> None:
    """But is checked all the same."""
    parameters = [
        {"name": "petId", "in": "query", "schema": {"type": "integer"}},
        {"name": "other", "in": "query", "schema": {"type": "integer"}},
        {"name": "X-Header", "in": "header", "schema": {"type": "string"}},
    ]
    document = make_document(operationId="oldproject.pets.explicit", parameters=parameters)

    assert _client(document).get("/things?petId=1&other=2", headers={"X-Header": "h"}).get_json() == [1, None]
    assert _client(document).get("/things?petId=1&other=x").status_code == 422


def test_headers_are_not_swept_into_any_arguments(make_document: MakeDocument) -> None:
    """`**kwargs` gets path, query and body only."""
    parameters = [{"name": "X-Header", "in": "header", "schema": {"type": "string"}}]
    document = make_document(operationId="oldproject.pets.op", parameters=parameters)
    assert _client(document).get("/things", headers={"X-Header": "h"}).get_json() == {}


@pytest.mark.parametrize("place", ["requestBody", "schema"])
def test_a_body_may_have_a_name(make_document: MakeDocument, place: str) -> None:
    """`x-body-name`, on the body or on its schema."""
    schema: dict[str, Any] = {"type": "object"}
    body: dict[str, Any] = {"content": {"application/json": {"schema": schema}}}
    (body if place == "requestBody" else schema)["x-body-name"] = "pet"
    document = make_document(method="post", operationId="oldproject.pets.op", requestBody=body)
    assert _client(document).post("/things", json={"a": 1}).get_json() == {"pet": {"a": 1}}


def test_endpoints_are_named_after_operations(make_document: MakeDocument) -> None:
    """So that `url_for` goes on working."""
    app = Flask("old")
    app.register_blueprint(api.blueprint(make_document(operationId="oldproject.pets.op"), name="v1"))
    assert "v1.oldproject_pets_op" in {rule.endpoint for rule in app.url_map.iter_rules()}


def test_connexion_s_statuses_can_be_had(make_document: MakeDocument) -> None:
    """One argument."""
    parameters = [{"name": "v", "in": "query", "schema": {"type": "integer"}}]
    document = make_document(operationId="oldproject.pets.op", parameters=parameters)
    assert _client(document, invalid_status=400).get("/things?v=x").status_code == 400
