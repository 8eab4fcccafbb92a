"""`$dynamicRef` of JSON Schema 2020-12, with which a schema leaves a part of it to the one that extends it."""

from typing import Any

import pytest
from tests.api.kit import MakeDocument, Serve

from carboy import api
from carboy.errors import ConfigurationError

_TREE = {
    "$id": "https://example.com/tree",
    "$dynamicAnchor": "node",
    "type": "object",
    "properties": {"data": True, "children": {"type": "array", "items": {"$dynamicRef": "#node"}}},
}
_STRICT = {
    "$id": "https://example.com/strict-tree",
    "$dynamicAnchor": "node",
    "$ref": "tree",
    "unevaluatedProperties": False,
}
_PAGE = {
    "$id": "https://example.com/page",
    "type": "object",
    "properties": {"items": {"type": "array", "items": {"$dynamicRef": "#item"}}},
    "$defs": {"any": {"$dynamicAnchor": "item", "not": {}}},
}
_TEXTS = {
    "$id": "https://example.com/texts",
    "$ref": "page",
    "$defs": {"item": {"$dynamicAnchor": "item", "type": "string"}},
}
_SCHEMAS = {"Tree": _TREE, "Strict": _STRICT, "Page": _PAGE, "Texts": _TEXTS, "Plain": {"type": "string"}}


@pytest.mark.parametrize(
    ("name", "value", "is_valid"),
    [
        ("Tree", {"children": [{"daat": 1}]}, True),
        ("Strict", {"children": [{"data": 1, "children": [{"data": 2}]}]}, True),
        ("Strict", {"children": [{"daat": 1}]}, False),
        ("Strict", {"daat": 1}, False),
        ("Texts", {"items": ["a"]}, True),
        ("Texts", {"items": [1]}, False),
        ("Page", {"items": []}, True),
        ("Page", {"items": ["a"]}, False),
    ],
)
def test_a_dynamic_reference_leads_to_what_extends_its_schema(
    make_document: MakeDocument, serve: Serve, name: str, value: Any, is_valid: bool
) -> None:
    """In requests and in responses."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    document = make_document(
        method="post",
        components={"schemas": _SCHEMAS},
        requestBody={"content": content},
        responses={"200": {"description": "", "content": content}},
    )
    assert serve(document).post("/things", json=value).status_code == (200 if is_valid else 422)
    document["paths"]["/things"]["post"].pop("requestBody")
    client = serve(document, lambda: value, validate_responses=True)
    assert client.post("/things").status_code == (200 if is_valid else 500)


def test_a_dynamic_reference_to_a_component_is_a_plain_one(make_document: MakeDocument, serve: Serve) -> None:
    """As JSON Schema has it for one that leads to no dynamic anchor."""
    schema = {"type": "object", "properties": {"a": {"$dynamicRef": "#/components/schemas/Plain"}}}
    content = {"application/json": {"schema": schema}}
    document = make_document(method="post", components={"schemas": _SCHEMAS}, requestBody={"content": content})
    assert serve(document).post("/things", json={"a": "b"}).status_code == 200
    assert serve(document).post("/things", json={"a": 1}).status_code == 422


@pytest.mark.parametrize("reference", ["#nothing", "https://example.com/nowhere"])
def test_a_dynamic_reference_that_leads_nowhere_stops_the_start(make_document: MakeDocument, reference: str) -> None:
    """In the words of a reference, not of a pattern."""
    content = {"application/json": {"schema": {"$dynamicRef": reference}}}
    with pytest.raises(ConfigurationError, match="a reference leads nowhere"):
        api.load_document(make_document(method="post", requestBody={"content": content}))
