"""Schemas that refer to one another in circles work, or are refused in words."""

from typing import Any

import pytest
from tests.api.kit import MakeDocument, Serve

from carboy import api
from carboy.errors import ConfigurationError

_PETS: dict[str, Any] = {
    "Pet": {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"type": "string"}},
        "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
        "discriminator": {"propertyName": "kind"},
    },
    "Cat": {
        "allOf": [
            {"$ref": "#/components/schemas/Pet"},
            {"properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}},
        ]
    },
    "Dog": {
        "allOf": [
            {"$ref": "#/components/schemas/Pet"},
            {"properties": {"kind": {"const": "dog"}, "barks": {"type": "boolean"}}},
        ]
    },
}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_parent_that_lists_its_children_is_a_body(make_document: MakeDocument, serve: Serve, kind: str) -> None:
    """The common form of inheritance, with a discriminator; in requests and in responses."""
    content = {kind: {"schema": _ref("Pet")}}
    responses = {"200": {"description": "", "content": {"application/json": {"schema": _ref("Pet")}}}}
    document = make_document(
        method="post", components={"schemas": _PETS}, requestBody={"content": content}, responses=responses
    )
    client = serve(document, lambda body: body, validate_responses=True)

    def post(pet: dict[str, Any]) -> int:
        if kind == "application/json":
            return client.post("/things", json=pet).status_code
        return client.post("/things", data=pet, content_type=kind).status_code

    assert post({"kind": "cat", "lives": 9}) == 200
    assert post({"kind": "cow"}) == 422
    assert post({"lives": 9}) == 422


def test_a_parent_that_lists_its_children_is_a_parameter(make_document: MakeDocument, serve: Serve) -> None:
    """Its properties are those of all of them."""
    deep = {"name": "pet", "in": "query", "style": "deepObject", "schema": _ref("Pet")}
    client = serve(make_document(components={"schemas": _PETS}, parameters=[deep]))
    assert client.get("/things?pet[kind]=cat&pet[lives]=9").get_json() == {"pet": {"kind": "cat", "lives": 9}}
    assert client.get("/things?pet[kind]=cat&pet[lives]=x").status_code == 422


@pytest.mark.slow
@pytest.mark.parametrize("keyword", ["oneOf", "anyOf", "allOf"])
def test_sixteen_schemas_of_one_another_are_refused(make_document: MakeDocument, keyword: str) -> None:
    """A validator would follow every order of them, which are more than there are seconds."""
    names = [f"S{n}" for n in range(16)]
    schemas = {name: {keyword: [_ref(other) for other in names], "properties": {name: {}}} for name in names}
    with pytest.raises(ConfigurationError, match="16 schemas, `S0` and `S1` among them, refer to one another"):
        api.load_document(make_document(components={"schemas": schemas}))


@pytest.mark.slow
def test_a_parent_of_a_thousand_children_is_served(make_document: MakeDocument, serve: Serve) -> None:
    """Each names its parent: a circle, but no tangle."""
    names = [f"C{n}" for n in range(1000)]
    children = {name: {"allOf": [_ref("P"), {"properties": {"kind": {"const": name}}}]} for name in names}
    schemas = {"P": {"required": ["kind"], "oneOf": [_ref(name) for name in names]}, **children}
    body = {"content": {"application/json": {"schema": _ref("P")}}}
    client = serve(make_document(method="post", components={"schemas": schemas}, requestBody=body))
    assert client.post("/things", json={"kind": "C7"}).status_code == 200
    assert client.post("/things", json={"kind": "D7"}).status_code == 422


def test_a_tree_with_many_branches_is_read(make_document: MakeDocument, serve: Serve) -> None:
    """The reader of a node is the reader of its children, however many there are."""
    node = {"type": "object", "properties": {f"child{n}": _ref("Node") for n in range(8)} | {"n": {"type": "integer"}}}
    parameters = [{"name": "tree", "in": "query", "schema": _ref("Node"), "style": "deepObject"}]
    client = serve(make_document(components={"schemas": {"Node": node}}, parameters=parameters))
    answer = client.get("/things?tree[child1][child2][n]=5")
    assert answer.get_json() == {"tree": {"child1": {"child2": {"n": 5}}}}


@pytest.mark.parametrize(
    "schemas",
    [
        {"A": _ref("A")},
        {"A": _ref("B"), "B": _ref("A")},
        {"A": {**_ref("A"), "description": "itself"}},
        {"A": _ref("B"), "B": _ref("C"), "C": _ref("B")},
    ],
)
def test_a_reference_to_itself_is_refused(make_document: MakeDocument, schemas: dict[str, Any]) -> None:
    """With the place, before anything follows it."""
    document = make_document(
        components={"schemas": schemas}, parameters=[{"name": "a", "in": "query", "schema": _ref("A")}]
    )
    with pytest.raises(ConfigurationError) as caught:
        api.load_document(document)
    assert ("/components/schemas/A/$ref" in {fault.pointer for fault in caught.value.faults}) or "C" in schemas
    assert all(fault.detail == "the reference leads back to itself" for fault in caught.value.faults)


@pytest.mark.parametrize("section", ["parameters", "responses", "requestBodies", "headers"])
def test_other_components_that_name_themselves_are_refused(make_document: MakeDocument, section: str) -> None:
    """As schemas are."""
    with pytest.raises(ConfigurationError, match="leads back to itself"):
        api.load_document(make_document(components={section: {"A": {"$ref": f"#/components/{section}/A"}}}))
