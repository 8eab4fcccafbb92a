"""What came with OpenAPI 3.2 is served, or refused in words."""

from pathlib import Path
from typing import Any

import pytest
from tests.api.kit import MakeDocument, Serve

from carboy import api
from carboy.errors import ConfigurationError

_OPERATION = {"operationId": "op", "responses": {"200": {"description": ""}}}


def _document(make_document: MakeDocument, *arguments: Any, **named: Any) -> dict[str, Any]:
    return make_document(*arguments, version="3.2.0", **named)


def test_the_method_query_has_a_body(make_document: MakeDocument, serve: Serve) -> None:
    """And is a method of its own."""
    body = {"content": {"application/json": {"schema": {"type": "object"}}}}
    client = serve(_document(make_document, method="query", requestBody=body))
    assert client.open("/things", method="QUERY", json={"a": 1}).get_json() == {"body": {"a": 1}}
    assert client.open("/things", method="QUERY", json=[]).status_code == 422
    assert client.get("/things").status_code == 405


def test_additional_operations_are_served(make_document: MakeDocument, serve: Serve) -> None:
    """By their own methods; in a merged document they stay."""
    document = _document(make_document)
    document["paths"] = {"/things": {"additionalOperations": {"COPY": _OPERATION}}}
    client = serve(document)
    assert client.open("/things", method="COPY").status_code == 200
    assert client.get("/things").status_code == 405
    merged = api.merge([document], info={"title": "all", "version": "1"})
    assert merged["paths"]["/things"]["additionalOperations"]["COPY"]["operationId"] == "op"


@pytest.mark.parametrize("method", ["GET", "QUERY", "co py", ""])
def test_additional_operations_have_methods_of_their_own(make_document: MakeDocument, method: str) -> None:
    """Not those that have a field."""
    document = _document(make_document)
    document["paths"] = {"/things": {"additionalOperations": {method: _OPERATION}}}
    with pytest.raises(ConfigurationError):
        api.load_document(document)


@pytest.mark.parametrize("kind", ["application/jsonl", "application/x-ndjson", "application/json-seq"])
def test_a_sequence_of_json_is_a_list(make_document: MakeDocument, serve: Serve, kind: str) -> None:
    """Each text is checked by `itemSchema`; the line is named that is no JSON."""
    body = {"required": True, "content": {kind: {"itemSchema": {"type": "object", "required": ["a"]}}}}
    client = serve(_document(make_document, method="post", requestBody=body))

    def post(data: bytes) -> Any:
        return client.post("/things", data=data, content_type=kind).get_json()

    assert post(b'\x1e{"a": 1}\n\n\x1e{"a": 2}\n') == {"body": [{"a": 1}, {"a": 2}]}
    assert post(b'{"a": 1}\n{}')["errors"] == [{"pointer": "/1/a", "detail": "is required"}]
    assert post(b'{"a": 1}\n{')["detail"].startswith("line 2: the body is not JSON")


@pytest.mark.parametrize(
    ("kind", "media"),
    [
        ("text/event-stream", {"itemSchema": {}}),
        ("multipart/mixed", {"itemSchema": {}}),
        ("multipart/mixed", {"prefixEncoding": [{}]}),
        ("multipart/form-data", {"itemEncoding": {}}),
    ],
)
def test_a_body_in_parts_is_refused_in_words(make_document: MakeDocument, serve: Serve, kind: str, media: Any) -> None:
    """A function can read it; in a response it is no matter."""
    content = {kind: media}
    with pytest.raises(ConfigurationError, match="is not read part by part"):
        api.load_document(_document(make_document, method="post", requestBody={"content": content}))
    raw = _document(make_document, method="post", requestBody={"content": content}, **{"x-carboy-body": "raw"})
    api.load_document(raw)
    responses = {"200": {"description": "", "content": content}}
    assert serve(_document(make_document, responses=responses)).get("/things").status_code == 200


def test_a_querystring_is_one_object(make_document: MakeDocument, serve: Serve) -> None:
    """Typed and checked; nothing else may be in the query."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "tags": {"type": "array", "items": {}}}}
    whole = {"name": "all", "in": "querystring", "content": {"application/x-www-form-urlencoded": {"schema": schema}}}
    client = serve(_document(make_document, parameters=[whole]))
    assert client.get("/things?n=5&tags=a&tags=b").get_json() == {"all": {"n": 5, "tags": ["a", "b"]}}
    assert client.get("/things?n=x").status_code == 422
    assert client.get("/things?m=1").status_code == 422


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ([{"name": "a", "in": "querystring", "content": {"application/json": {}}}], "only `application/x-www-form"),
        ([{"name": "a", "in": "querystring", "schema": {}}], "is required"),
        (
            [
                {"name": "a", "in": "querystring", "content": {"application/x-www-form-urlencoded": {}}},
                {"name": "b", "in": "query", "schema": {}},
            ],
            "describes the whole query",
        ),
    ],
)
def test_a_querystring_that_is_not_read_is_refused(make_document: MakeDocument, parameters: Any, words: str) -> None:
    """In words."""
    with pytest.raises(ConfigurationError, match=words):
        api.load_document(_document(make_document, parameters=parameters))


def test_media_types_are_components(make_document: MakeDocument, serve: Serve) -> None:
    """They are checked where they are used."""
    components = {"mediaTypes": {"Thing": {"schema": {"type": "object", "required": ["a"]}}}}
    body = {"content": {"application/json": {"$ref": "#/components/mediaTypes/Thing"}}}
    client = serve(_document(make_document, method="post", components=components, requestBody=body))
    assert client.post("/things", json={"a": 1}).status_code == 200
    assert client.post("/things", json={}).status_code == 422


def test_references_may_use_the_document_s_own_address(tmp_path: Path) -> None:
    """`$self`, and what lies beside it; anything else is elsewhere on the network."""
    (tmp_path / "common.yaml").write_text("Name: {type: string}\n")
    text = """\
openapi: 3.2.0
$self: https://example.com/api/main.yaml
info: {title: t, version: '1'}
paths: {}
components:
  schemas:
    A: {$ref: "https://example.com/api/main.yaml#/components/schemas/B"}
    B: {items: {$ref: "https://example.com/api/common.yaml#/Name"}}
    C: {$ref: "common.yaml#/Name"}
"""
    file = tmp_path / "main.yaml"
    file.write_text(text)
    schemas = api.load_document(file).content["components"]["schemas"]
    assert schemas["A"] == {"$ref": "#/components/schemas/B"}
    assert schemas["B"]["items"] == schemas["C"] == {"$ref": "#/components/schemas/Name"}
    file.write_text(text.replace("example.com/api/common", "example.org/api/common"))
    with pytest.raises(ConfigurationError, match="elsewhere on the network"):
        api.load_document(file)


def test_the_small_additions_are_known(make_document: MakeDocument) -> None:
    """Device flow, tags in a tree, names of servers, responses without a description, examples of two forms."""
    flow = {"deviceAuthorizationUrl": "https://a/d", "tokenUrl": "https://a/t", "scopes": {}}
    components = {
        "securitySchemes": {
            "o": {
                "type": "oauth2",
                "deprecated": True,
                "flows": {"deviceAuthorization": flow},
                "oauth2MetadataUrl": "x",
            }
        },
        "examples": {"e": {"dataValue": {"a": 1}, "serializedValue": '{"a":1}'}},
    }
    root = {
        "tags": [{"name": "a", "parent": "b", "kind": "nav", "summary": "A"}, {"name": "b"}],
        "servers": [{"url": "/", "name": "here"}],
    }
    responses = {"200": {"summary": "fine"}}
    loaded = api.load_document(_document(make_document, components=components, root=root, responses=responses))
    assert loaded.content["tags"] == root["tags"]


@pytest.mark.parametrize("change", [{"query": _OPERATION}, {"additionalOperations": {"COPY": _OPERATION}}])
def test_older_versions_do_not_have_the_additions(make_document: MakeDocument, change: dict[str, Any]) -> None:
    """There they are unknown."""
    document = make_document()
    document["paths"]["/things"] |= change
    with pytest.raises(ConfigurationError, match="is not known here"):
        api.load_document(document)
