"""What the service publishes about itself: as JSON, as YAML, and as a page."""

import json
import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml
from flask import Flask

from carboy import api
from carboy.web import add_api
from carboy.web.apidocs.page import render_page

_EVIL = "</script><img src=x onerror=alert(1)>\"'&"
_DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.1",
    "info": {"title": "Orders", "version": "1"},
    "tags": [{"name": "orders", "description": "What was **bought**, in `EUR`."}],
    "paths": {
        "/api/orders/{order_id}": {
            "parameters": [{"name": "order_id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            "put": {
                "operationId": "put_order",
                "tags": ["orders"],
                "summary": _EVIL,
                "description": _EVIL,
                "security": [{"key": ["orders:write"]}],
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/Order"},
                            "example": {"note": "it's"},
                        }
                    }
                },
                "responses": {"200": {"description": _EVIL}},
            },
        }
    },
    "components": {
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        "schemas": {
            "Order": {
                "type": "object",
                "required": ["note"],
                "properties": {
                    "note": {"type": "string", "maxLength": 9, "description": _EVIL, "default": _EVIL},
                    "parent": {"$ref": "#/components/schemas/Order"},
                    "kind": {"enum": [_EVIL, True, 1]},
                    "lines": {"type": "array", "items": {"oneOf": [{"type": "integer"}, {"type": "string"}]}},
                },
            }
        },
    },
}


def _register(app: Flask) -> None:
    add_api(app, _DOCUMENT, {"put_order": lambda order_id, body=None: {"id": order_id}})


def test_the_documents_are_served_as_one(make_app: Any) -> None:
    """Of the modules, the jobs, and the machines; and it is a good document."""
    answer = make_app(_register).test_client().get("/openapi.json")

    assert answer.content_type == "application/json"
    assert {
        "/api/orders/{order_id}",
        "/api/jobs",
        "/api/jobs/retry",
        "/api/jobs/{job_id}/retry",
        "/livez",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/openapi.yaml",
        "/docs",
    } <= answer.json["paths"].keys()
    assert api.load_document(answer.json).content["openapi"].startswith("3.1")


def test_the_yaml_says_the_same(make_app: Any) -> None:
    """In the form that people edit."""
    client = make_app(_register).test_client()
    answer = client.get("/openapi.yaml")

    assert answer.content_type == "application/yaml"
    assert yaml.safe_load(answer.data) == client.get("/openapi.json").json


def test_every_path_in_it_is_served(make_app: Any) -> None:
    """A document must not promise routes that do not exist."""
    app = make_app(_register, auth="off")
    client = app.test_client()

    for path, item in client.get("/openapi.json").json["paths"].items():
        for method in set(item) & {"get", "put", "post"}:
            answer = client.open(re.sub(r"{\w+}", "1", path), method=method)
            assert answer.status_code not in {405, 500}
            assert answer.status_code != 404 or "there is no job" in answer.text


def test_without_authentication_none_is_promised(make_app: Any) -> None:
    """`AUTH=off` is described as what it is."""
    document = make_app(_register, auth="off").test_client().get("/openapi.json").json

    assert "security" not in str(document["paths"])


def test_documents_can_be_kept_private(make_app: Any) -> None:
    """`API_DOCS=off`."""
    client = make_app(_register, api_docs="off").test_client()

    assert {client.get(path).status_code for path in ("/docs", "/openapi.json", "/openapi.yaml")} == {404}


class _Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]


@pytest.fixture
def page(make_app: Any) -> Any:
    return make_app(_register).test_client().get("/docs")


def test_the_page_is_of_one_piece(page: Any) -> None:
    """Nothing is loaded from anywhere, and the policy forbids it."""
    read = _Page()
    read.feed(page.text)

    addresses = [value for _, attrs in read.tags for name, value in attrs.items() if name in {"src", "href"}]
    assert all(address is not None and re.match(r"#|data:,$|openapi\.(json|yaml)$", address) for address in addresses)
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert page.content_type == "text/html; charset=utf-8"


def test_the_policy_allows_the_pages_own_style_and_script(page: Any) -> None:
    """By their hashes, so that the page is not bare."""
    import base64
    import hashlib

    for tag in ("style", "script"):
        inside = page.text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in page.headers["Content-Security-Policy"]


def test_the_page_is_no_way_in(page: Any) -> None:
    """All content of a document is text: no tag or attribute of it gets through."""
    read = _Page()
    read.feed(page.text)

    assert "img" not in {tag for tag, _ in read.tags}
    assert not [attrs for _, attrs in read.tags if any(name.startswith("on") for name in attrs)]


def test_the_page_shows_every_operation(page: Any) -> None:
    """With its address, scopes, schema and a line for the shell; each link leads somewhere."""
    read = _Page()
    read.feed(page.text)

    links = [attrs["href"] for tag, attrs in read.tags if tag == "a" and str(attrs.get("href", "")).startswith("#")]
    assert {str(link)[1:] for link in links} == {one for one in read.ids if one}
    assert len(set(read.ids)) == len(read.ids)
    for told in ("orders:write", "at most 9 long", "<strong>bought</strong>", "<code>EUR</code>", "$CARBOY_KEY"):
        assert told in page.text
    assert "-d &#39;{&#34;note&#34;: &#34;it&#39;\\&#39;&#39;s&#34;}&#39;" in page.text


def test_a_schema_that_holds_itself_ends(page: Any) -> None:
    """At a depth beyond what people read."""
    assert page.text.count("parent") < 50


def test_a_document_without_anything_is_a_page() -> None:
    """No operation, no tag, no scheme."""
    body, headers = render_page({"openapi": "3.1.1", "info": {"title": "<x>", "version": "0"}, "paths": {}})

    assert b"<h1>&lt;x&gt;</h1>" in body
    assert "Content-Security-Policy" in headers


def test_the_modules_of_the_application_come_first(make_app: Any) -> None:
    """Before what Carboy serves; the schemes of the API keys stand there once."""
    document = make_app(_register).test_client().get("/openapi.json").json

    assert next(iter(document["paths"])) == "/api/orders/{order_id}"
    assert {name for name in document["components"]["securitySchemes"] if name.startswith("key")} == {"key"}


def test_operations_without_a_tag_come_first(make_app: Any) -> None:
    """A document without tags is usually the application's own; those of Carboy have tags."""

    def register(app: Flask) -> None:
        paths = {"/notes": {"get": {"operationId": "list_notes", "responses": {"200": {"description": "all"}}}}}
        document = {"openapi": "3.1.0", "info": {"title": "Notes", "version": "1"}, "paths": paths}
        add_api(app, document, {"list_notes": dict}, name="notes")

    page = make_app(register).test_client().get("/docs").text

    navigation = re.search(r"<nav.*?</nav>", page, re.DOTALL)
    assert navigation is not None
    assert re.findall("<h2>([^<]*)</h2>", navigation[0])[0] == "operations"
    assert "#list-notes" in navigation[0].partition("</ul>")[0]


def test_each_operation_can_be_tried(page: Any) -> None:
    """The form is made from its parameters, with an example of its body; the policy lets it call this server only."""
    read = _Page()
    read.feed(page.text)
    forms = [json.loads(str(attrs["data-form"])) for tag, attrs in read.tags if tag == "div" and "data-form" in attrs]

    order = next(form for form in forms if form["path"] == "/api/orders/{order_id}")
    assert order["secured"]
    assert [one["name"] for one in order["parameters"] if one["in"] == "path"] == ["order_id"]
    assert json.loads(order["body"])
    assert "connect-src 'self'" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("security", "words"),
    [
        ([{"key": ["a:b"]}], "<p><code>key</code> <code>a:b</code></p>"),
        ([{"key": []}, {}], "<p><code>key</code>; optional: no authentication</p>"),
        ([{}], "<p>no authentication</p>"),
    ],
)
def test_the_page_says_what_authentication_is_needed(security: Any, words: str) -> None:
    """An operation that may be called without any says so in plain words."""
    operation = {"security": security, "responses": {"403": {"description": "not yours"}}}
    document = {"openapi": "3.1.1", "info": {"title": "x", "version": "0"}, "paths": {"/a": {"get": operation}}}
    body, _ = render_page(document)

    assert words in body.decode()
    assert "<strong>Forbidden</strong> not yours" in body.decode()


def test_an_example_is_made_of_the_schema() -> None:
    """Where the document has none: required and optional properties, not those that are read only."""
    schema = {
        "allOf": [{"properties": {"id": {"type": "integer", "readOnly": True}, "at": {"format": "date"}}}],
        "properties": {"n": {"type": "integer", "default": 7}, "list": {"type": "array", "items": {"enum": ["a"]}}},
    }
    operation = {
        "parameters": [{"name": "q", "in": "query", "required": True, "schema": {"type": "string"}, "example": "a b"}],
        "requestBody": {"content": {"application/json": {"schema": schema}}},
        "responses": {},
    }
    document = {"openapi": "3.1.1", "info": {"title": "x", "version": "0"}, "paths": {"/a": {"post": operation}}}
    text = unescape(render_page(document)[0].decode())

    assert """-d '{"n": 7, "list": ["a"], "at": "2026-01-31"}'""" in text
    assert '"$CARBOY_URL/a?q=a%20b"' in text
