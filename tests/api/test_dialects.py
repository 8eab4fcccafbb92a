"""The dialects of OpenAPI 3.0, OpenAPI 3.1 and Swagger 2.0 each mean what they say."""

import io
import json
from typing import Any

import pytest
from tests.api.kit import MakeDocument, Serve

from carboy import api
from carboy.errors import ConfigurationError

_NULLABLE_REF = {"nullable": True, "allOf": [{"$ref": "#/components/schemas/Size"}]}


@pytest.mark.parametrize(
    ("version", "schema", "good", "bad"),
    [
        ("3.0.3", {"type": "string", "nullable": True}, [None, "a"], [1]),
        ("3.1.0", {"type": "string", "nullable": True}, ["a"], [None]),
        ("3.1.0", {"type": ["string", "null"]}, [None, "a"], [1]),
        ("3.0.3", {"type": "string", "nullable": True, "enum": ["a"]}, [None, "a"], ["b"]),
        ("3.0.3", _NULLABLE_REF, [None, 1], ["a"]),
        ("3.0.3", {"type": "integer", "minimum": 1, "exclusiveMinimum": True}, [2], [1]),
        ("3.0.3", {"type": "integer", "minimum": 1, "exclusiveMinimum": False}, [1], [0]),
        ("3.0.3", {"type": "integer", "maximum": 1, "exclusiveMaximum": True}, [0], [1]),
        ("3.1.0", {"type": "integer", "exclusiveMinimum": 1}, [2], [1]),
        ("3.0.3", {"type": "integer", "example": "text"}, [1], ["text"]),
        ("3.0.3", {"$ref": "#/components/schemas/Size", "minimum": 5}, [1], ["a"]),
        ("3.1.0", {"$ref": "#/components/schemas/Size", "minimum": 5}, [5], [1]),
        ("3.1.0", {"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, [["a", 1]], [["a", "b"], [1]]),
        ("3.1.0", {"if": {"type": "string"}, "then": {"minLength": 2}}, ["ab", 1], ["a"]),
        ("3.1.0", {"const": "x"}, ["x"], ["y"]),
        (
            "3.1.0",
            {"$defs": {"a": {"type": "string"}}, "properties": {"s": {"$ref": "#/components/schemas/Size"}}},
            [{"s": 1}],
            [{"s": "1"}],
        ),
        ("3.1.0", True, [1, None], []),
        ("3.1.0", {"dependentRequired": {"a": ["b"]}}, [{}, {"a": 1, "b": 1}], [{"a": 1}]),
        (
            "3.1.0",
            {"type": "object", "unevaluatedProperties": False, "allOf": [{"properties": {"a": {}}}]},
            [{"a": 1}],
            [{"b": 1}],
        ),
        ("3.0.3", {"type": "integer", "format": "int32"}, [2**31 - 1], [2**31]),
        ("3.0.3", {"type": "integer", "format": "int64", "minimum": 0}, [2**62], [-1]),
        ("3.0.3", {"type": "string", "format": "byte"}, ["aGk="], ["a", "a b="]),
        ("3.0.3", {"type": "string", "format": "date"}, ["2024-02-29"], ["2023-02-29"]),
        ("3.0.3", {"type": "string", "format": "date-time"}, ["2024-01-01T00:00:00Z"], ["2024-01-01 00:00"]),
        ("3.0.3", {"type": "string", "format": "email"}, ["a@example.com"], ["a"]),
        ("3.0.3", {"type": "string", "format": "ipv4"}, ["127.0.0.1"], ["127.0.0.256"]),
        ("3.0.3", {"type": "string", "format": "made-up"}, ["anything"], []),
        ("3.0.3", {"type": "integer"}, [1, 1.0], [1.5, True, "1"]),
        ("3.0.3", {"oneOf": [{"type": "integer"}, {"type": "number"}]}, [1.5], [1]),
        ("3.0.3", {"not": {"type": "string"}}, [1], ["a"]),
        ("3.0.3", {"type": "object", "additionalProperties": {"type": "integer"}}, [{"a": 1}], [{"a": "b"}]),
    ],
)
def test_a_schema_means_what_its_version_says(
    make_document: MakeDocument, serve: Serve, version: str, schema: Any, good: list[Any], bad: list[Any]
) -> None:
    """In a body, whose values are typed already."""
    body = {"content": {"application/json": {"schema": schema}}}
    components = {"schemas": {"Size": {"type": "integer"}}}
    client = serve(make_document(method="post", version=version, requestBody=body, components=components))

    def statuses(values: list[Any]) -> list[int]:
        return [client.post("/things", data=json.dumps(value)).status_code for value in values]

    assert statuses(good) == [200] * len(good)
    assert statuses(bad) == [422] * len(bad)


def test_what_is_read_only_is_not_in_a_request(make_document: MakeDocument, serve: Serve) -> None:
    """Neither needed nor allowed, also when a reference says so; what is write only is."""
    schema = {
        "type": "object",
        "required": ["id", "made", "password"],
        "properties": {
            "id": {"type": "integer", "readOnly": True},
            "made": {"$ref": "#/components/schemas/Made"},
            "password": {"type": "string", "writeOnly": True},
        },
    }
    components = {"schemas": {"Made": {"type": "string", "readOnly": True}}}
    body = {"content": {"application/json": {"schema": schema}}}
    client = serve(make_document(method="post", requestBody=body, components=components))

    assert client.post("/things", json={"password": "p"}).status_code == 200
    answer = client.post("/things", json={"id": 1, "made": "x"})
    assert {(error["pointer"], error["detail"]) for error in answer.get_json()["errors"]} == {
        ("/id", "is not allowed here"),
        ("/made", "is not allowed here"),
        ("/password", "is required"),
    }


def test_a_reference_may_name_a_part_of_a_component(make_document: MakeDocument, serve: Serve) -> None:
    """By a pointer of any depth, with escapes."""
    components = {
        "schemas": {"Box": {"properties": {"a/b": {"type": "integer"}, "box": {"$ref": "#/components/schemas/Box"}}}}
    }
    schema = {"items": {"$ref": "#/components/schemas/Box/properties/a~1b"}, "contains": {"const": 1}}
    body = {"content": {"application/json": {"schema": schema}}}
    client = serve(make_document(method="post", requestBody=body, components=components))
    assert client.post("/things", json=[1, 2]).status_code == 200
    assert client.post("/things", json=["1"]).status_code == 422


_SWAGGER: dict[str, Any] = {
    "swagger": "2.0",
    "info": {"title": "old", "version": "1"},
    "host": "example.com",
    "basePath": "/v2",
    "schemes": ["https"],
    "consumes": ["application/json"],
    "produces": ["application/json"],
    "securityDefinitions": {
        "basic": {"type": "basic"},
        "oauth": {
            "type": "oauth2",
            "flow": "accessCode",
            "authorizationUrl": "/a",
            "tokenUrl": "/t",
            "scopes": {"r": ""},
        },
    },
    "parameters": {"Limit": {"name": "limit", "in": "query", "type": "integer", "default": 5, "maximum": 9}},
    "responses": {"Gone": {"description": "gone", "schema": {"$ref": "#/definitions/Pet"}}},
    "definitions": {
        "Pet": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "x-nullable": True},
                "friends": {"type": "array", "items": {"$ref": "#/definitions/Pet"}},
            },
        }
    },
    "paths": {
        "/pets/{id}": {
            "parameters": [{"name": "id", "in": "path", "type": "integer", "required": True}],
            "get": {
                "operationId": "op",
                "parameters": [
                    {"$ref": "#/parameters/Limit"},
                    {"name": "csv", "in": "query", "type": "array", "items": {"type": "string"}},
                    {
                        "name": "ssv",
                        "in": "query",
                        "type": "array",
                        "items": {"type": "integer"},
                        "collectionFormat": "ssv",
                    },
                    {
                        "name": "tsv",
                        "in": "query",
                        "type": "array",
                        "items": {"type": "string"},
                        "collectionFormat": "tsv",
                    },
                    {
                        "name": "pipes",
                        "in": "query",
                        "type": "array",
                        "items": {"type": "string"},
                        "collectionFormat": "pipes",
                    },
                    {
                        "name": "multi",
                        "in": "query",
                        "type": "array",
                        "items": {"type": "string"},
                        "collectionFormat": "multi",
                    },
                ],
                "responses": {
                    "200": {"description": "", "schema": {"type": "object"}},
                    "410": {"$ref": "#/responses/Gone"},
                },
            },
        }
    },
}


def _old(operation: dict[str, Any]) -> dict[str, Any]:
    node = {"operationId": "op", "responses": {"200": {"description": ""}}, **operation}
    return {**_SWAGGER, "paths": {"/pets": {"post": node}}}


class TestSwagger2:
    """A document of Swagger 2.0 is served as its translation."""

    def test_parameters_are_translated(self, serve: Serve) -> None:
        """Every collection format, the path's own parameters, references and defaults."""
        client = serve(_SWAGGER)
        answer = client.get("/v2/pets/5?csv=a,b&ssv=1%202&tsv=a%09b&pipes=a|b&multi=a&multi=b,c")
        assert answer.get_json() == {
            "id": 5,
            "limit": 5,
            "csv": ["a", "b"],
            "ssv": [1, 2],
            "tsv": ["a", "b"],
            "pipes": ["a", "b"],
            "multi": ["a", "b,c"],
        }
        assert client.get("/v2/pets/5?limit=10").get_json()["errors"][0]["pointer"] == "/query/limit"

    def test_a_body_has_the_name_of_its_parameter(self, serve: Serve) -> None:
        """And `x-nullable` lets null through."""
        parameter = {"name": "pet", "in": "body", "required": True, "schema": {"$ref": "#/definitions/Pet"}}
        client = serve(_old({"parameters": [parameter]}), lambda pet: pet)
        assert client.post("/v2/pets", json={"name": None, "friends": [{"name": "b"}]}).status_code == 200
        answer = client.post("/v2/pets", json={"friends": [{"name": 1}]})
        assert {error["pointer"] for error in answer.get_json()["errors"]} == {"/name", "/friends/0/name"}

    def test_fields_of_a_form_are_arguments(self, serve: Serve) -> None:
        """Each of its own, files too, with defaults."""
        parameters = [
            {"name": "petName", "in": "formData", "type": "string", "required": True},
            {"name": "age", "in": "formData", "type": "integer", "default": 3},
            {"name": "tags", "in": "formData", "type": "array", "items": {"type": "string"}},
            {"name": "photo", "in": "formData", "type": "file"},
        ]
        document = _old({"consumes": ["multipart/form-data"], "parameters": parameters})

        def op(pet_name: str, age: int, tags: list[str], photo: Any) -> Any:
            return [pet_name, age, tags, photo.read().decode()]

        client = serve(document, op, pythonic_params=True)
        data = {"petName": "Rex", "tags": "a,b", "photo": (io.BytesIO(b"png"), "p.png")}
        answer = client.post("/v2/pets", data=data)
        assert answer.get_json() == ["Rex", 3, ["a", "b"], "png"]

    def test_answers_and_security_are_translated(self) -> None:
        """Into what OpenAPI 3 has for them."""
        content = api.load_document(_SWAGGER).content

        assert content["openapi"].startswith("3.0")
        assert content["servers"] == [{"url": "https://example.com/v2"}]
        assert content["components"]["securitySchemes"] == {
            "basic": {"type": "http", "scheme": "basic"},
            "oauth": {
                "type": "oauth2",
                "flows": {"authorizationCode": {"authorizationUrl": "/a", "tokenUrl": "/t", "scopes": {"r": ""}}},
            },
        }
        gone = content["components"]["responses"]["Gone"]["content"]["application/json"]["schema"]
        assert gone == {"$ref": "#/components/schemas/Pet"}
        assert api.load_document(content).content == content

    @pytest.mark.parametrize(
        ("operation", "pointer"),
        [
            ({"requestBody": {}}, "/paths/~1pets/post/requestBody"),
            ({"parameters": [{"name": "a", "in": "cookie", "type": "string"}]}, "/paths/~1pets/post/parameters/0/in"),
            ({"parameters": [{"name": "a", "in": "query"}]}, "/paths/~1pets/post/parameters/0/type"),
            ({"responses": {}}, "/paths/~1pets/post/responses"),
        ],
    )
    def test_a_fault_is_explained_in_the_words_of_the_document(self, operation: dict[str, Any], pointer: str) -> None:
        """Where it stands in Swagger 2.0, not in the translation."""
        with pytest.raises(ConfigurationError) as caught:
            api.load_document(_old(operation))
        assert pointer in [fault.pointer for fault in caught.value.faults]

    def test_a_schema_s_fault_is_reported_where_it_was_written(self) -> None:
        """Under `definitions`."""
        document = {**_SWAGGER, "definitions": {**_SWAGGER["definitions"], "Bad": {"minLength": "x"}}}
        with pytest.raises(ConfigurationError) as caught:
            api.load_document(document)
        assert [fault.pointer for fault in caught.value.faults] == ["/definitions/Bad/minLength"]


_READ_ONLY = {"type": "object", "properties": {"id": {"type": "integer", "readOnly": True}}}
_WRITE_ONLY = {"type": "object", "properties": {"id": {"type": "integer", "writeOnly": True}}}


def _ref_to(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


@pytest.mark.parametrize(
    ("schema", "components"),
    [
        ({"allOf": [_READ_ONLY, {"required": ["id"]}]}, {}),
        ({"allOf": [{"required": ["id"]}, _READ_ONLY]}, {}),
        ({"allOf": [_READ_ONLY], "required": ["id"]}, {}),
        ({"allOf": [{"allOf": [_READ_ONLY]}, {"allOf": [{"required": ["id"]}]}]}, {}),
        ({"allOf": [_ref_to("Base"), {"required": ["id"]}]}, {"Base": _READ_ONLY}),
        ({"allOf": [_ref_to("Needs"), _READ_ONLY]}, {"Needs": {"required": ["id"]}}),
        ({"allOf": [_ref_to("Needs"), _ref_to("Base")]}, {"Needs": {"required": ["id"]}, "Base": _READ_ONLY}),
        (
            {"allOf": [_ref_to("Middle"), _ref_to("Base")]},
            {"Middle": {"allOf": [_ref_to("Needs")]}, "Needs": {"required": ["id"]}, "Base": _READ_ONLY},
        ),
        ({**_READ_ONLY, "anyOf": [{"required": ["id"]}, {"required": ["other"]}]}, {}),
        ({"properties": {"id": _ref_to("Id")}, "required": ["id"]}, {"Id": {"allOf": [{"readOnly": True}]}}),
    ],
)
def test_read_only_and_required_may_stand_in_different_parts(
    make_document: MakeDocument, serve: Serve, schema: Any, components: dict[str, Any]
) -> None:
    """The required one is required of the response only; a component that is used elsewhere is not touched."""
    content = {"application/json": {"schema": schema}}
    components = {**components, "Plain": {"required": ["id"]}}
    responses = {"200": {"description": "", "content": content}}
    document = make_document(
        method="post", components={"schemas": components}, requestBody={"content": content}, responses=responses
    )
    client = serve(document, lambda body: {"id": 1} if body == {} else {}, validate_responses=True)
    assert client.post("/things", json={}).status_code == 200
    assert client.post("/things", json={"a": 1}).status_code == 500  # the response lacks the id
    assert client.post("/things", json={"id": 1}).status_code == 422


def test_write_only_and_required_may_stand_in_different_parts(make_document: MakeDocument, serve: Serve) -> None:
    """The required one is required of the request only, and a shared component is required of both elsewhere."""
    schemas = {"Needs": {"required": ["id"]}, "Both": {"allOf": [_ref_to("Needs"), _WRITE_ONLY]}}
    content = {"application/json": {"schema": _ref_to("Both")}}
    alone = {"application/json": {"schema": _ref_to("Needs")}}
    responses = {"200": {"description": "", "content": content}, "201": {"description": "", "content": alone}}
    document = make_document(
        method="post", components={"schemas": schemas}, requestBody={"content": content}, responses=responses
    )
    client = serve(document, lambda body: ({}, 200 if body["id"] == 1 else 201), validate_responses=True)
    assert client.post("/things", json={}).status_code == 422
    assert client.post("/things", json={"id": 1}).status_code == 200
    assert client.post("/things", json={"id": 2}).status_code == 500


def test_a_reference_has_siblings_in_openapi_3_1(make_document: MakeDocument, serve: Serve) -> None:
    """A default beside a reference counts there, and is ignored in 3.0."""
    components = {"schemas": {"Size": {"type": "integer"}}}
    parameter = {"name": "a", "in": "query", "schema": {**_ref_to("Size"), "default": 5}}
    for version, expected in (("3.1.0", {"a": 5}), ("3.0.3", {})):
        client = serve(make_document(version=version, components=components, parameters=[parameter]))
        assert client.get("/things").get_json() == expected
        assert client.get("/things?a=7").get_json() == {"a": 7}


def test_what_is_read_only_is_not_demanded_by_another_property(make_document: MakeDocument, serve: Serve) -> None:
    """Neither by `dependentRequired`, nor does a condition hold by itself that asks whether it is there."""
    schema = {
        "properties": {"id": {"readOnly": True}, "name": {}},
        "dependentRequired": {"name": ["id", "size"]},
        "if": {"required": ["id"]},
        "then": {"required": ["colour"]},
    }
    client = serve(make_document(method="post", requestBody={"content": {"application/json": {"schema": schema}}}))
    assert client.post("/things", json={}).status_code == 200
    assert client.post("/things", json={"name": "a", "size": 1}).status_code == 200
    assert [one["pointer"] for one in client.post("/things", json={"name": "a"}).get_json()["errors"]] == ["/size"]
