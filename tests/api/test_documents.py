"""A document is read whole, from any number of files, or the start stops with everything that is wrong."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from tests.api.kit import MakeDocument, Serve

from carboy import api
from carboy.errors import ConfigurationError

_PETS = """\
openapi: 3.0.3
info: {title: pets, version: "1"}
paths:
  /pets:
    $ref: paths/pets.yaml
  /pets/{id}:
    get:
      operationId: show
      parameters:
        - $ref: "common.yaml#/parameters/Id"
      responses:
        200: {description: one, content: {application/json: {schema: {$ref: "common.yaml#/Pet"}}}}
        default: {$ref: "common.yaml#/answers/Problem"}
"""
_PATHS = """\
post:
  operationId: add
  requestBody:
    content:
      application/json:
        schema:
          $ref: "../common.yaml#/Pet"
  responses: {"201": {description: made}}
"""
_COMMON = """\
parameters:
  Id: {name: id, in: path, required: true, schema: {type: integer}}
answers:
  Problem: {description: wrong}
Pet:
  type: object
  required: [name]
  properties:
    name: {$ref: "#/Name"}
    parent: {$ref: "#/Pet"}
    friends: {type: array, items: {$ref: "#/Pet"}}
Name: {type: string, enum: [no, on, 2024-01-31, "5"]}
"""


def _write(folder: Path, **texts: str) -> Path:
    (folder / "paths").mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / (name.replace("__", "/") + ".yaml")).write_text(text)
    return folder / "pets.yaml"


def _faults(source: Any, operations: Any = None, **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConfigurationError) as caught:
        api.blueprint(source, operations, **options)
    return [(fault.pointer, fault.detail) for fault in caught.value.faults]


def _client(document: Any) -> Any:
    app = Flask("pets")
    app.register_blueprint(
        api.blueprint(document, {"add": lambda body: body, "show": lambda **path: {"name": str(path["id"])}})
    )
    return app.test_client()


def test_a_document_of_many_files_is_one(tmp_path: Path) -> None:
    """References across files, in circles too, end in the components of the one document."""
    document = api.load_document(_write(tmp_path, pets=_PETS, paths__pets=_PATHS, common=_COMMON))

    assert set(document.content["components"]["schemas"]) == {"Pet", "Name"}
    assert "yaml" not in json.dumps(document.content["components"])
    client = _client(document)
    pet = {"name": "no", "friends": [{"name": "2024-01-31", "parent": {"name": "5"}}]}
    assert client.post("/pets", json=pet).get_json() == pet
    answer = client.post("/pets", json={"name": "on", "friends": [{"parent": {"name": False}}]})
    assert {error["pointer"] for error in answer.get_json()["errors"]} == {"/friends/0/name", "/friends/0/parent/name"}
    assert client.get("/pets/5").get_json() == {"name": "5"}


def test_a_fault_names_the_file_and_line_it_is_in(tmp_path: Path) -> None:
    """Also when it is in a file that another one refers to."""
    paths = _PATHS.replace("operationId: add", "operationId: add\n  tagz: []")
    file = _write(tmp_path, pets=_PETS, paths__pets=paths, common=_COMMON)

    assert _faults(file) == [("/post/tagz", f"{tmp_path}/paths/pets.yaml:3: is not known here")]


def test_an_operation_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    """And one that is left over; every one at once."""
    file = _write(tmp_path, pets=_PETS, paths__pets=_PATHS, common=_COMMON)

    assert _faults(file, {"shwo": print, "other": print}) == [
        ("/post/operationId", f"{tmp_path}/paths/pets.yaml:2: the operations' mapping has no `add`, nor `add`"),
        (
            "/paths/~1pets~1{id}/get/operationId",
            f"{file}:8: the operations' mapping has no `show`, nor `show`",
        ),
        ("/paths", f"{file}:4: `other` is handed in, and no operationId names it"),
        ("/paths", f"{file}:4: `shwo` is handed in, and no operationId names it"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("openapi: 3.0.0\ninfo: [", "3: did not find"),
        ("openapi: 3.0.0\na: 1\na: 2", "3: the key `a` stands twice"),
        ("a: &x [*x]", "1: an alias holds itself"),
        ("? [1]\n: 2", "1: a key must be a string"),
        ("a: !!python/object:os.system x", "1: the tag"),
        ('{"a": 1, "a": 2}', "1: the key `a` stands twice"),
        ("\x00", "1: "),
        ("- 1", "it is not an object with `openapi` or `swagger`"),
        ("openapi: 2.5.0", "it says version `2.5.0`"),
        ("", "it is not an object"),
    ],
)
def test_a_text_that_cannot_be_read_says_where(tmp_path: Path, text: str, expected: str) -> None:
    """With the line, and never with a stack."""
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        api.load_document(file)
    assert expected in str(caught.value)
    assert caught.value.faults


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The document itself, and one that it refers to."""
    assert "cannot be read (FileNotFoundError)" in _faults(tmp_path / "none.yaml")[0][1]
    file = _write(tmp_path, pets=_PETS, paths__pets=_PATHS)
    assert {detail.split(": ", 1)[1] for _, detail in _faults(file)} == {
        f"`{tmp_path}/common.yaml` cannot be read (FileNotFoundError)"
    }


@pytest.mark.parametrize(
    ("reference", "detail"),
    [
        ("#/components/schemas/Nope", "`#/components/schemas/Nope` names nothing"),
        ("https://example.com/x.yaml", "`https://example.com/x.yaml` is elsewhere on the network; nothing is fetched"),
        ("other.yaml#/X", "`other.yaml` is a file, and a document that is no file has none beside it"),
        ("#nope", "`#nope` names nothing"),
    ],
)
def test_a_reference_that_leads_nowhere_is_a_fault(make_document: MakeDocument, reference: str, detail: str) -> None:
    """Nothing is fetched."""
    document = make_document(components={"schemas": {"A": {"items": {"$ref": reference}}}})
    assert _faults(document, {"op": print}) == [("/components/schemas/A/items/$ref", detail)]


@pytest.mark.parametrize(
    ("change", "pointer", "detail"),
    [
        ({"requestbody": {}}, "/paths/~1things/get/requestbody", "is not known here"),
        ({"responses": {"20": {}}}, "/paths/~1things/get/responses/20", "is not known here"),
        ({"responses": {"200": {}}}, "/paths/~1things/get/responses/200/description", "is required"),
        ({"operationId": 5}, "/paths/~1things/get/operationId", "must be string"),
        (
            {"parameters": [{"name": "a", "in": "body", "schema": {}}]},
            "/paths/~1things/get/parameters/0/in",
            'is not one of "path", "query", "header" or "cookie"',
        ),
        (
            {"parameters": [{"name": "a", "in": "query", "schema": {"type": "text"}}]},
            "/paths/~1things/get/parameters/0/schema/type",
            'is not one of "array", "boolean", "integer", "null", "number", "object" or "string"',
        ),
        (
            {"parameters": [{"name": "a", "in": "query", "schema": {"pattern": "("}}]},
            "/paths/~1things/get/parameters/0/schema/pattern",
            "must be of the format `regex`",
        ),
        (
            {"parameters": [{"name": "a", "in": "path", "required": True, "schema": {}}]},
            "/paths/~1things/get",
            "the path parameter `a` is not in the path",
        ),
        (
            {"parameters": [{"name": "a", "in": "query", "schema": {}}] * 2},
            "/paths/~1things/get/parameters/1",
            "the parameter `a` in query stands twice",
        ),
        ({"security": [{"key": []}]}, "/paths/~1things/get/security/0/key", "no security scheme is named `key`"),
        ({"operationId": None}, "/paths/~1things/get/operationId", "must be string"),
    ],
)
def test_a_document_that_is_not_well_formed_stops_the_start(
    make_document: MakeDocument, change: dict[str, Any], pointer: str, detail: str
) -> None:
    """With the place and the reason."""
    assert (pointer, detail) in _faults(make_document(**change), {"op": print})


def test_names_that_are_used_twice_are_faults(make_document: MakeDocument) -> None:
    """The same operationId, and the same path under another name."""
    document = make_document("/a/{x}", parameters=[{"name": "x", "in": "path", "required": True, "schema": {}}])
    item = document["paths"]["/a/{x}"]
    document["paths"]["/a/{y}"] = {
        "get": {**item["get"], "parameters": [{**item["get"]["parameters"][0], "name": "y"}]}
    }

    assert _faults(document, {"op": print}) == [
        ("/paths/~1a~1{y}", "the path is the same as `/a/{x}`, which has the method GET too"),
        ("/paths/~1a~1{y}/get/operationId", "the operationId `op` is used twice"),
    ]


def test_an_argument_that_nothing_fills_stops_the_start(make_document: MakeDocument) -> None:
    """Rather than every request."""

    def op(body: Any, nothing: str) -> None: ...

    assert _faults(make_document(), {"op": op}) == [
        ("/paths/~1things/get/operationId", "nothing fills the argument `body` of the function"),
        ("/paths/~1things/get/operationId", "nothing fills the argument `nothing` of the function"),
    ]
    body: Any = {"content": {"application/json": {"schema": {"properties": {"nothing": {}}}}}}
    assert _faults(make_document(requestBody=body), {"op": op}) == [
        ("/paths/~1things/get/operationId", "nothing fills the argument `nothing` of the function")
    ]


def test_a_schema_is_found_by_its_id_and_anchor(make_document: MakeDocument, serve: Serve) -> None:
    """As JSON Schema has it."""
    components = {
        "schemas": {
            "A": {"$id": "https://example.com/a", "type": "integer"},
            "B": {"$anchor": "b", "type": "object", "properties": {"a": {"$ref": "https://example.com/a"}}},
        }
    }
    body = {"content": {"application/json": {"schema": {"$ref": "#b"}}}}
    client = serve(make_document(method="post", requestBody=body, components=components))

    assert client.post("/things", json={"a": 1}).status_code == 200
    assert client.post("/things", json={"a": "1"}).status_code == 422


class TestCache:
    """What was read is kept on disk for the next start."""

    def test_a_second_start_reads_no_yaml(self, tmp_path: Path) -> None:
        """The same document comes from the folder, with the places of its faults."""
        file = _write(tmp_path, pets=_PETS, paths__pets=_PATHS, common=_COMMON)
        first = api.load_document(file, cache_dir=tmp_path / "cache")
        second = api.load_document(file, cache_dir=tmp_path / "cache")

        assert second == first
        assert len(list((tmp_path / "cache").iterdir())) == 1
        assert f"{tmp_path}/paths/pets.yaml:2" in _faults(second, {"show": print})[0][1]

    @pytest.mark.parametrize("name", ["pets", "common"])
    def test_a_change_in_any_file_is_seen(self, tmp_path: Path, name: str) -> None:
        """Of the document, and of one that it refers to."""
        file = _write(tmp_path, pets=_PETS, paths__pets=_PATHS, common=_COMMON)
        first = api.load_document(file, cache_dir=tmp_path)
        changed = tmp_path / f"{name}.yaml"
        changed.write_text(
            changed.read_text().replace("type: integer", "type: number").replace("title: pets", "title: x")
        )

        assert api.load_document(file, cache_dir=tmp_path) == api.load_document(file) != first

    @pytest.mark.parametrize(
        "garbage", [b"", b"{}", b"[]", b'{"others":{},"origins":[],"content":{}}', b"\xff", b"null"]
    )
    def test_a_broken_entry_is_made_again(self, tmp_path: Path, garbage: bytes) -> None:
        """It is never believed and never in the way."""
        file = _write(tmp_path, pets=_PETS, paths__pets=_PATHS, common=_COMMON)
        first = api.load_document(file, cache_dir=tmp_path / "cache")
        (entry,) = (tmp_path / "cache").iterdir()
        good = entry.read_bytes()
        entry.write_bytes(garbage)

        assert api.load_document(file, cache_dir=tmp_path / "cache") == first
        assert entry.read_bytes() == good

    def test_a_folder_that_cannot_be_written_is_let_be(self, tmp_path: Path) -> None:
        """A read-only disk is no reason not to start."""
        file = _write(tmp_path, pets=_PETS, paths__pets=_PATHS, common=_COMMON)
        blocked = tmp_path / "file"
        blocked.write_text("")
        assert api.load_document(file, cache_dir=blocked / "cache").content

    def test_an_entry_moves_with_the_project(self, tmp_path: Path) -> None:
        """It names no folder: a package made elsewhere can bring it along."""
        (tmp_path / "a").mkdir()
        file = _write(tmp_path / "a", pets=_PETS, paths__pets=_PATHS, common=_COMMON)
        api.load_document(file, cache_dir=tmp_path / "a" / "cache")
        (tmp_path / "a").rename(tmp_path / "b")
        (entry,) = (tmp_path / "b" / "cache").iterdir()
        before = os.stat(entry).st_mtime_ns

        moved = api.load_document(tmp_path / "b" / "pets.yaml", cache_dir=tmp_path / "b" / "cache")

        assert os.stat(entry).st_mtime_ns == before
        assert moved.origins["paths", "/pets"].file == str(tmp_path / "b" / "paths" / "pets.yaml")

    def test_a_copy_that_was_packed_with_the_document_is_read_in_its_place(self, tmp_path: Path) -> None:
        """Until one of the documents changes; no folder of a cache is needed."""
        file = _write(tmp_path, pets=_PETS, paths__pets=_PATHS, common=_COMMON)
        first = api.load_document(file)
        name, copy = api.prepare_document(Path(file))
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(copy.replace(b'"pets"', b'"copied"'))

        assert api.load_document(file).content["info"]["title"] == "copied"
        (tmp_path / "common.yaml").write_text(_COMMON + "\n# changed\n")
        assert api.load_document(file) == first
