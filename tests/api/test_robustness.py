"""Any document and any request is served or refused; nothing raises."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carboy import api
from carboy.errors import ConfigurationError

_PET = {"$ref": "#/components/schemas/Pet"}
_DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "pets", "version": "1"},
    "paths": {
        "/pets/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": ["integer", "string"]}}],
            "get": {
                "operationId": "show",
                "parameters": [
                    {"$ref": "#/components/parameters/Limit"},
                    {"name": "deep", "in": "query", "style": "deepObject", "schema": _PET},
                    {"name": "list", "in": "query", "explode": False, "schema": {"items": {"type": "number"}}},
                    {"name": "json", "in": "query", "content": {"application/json": {"schema": _PET}}},
                    {"name": "X-H", "in": "header", "schema": {"type": "array", "items": {"type": "boolean"}}},
                    {"name": "c", "in": "cookie", "schema": {"type": "integer"}},
                ],
                "responses": {"200": {"description": "", "headers": {"X": {"schema": {"type": "integer"}}}}},
                "security": [{"user": []}, {}],
            },
            "post": {
                "operationId": "save",
                "requestBody": {
                    "content": {
                        "application/json": {"schema": _PET},
                        "text/*": {"schema": {"type": "string", "maxLength": 5}},
                        "multipart/form-data": {
                            "schema": {
                                "properties": {"n": {"type": "integer"}, "f": {"format": "binary"}},
                                "type": "object",
                            },
                            "encoding": {"f": {"contentType": "image/*"}},
                        },
                        "application/x-www-form-urlencoded": {"schema": _PET, "encoding": {"tags": {"explode": False}}},
                    }
                },
                "responses": {"default": {"description": "", "content": {"application/json": {"schema": {}}}}},
            },
        }
    },
    "components": {
        "parameters": {"Limit": {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1}}},
        "securitySchemes": {"user": {"type": "http", "scheme": "basic"}},
        "schemas": {
            "Pet": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "pattern": "^a"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "kin": {"oneOf": [_PET, {"type": "null"}], "discriminator": {"propertyName": "name"}},
                },
            }
        },
    },
}
_JUNK: list[Any] = [
    None,
    [],
    {},
    5,
    "x",
    True,
    [{}],
    {"a": 1},
    "",
    [None],
    [5],
    "array",
    "deepObject",
    {"type": "string"},
]
_JUNK += [{"$ref": to} for to in ("#/nope", "#", 5, "#/paths", "#/components/schemas/Pet", "x.yaml")]
_JUNK += [{key: 5} for key in ("properties", "required", "allOf", "items", "type", "schema", "content")]
_MANY = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def _places(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*above, key)
        yield from _places(value, (*above, key))


def _serve(document: Any) -> Flask:
    app = Flask("pets")
    operations = {"show": lambda **arguments: len(arguments), "save": lambda body=None: body is None}
    app.register_blueprint(
        api.blueprint(document, operations, security={"user": lambda user, password: {}}, validate_responses=True)
    )
    return app


_PLACES = sorted(_places(_DOCUMENT), key=str)
_CLIENT = _serve(_DOCUMENT).test_client(use_cookies=False)


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from(_PLACES), st.sampled_from(_JUNK)), min_size=1, max_size=2))
@_MANY
def test_any_document_is_served_or_refused(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    """One whose parts are replaced by anything is a `ConfigurationError` with faults, or works."""
    document = copy.deepcopy(_DOCUMENT)
    for place, junk in changes:
        node = document
        try:
            for key in place[:-1]:
                node = node[key]
            node[place[-1]] = junk
        except (TypeError, KeyError, IndexError):
            continue
    pointers = [""]
    try:
        _serve(document)
    except ConfigurationError as error:
        pointers = [fault.pointer for fault in error.faults]
    assert pointers
    assert all(pointer == "" or pointer.startswith("/") for pointer in pointers)


_WORDS = st.sampled_from(
    [
        "limit",
        "deep",
        "deep[name]",
        "deep[tags][]",
        "deep[kin][name]",
        "deep[a",
        "deep]",
        "list",
        "json",
        "1",
        "a",
        "1,2",
        "{",
        "{}",
    ]
) | st.text(max_size=8)


@pytest.mark.slow
@given(
    st.lists(st.tuples(_WORDS, _WORDS), max_size=4),
    st.sampled_from(["1", "x", "-1.5", "%ff", "%00", "a;b", "."]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=10),
)
@_MANY
def test_no_query_breaks_an_operation(query: list[tuple[str, str]], path: str, header: str) -> None:
    """It is answered, or refused with a problem."""
    headers = {"X-H": header, "Cookie": f"c={header}", "Authorization": "Basic " + header}
    answer = _CLIENT.get(f"/pets/{path}", query_string=query, headers=headers)
    assert answer.status_code in {200, 400, 401, 404, 422}
    assert answer.status_code in {200, 404} or answer.content_type == "application/problem+json"


@pytest.mark.slow
@given(
    st.binary(max_size=40)
    | st.sampled_from([b'{"name":"a"}', b"n=1&n=2", b"--x\r\n", b'{"tags":[1]}', b"[[]]", b"kin=%7B"]),
    st.sampled_from(
        [
            "application/json",
            "text/plain",
            "text/plain; charset=nope",
            "multipart/form-data",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded",
            "image/png",
            ";",
            "",
        ]
    ),
)
@_MANY
def test_no_body_breaks_an_operation(data: bytes, kind: str) -> None:
    """It is taken, or refused with a problem."""
    answer = _CLIENT.post("/pets/1", data=data, content_type=kind)
    assert answer.status_code in {200, 400, 415, 422}
    assert answer.status_code == 200 or answer.content_type == "application/problem+json"
