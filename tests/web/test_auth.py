"""Who may call: 401, 403 and those who are let in."""

import base64
from typing import Any

import pytest
from flask import Flask

from carboy.web import add_api, current_key, require, runtime

_DOCUMENT = {
    "openapi": "3.1.1",
    "info": {"title": "Orders", "version": "1"},
    "paths": {
        "/api/orders": {
            "get": {
                "operationId": "list_orders",
                "security": [{"key": ["orders:read"]}, {"basic": ["orders:read"]}],
                "responses": {"200": {"description": "them"}},
            }
        }
    },
    "components": {
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}, "basic": {"type": "http", "scheme": "basic"}}
    },
}


def _register(app: Flask) -> None:
    @app.get("/read")
    @require("orders:read")
    def read() -> dict[str, Any]:
        key = current_key()
        return {"by": key and key.name}

    @app.get("/both")
    @require("orders:read", "orders:write")
    def both() -> str:
        return "x"

    @app.get("/any")
    @require()
    def anyone() -> str:
        return "x"

    @app.get("/basic")
    @require("orders:read", basic=True)
    def by_basic() -> str:
        return "x"

    add_api(app, _DOCUMENT, {"list_orders": lambda: {"orders": []}})


@pytest.fixture
def app(make_app: Any) -> Flask:
    made: Flask = make_app(_register)
    return made


def _basic(password: str, name: str = "any") -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.mark.parametrize("path", ["/read", "/basic", "/metrics", "/api/orders", "/api/jobs"])
def test_without_a_key_every_request_is_refused(app: Flask, path: str) -> None:
    """401, and how to do better."""
    answer = app.test_client().get(path)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("path", ["/read", "/basic", "/metrics", "/api/orders", "/api/jobs"])
@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer cby_x",
        "Digest x",
        "cby_x",
        "Basic",
        "Basic !!",
        "Bearer é",
        "Basic eDp4",
    ],
)
def test_an_unknown_key_is_a_401(app: Flask, path: str, authorization: str) -> None:
    """However it is written; never a 500."""
    headers = {"Authorization": authorization.encode().decode("latin-1")}

    assert app.test_client().get(path, headers=headers).status_code == 401


@pytest.mark.parametrize("path", ["/read", "/both", "/metrics", "/api/orders", "/api/jobs"])
def test_a_key_without_the_scope_is_a_403(app: Flask, path: str) -> None:
    """The error names the missing scope."""
    _, text = runtime(app).keys.store.create("other", ["sms:send"])

    answer = app.test_client().get(path, headers={"Authorization": f"Bearer {text}"})

    assert answer.status_code == 403
    assert answer.content_type == "application/problem+json"
    assert "cby_" not in answer.text


@pytest.mark.parametrize("path", ["/read", "/any", "/basic", "/api/orders"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER  "])
def test_a_key_with_the_scope_is_let_in(app: Flask, path: str, scheme: str) -> None:
    """The scheme's name has no case (RFC 9110)."""
    _, text = runtime(app).keys.store.create("reader", ["orders:read"])

    assert app.test_client().get(path, headers={"Authorization": f"{scheme} {text}"}).status_code == 200


def test_all_scopes_are_needed(app: Flask) -> None:
    """One of two is not enough."""
    _, text = runtime(app).keys.store.create("reader", ["orders:read"])

    assert app.test_client().get("/both", headers={"Authorization": f"Bearer {text}"}).status_code == 403


def test_the_view_knows_who_calls(app: Flask) -> None:
    """By the key's name."""
    _, text = runtime(app).keys.store.create("reader", ["orders:read"])

    assert app.test_client().get("/read", headers={"Authorization": f"Bearer {text}"}).json == {"by": "reader"}


def test_a_key_may_come_as_a_password_where_the_route_says_so(app: Flask) -> None:
    """For senders that know nothing else; the user's name is anything."""
    _, text = runtime(app).keys.store.create("reader", ["orders:read"])
    client = app.test_client()

    statuses = {
        path: client.get(path, headers={"Authorization": _basic(text)}).status_code
        for path in ("/basic", "/api/orders", "/read")
    }

    assert statuses == {"/basic": 200, "/api/orders": 200, "/read": 401}


def test_a_revoked_key_is_a_401(make_app: Any) -> None:
    """As one that never was."""
    app = make_app(_register, keys_cache_s=0)
    key, text = runtime(app).keys.store.create("reader", ["orders:read"])
    client = app.test_client()
    assert client.get("/read", headers={"Authorization": f"Bearer {text}"}).status_code == 200

    runtime(app).keys.store.revoke(key.id)

    assert client.get("/read", headers={"Authorization": f"Bearer {text}"}).status_code == 401


@pytest.mark.parametrize("profile", ["local", "test"])
@pytest.mark.parametrize("path", ["/read", "/both", "/any", "/basic", "/metrics", "/api/orders", "/api/jobs"])
def test_auth_off_lets_anyone_in(make_app: Any, profile: str, path: str) -> None:
    """On the profiles on which that is possible at all."""
    client = make_app(_register, profile=profile, auth="off").test_client()

    assert client.get(path).status_code == 200
    assert client.get(path, headers={"Authorization": "Bearer junk"}).status_code == 200
