"""Media types are compared by type and subtype, in requests and in responses."""

from typing import Any

import pytest
from tests.api.kit import MakeDocument, Serve

from carboy.api.media_types import matcher

_SCHEMA = {"type": "object", "required": ["a"]}


@pytest.mark.parametrize(
    ("keys", "header", "expected"),
    [
        (["application/json; charset=utf-8"], "application/json", 0),
        (["application/json; charset=utf-8"], "application/json;charset=UTF-8", 0),
        (["application/json"], "Application/JSON; charset=utf-8; x=y", 0),
        (["Application/JSON"], "application/json", 0),
        (
            ["application/vnd.a+json; version=1", "application/vnd.a+json; version=2"],
            "application/vnd.a+json;version=2",
            1,
        ),
        (["application/vnd.a+json; version=1", "application/vnd.a+json"], "application/vnd.a+json", 1),
        (["application/vnd.a+json; version=1", "application/vnd.a+json"], "application/vnd.a+json; version=1", 0),
        (["application/json;odata=full", "application/json"], 'application/json; odata="full"', 0),
        (["*/*", "application/*", "application/json"], "application/json", 2),
        (["*/*", "application/*"], "application/json", 1),
        (["*/*", "text/*"], "image/png", 0),
        (["application/*+json"], "application/problem+json", 0),
        (["application/*+json"], "application/xml", None),
        (["application/*+json"], "application/json", None),
        (["application/*+json"], "application/+json", None),
        (["text/*"], "text", None),
        (["text/*"], "text/", None),
        (["application/json"], "application/jsonx", None),
        (["application/json"], ";", None),
    ],
)
def test_a_header_finds_the_key_of_its_type(keys: list[str], header: str, expected: int | None) -> None:
    """Parameters choose between keys of one type only; a narrow range comes before a wide one."""
    found = matcher(keys)(header)
    assert found == (None if expected is None else keys[expected])


@pytest.mark.parametrize(
    "key", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;v=1", "text/json"]
)
@pytest.mark.parametrize("parameters", ["", ";charset=UTF-8", "; charset=utf-8"])
def test_a_key_with_parameters_checks_the_body(
    make_document: MakeDocument, serve: Serve, key: str, parameters: str
) -> None:
    """A body that breaks the schema does not reach the function as bytes, nor is a good one 415 or 500."""
    content = {key: {"schema": _SCHEMA}}
    responses = {"200": {"description": "", "content": content}}
    document = make_document(method="post", requestBody={"content": content}, responses=responses)
    client = serve(document, lambda body: body, validate_responses=True)
    header = key.partition(";")[0] + parameters

    assert client.post("/things", data=b'{"a": 1}', content_type=header).get_json(force=True) == {"a": 1}
    assert client.post("/things", data=b"{}", content_type=header).status_code == 422
    assert client.post("/things", data=b"{", content_type=header).status_code == 400
    assert client.post("/things", data=b"{}", content_type="text/plain").status_code == 415


def test_consumes_and_produces_of_swagger_2_may_have_parameters(serve: Serve) -> None:
    """They become the keys of the content."""
    body = {"name": "body", "in": "body", "required": True, "schema": _SCHEMA}
    operation = {
        "operationId": "op",
        "parameters": [body],
        "responses": {"200": {"description": "", "schema": _SCHEMA}},
    }
    document = {
        "swagger": "2.0",
        "info": {"title": "t", "version": "1"},
        "consumes": ["application/json;charset=utf-8"],
        "produces": ["application/json;charset=utf-8"],
        "paths": {"/things": {"post": operation}},
    }
    client = serve(document, lambda body: body, validate_responses=True)
    assert client.post("/things", json={"a": 1}).status_code == 200
    assert client.post("/things", json={}).status_code == 422


@pytest.mark.parametrize(
    ("kind", "data", "status"),
    [
        ("application/json", b'{"a":1}', 200),
        ("text/json", b'{"a":1}', 200),
        ("text/json", b"{}", 422),
        ("application/vnd.x+json", b"{}", 422),
        ("application/vnd.x+json", b'{"a":1}', 200),
        ("application/xml", b"<a/>", 415),
        ("application/octet-stream", b"\x00", 415),
    ],
)
def test_the_three_types_of_asp_net_are_json(
    make_document: MakeDocument, serve: Serve, kind: str, data: bytes, status: int
) -> None:
    """`text/json` is JSON, and `application/*+json` takes nothing else."""
    kinds = ("application/json", "text/json", "application/*+json")
    client = serve(make_document(method="post", requestBody={"content": {one: {"schema": _SCHEMA} for one in kinds}}))
    assert client.post("/things", data=data, content_type=kind).status_code == status


@pytest.mark.parametrize(
    ("key", "kind", "value", "status"),
    [
        ("application/*", "application/json", {}, 500),
        ("application/*", "application/json", {"a": 1}, 200),
        ("*/*", "application/problem+json", {}, 500),
        ("*/*", "text/plain", "x", 200),
        ("application/*+json", "application/hal+json", {}, 500),
        ("application/*+json", "text/plain", "x", 500),
        ("application/json; charset=utf-8", "application/json", {}, 500),
    ],
)
def test_a_response_is_checked_by_the_key_of_its_type(
    make_document: MakeDocument, serve: Serve, key: str, kind: str, value: Any, status: int
) -> None:
    """JSON within a range is checked too; other types within it are not."""
    responses = {"200": {"description": "", "content": {key: {"schema": _SCHEMA}}}}
    document = make_document(responses=responses)
    client = serve(document, lambda: (value, 200, {"Content-Type": kind}), validate_responses=True)
    assert client.get("/things").status_code == status


@pytest.mark.parametrize(
    ("schema", "header", "body"),
    [
        ({"type": "object"}, None, {"a": 1}),
        ({"type": ["array", "object"]}, "application/json", {"a": 1}),
        ({"type": "object"}, "application/xml", '{"a": 1}'),
        ({"type": "string", "format": "binary"}, None, '{"a": 1}'),
        ({"type": "string", "format": "binary"}, "application/json", '{"a": 1}'),
        ({"type": "string"}, None, '{"a": 1}'),
        ({}, None, '{"a": 1}'),
    ],
)
def test_a_body_of_any_type_is_json_where_its_schema_says_so(
    make_document: MakeDocument, serve: Serve, schema: Any, header: str | None, body: Any
) -> None:
    """A body without a type is read as JSON, as elsewhere, unless it may be a text; a file is always bytes."""

    def op(body: Any) -> Any:
        return {"got": body.decode() if isinstance(body, bytes) else body}

    document = make_document(method="post", requestBody={"required": True, "content": {"*/*": {"schema": schema}}})
    answer = serve(document, op).post("/things", data=b'{"a": 1}', content_type=header)

    assert (answer.status_code, answer.json) == (200, {"got": body})
