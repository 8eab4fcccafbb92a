"""Small documents, and an application that serves one."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from tests.api.kit import Document, MakeDocument, Serve

from carboy import api


@pytest.fixture
def make_document() -> MakeDocument:
    """Make a document of one operation, `op`, with what a test is about."""

    def make(
        path: str = "/things",
        method: str = "get",
        *,
        version: str = "3.1.0",
        components: Mapping[str, Any] | None = None,
        root: Mapping[str, Any] | None = None,
        **operation: Any,
    ) -> Document:
        node = {"operationId": "op", "responses": {"200": {"description": "fine"}}, **operation}
        return {
            "openapi": version,
            "info": {"title": "things", "version": "1"},
            "paths": {path: {method: node}},
            "components": dict(components or {}),
            **(root or {}),
        }

    return make


@pytest.fixture
def serve() -> Serve:
    """Serve a document whose operation `op` is a function; by default one that answers its arguments."""

    def echo(**arguments: Any) -> Any:
        return arguments

    def make(document: Any, function: Callable[..., Any] = echo, **options: Any) -> FlaskClient:
        app = Flask("things")
        app.register_blueprint(api.blueprint(document, {"op": function}, **options))
        return app.test_client(use_cookies=False)

    return make
