"""The verdict of openapi-spec-validator is the same, or the reason for the difference is listed."""

from typing import Any

import pytest

from carboy import api
from carboy.errors import ConfigurationError

_INFO = {"title": "t", "version": "1"}
_ANSWER = {"200": {"description": ""}}


def _openapi(version: str, **root: Any) -> dict[str, Any]:
    return {"openapi": version, "info": _INFO, "paths": {}, **root}


def _path(version: str, path: str = "/a", method: str = "get", **operation: Any) -> dict[str, Any]:
    return _openapi(version, paths={path: {method: {"responses": _ANSWER, **operation}}})


def _schema(version: str, schema: Any) -> dict[str, Any]:
    return _openapi(version, components={"schemas": {"A": schema}})


def _query(**parameter: Any) -> dict[str, Any]:
    return {"name": "q", "in": "query", "schema": {"type": "string"}, **parameter}


_CORPUS: dict[str, dict[str, Any]] = {
    f"{version} {name}": document
    for version in ("3.0.3", "3.1.0", "3.2.0")
    for name, document in {
        "empty": _openapi(version),
        "no info": {"openapi": version, "paths": {}},
        "no title": {"openapi": version, "info": {"version": "1"}, "paths": {}},
        "operation": _path(version),
        "no responses of a status": _path(version, responses={"20": {"description": ""}}),
        "unknown field": _path(version, requestbody={}),
        "extension": _path(version, **{"x-a": "b"}),
        "parameter": _path(version, parameters=[_query()]),
        "parameter in body": _path(version, parameters=[_query(**{"in": "body"})]),
        "parameter twice": _path(version, parameters=[_query(), _query()]),
        "parameter without schema": _path(version, parameters=[{"name": "q", "in": "query"}]),
        "parameter with both": _path(version, parameters=[_query(content={"text/plain": {}})]),
        "path parameter": _path(version, "/a/{q}", parameters=[_query(**{"in": "path", "required": True})]),
        "path parameter optional": _path(version, "/a/{q}", parameters=[_query(**{"in": "path"})]),
        "path parameter missing": _path(version, "/a/{q}"),
        "path parameter not in path": _path(version, parameters=[_query(**{"in": "path", "required": True})]),
        "path without slash": _path(version, "a"),
        "body": _path(version, method="post", requestBody={"content": {"application/json": {"schema": {}}}}),
        "body without content": _path(version, method="post", requestBody={}),
        "reference": _schema(version, {"items": {"$ref": "#/components/schemas/A"}, "type": "array"}),
        "type": _schema(version, {"type": "text"}),
        "required": _schema(version, {"required": "a"}),
        "items": _schema(version, {"type": "array", "items": {}}),
        "enum": _schema(version, {"enum": ["a", "b"]}),
        "minimum": _schema(version, {"minimum": "1"}),
        "negative": _schema(version, {"minLength": -1}),
        "scheme": _openapi(version, components={"securitySchemes": {"k": {"type": "http", "scheme": "bearer"}}}),
        "scheme without name": _openapi(
            version, components={"securitySchemes": {"k": {"type": "apiKey", "in": "query"}}}
        ),
        "scheme of no type": _openapi(version, components={"securitySchemes": {"k": {"type": "magic"}}}),
        "operationId twice": _openapi(
            version,
            paths={f"/{name}": {"get": {"operationId": "op", "responses": _ANSWER}} for name in ("a", "b")},
        ),
        "server without url": _openapi(version, servers=[{"description": "x"}]),
        "tags": _openapi(version, tags=[{"name": "a"}]),
        "tag without name": _openapi(version, tags=[{}]),
        "query method": _path(version, method="query"),
        "default": _schema(version, {"type": "integer", "default": "a"}),
        "nullable": _schema(version, {"type": "string", "nullable": True}),
        "type list": _schema(version, {"type": ["string", "null"]}),
        "exclusive number": _schema(version, {"exclusiveMinimum": 1}),
        "exclusive flag": _schema(version, {"minimum": 1, "exclusiveMinimum": True}),
        "const": _schema(version, {"const": 1}),
        "webhooks": _openapi(version, webhooks={"a": {"post": {"responses": _ANSWER}}}),
    }.items()
}
_DIFFERENCES = {
    "default": "a default that breaks its own schema is handed over as the document has it",
    "3.0.3 type list": "served as it is meant, as many documents of 3.0 are written",
    "3.0.3 exclusive number": "served as it is meant",
    "3.0.3 const": "served as it is meant",
    "3.0.3 webhooks": "not served in any version, and so no matter",
}


def _is_good_to_us(document: Any) -> bool:
    try:
        api.load_document(document)
    except ConfigurationError:
        return False
    return True


def _is_good_to_them(document: Any) -> bool:
    from openapi_spec_validator import validate  # seconds, which only this module waits for
    from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

    try:
        validate(document)
    except OpenAPIValidationError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("name", _CORPUS)
def test_the_verdict_is_the_same_or_the_reason_is_known(name: str) -> None:
    """On each document of the corpus, in each version."""
    document = _CORPUS[name]
    differs = _is_good_to_us(document) != _is_good_to_them(document)
    reason = _DIFFERENCES.get(name) or _DIFFERENCES.get(name.partition(" ")[2])
    assert differs == (reason is not None)
