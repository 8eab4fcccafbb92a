"""Several documents become one that people and tools can read."""

from typing import Any

import pytest
from tests.api.kit import MakeDocument, Serve

from carboy import api
from carboy.errors import ConfigurationError

_INFO = {"title": "all", "version": "1"}


def _with_schema(make_document: MakeDocument, path: str, operation_id: str, schema: Any, **root: Any) -> dict[str, Any]:
    responses = {
        "200": {"description": "", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}
    }
    schemas = {"Thing": schema, "Box": {"items": {"$ref": "#/components/schemas/Thing/properties/a"}}}
    return make_document(
        path, operationId=operation_id, responses=responses, components={"schemas": schemas}, root=root
    )


def test_components_that_differ_are_renamed(make_document: MakeDocument) -> None:
    """With everything that refers to them; those that are the same are kept once."""
    first = _with_schema(make_document, "/a", "a", {"properties": {"a": {"type": "integer"}}})
    second = _with_schema(make_document, "/b", "b", {"properties": {"a": {"type": "string"}}})
    third = _with_schema(make_document, "/c", "c", {"properties": {"a": {"type": "integer"}}})

    merged = api.merge([api.load_document(first), second, third], info=_INFO)

    assert set(merged["components"]["schemas"]) == {"Thing", "Thing_2", "Box", "Box_2"}
    assert merged["components"]["schemas"]["Box_2"] == {"items": {"$ref": "#/components/schemas/Thing_2/properties/a"}}

    def used(path: str) -> str:
        media = merged["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        return str(media["schema"]["$ref"])

    assert [used(path) for path in ("/a", "/b", "/c")] == [
        "#/components/schemas/Thing",
        "#/components/schemas/Thing_2",
        "#/components/schemas/Thing",
    ]
    assert api.load_document(merged).content == merged


def test_paths_keep_where_they_are_served(make_document: MakeDocument, serve: Serve) -> None:
    """Each behind its document's base path, so that the whole can be served at the root."""
    first = make_document("/things", operationId="op", root={"servers": [{"url": "/v1"}], "tags": [{"name": "t"}]})
    second = make_document("/things", operationId="other", root={"servers": [{"url": "https://x.example/v2"}]})

    merged = api.merge([first, second], info=_INFO, servers=[{"url": "/"}])

    assert list(merged["paths"]) == ["/v1/things", "/v2/things"]
    assert merged["info"] == _INFO
    assert merged["tags"] == [{"name": "t"}]
    assert merged["servers"] == [{"url": "/"}]


def test_what_cannot_stand_twice_is_refused(make_document: MakeDocument) -> None:
    """The same path, the same operationId."""
    with pytest.raises(ConfigurationError) as caught:
        api.merge([make_document(), make_document()], info=_INFO)
    assert [fault.pointer for fault in caught.value.faults] == [
        "/paths/~1things",
        "/paths/~1things/get/operationId",
    ]
