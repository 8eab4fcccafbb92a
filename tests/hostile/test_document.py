"""Responses are what the OpenAPI document says for any request: no 5xx, no other status, type or shape."""

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
PAGES = {"/docs", "/openapi.json", "/openapi.yaml"}  # the same answer to all: a few examples will do
ID = "587c0159a907346eccb84004"
# What is there, so that more than refusals are looked at.
KNOWN_PATHS = {"alert_id": ID, "source": "open", "token": "a/b c"}
KNOWN_QUERIES = {"start": "2017-01-01T00:00:00Z", "end": "2018-01-01T00:00:00+01:00"}


@pytest.fixture(scope="module")
def headers(app: Flask, key: str) -> dict[str, str]:
    """A key, once there is something to find."""
    client, sent = app.test_client(), {"Authorization": f"Bearer {key}"}
    alert = {"id": ID, "created_at": "1484661060000", "severity": 1}
    assert client.post("/api/v1/s3/alert?wait=20", json={"alerts": [alert]}, headers=sent).status_code == 200
    hook = {"id": "a/b c", "time": 1484661060}
    assert client.post("/api/v1/webhooks/open?wait=20", json=hook, headers=sent).status_code == 200
    return sent


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
def test_every_answer_is_in_the_document(app: Flask, headers: dict[str, str], mode: GenerationMode) -> None:
    """Operation by operation, with what the document allows and with what it does not."""
    assert try_all(app, headers, mode, examples=12) > 10


def test_every_answer_without_a_key_is_in_the_document(app: Flask) -> None:
    """A stranger is refused in the same form by all."""
    assert try_all(app, {}, GenerationMode.POSITIVE, examples=5) > 10


def test_every_answer_about_what_is_there_is_in_the_document(app: Flask, headers: dict[str, str]) -> None:
    """Also the answers that are no refusals."""
    statuses = set()

    def look(case: "Case[Any]") -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    for operation in operations(app):
        paths = {item.name: KNOWN_PATHS[item.name] for item in operation.path_parameters if item.name in KNOWN_PATHS}
        queries = {item.name: KNOWN_QUERIES[item.name] for item in operation.query if item.name in KNOWN_QUERIES}
        if paths or queries:
            run(operation.as_strategy(path_parameters=paths or None, query=queries or None), look, 6)
            case = operation.Case(path_parameters=paths, query=queries)
            if operation.method.upper() == "GET":
                statuses.add((operation.path, case.call(headers=headers).status_code))
    assert {status for _, status in statuses} == {200}, statuses
    assert len(statuses) >= 4


def try_all(app: Flask, headers: dict[str, str], mode: GenerationMode, examples: int) -> int:
    """Try every operation that can be tried so; return how many that were."""
    tried = 0
    for operation in operations(app):
        if mode is GenerationMode.POSITIVE or _has_input(operation):
            tried += 1
            run(
                operation.as_strategy(generation_mode=mode),
                lambda case: case.call_and_validate(headers=headers, checks=CHECKS),
                2 if operation.path in PAGES else examples,
            )
    return tried


def operations(app: Flask) -> list[Any]:
    schema: Any = schemathesis.openapi.from_wsgi("/openapi.json", app)
    return [result.ok() for result in schema.get_all_operations()]


def run(cases: Any, look: Callable[["Case[Any]"], object], examples: int) -> None:
    """Give a function cases, the same ones each time."""

    @seed(1)
    @settings(
        max_examples=examples,
        phases=[Phase.generate],
        suppress_health_check=list[Any](HealthCheck),
        deadline=None,
        database=None,
    )
    @given(case=cases)
    def try_operation(case: "Case[Any]") -> None:
        look(case)

    try_operation()


def _has_input(operation: Any) -> bool:
    groups = (operation.path_parameters, operation.query, operation.headers, operation.body)
    return any(len(list(group)) for group in groups)
