"""Files and JSON parts of forms, in every form that OpenAPI and browsers write."""

import io
from typing import Any

import pytest
from tests.api.kit import MakeDocument, Serve

_KIND = "multipart/form-data"


def _form(schema: dict[str, Any], **encoding: Any) -> dict[str, Any]:
    return {"content": {_KIND: {"schema": schema, **({"encoding": encoding} if encoding else {})}}}


def _part(data: bytes, kind: str = "application/octet-stream", name: str = "blob") -> tuple[io.BytesIO, str, str]:
    return io.BytesIO(data), name, kind


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "format": "binary"},
        {"type": "string", "contentMediaType": "image/png"},
        {"type": "string", "contentEncoding": "binary"},
        {"contentMediaType": "application/octet-stream"},
        {},
        True,
        {"description": "anything"},
        {"anyOf": [{"type": "string", "format": "binary"}, {"type": "null"}]},
        {"allOf": [{"type": "string", "format": "binary"}], "description": "a file"},
    ],
)
def test_a_file_reaches_the_function_however_it_is_described(
    make_document: MakeDocument, serve: Serve, schema: Any
) -> None:
    """As the argument of its name."""
    form = _form({"type": "object", "required": ["file"], "properties": {"file": schema}})
    client = serve(make_document(method="post", requestBody=form), lambda file: {"data": file.read().decode()})
    answer = client.post("/things", data={"file": _part(b"hi", "image/png", "a.png")}, content_type=_KIND)
    assert answer.get_json() == {"data": "hi"}


@pytest.mark.parametrize(
    "items", [{}, {"type": "string", "format": "binary"}, {"type": "string", "contentEncoding": "binary"}]
)
def test_a_list_of_files_reaches_the_function(make_document: MakeDocument, serve: Serve, items: Any) -> None:
    """The example of OpenAPI 3.1 among them."""
    form = _form({"type": "object", "properties": {"file": {"type": "array", "items": items}}})
    client = serve(make_document(method="post", requestBody=form), lambda file: [one.read().decode() for one in file])
    answer = client.post("/things", data={"file": [_part(b"1"), _part(b"2")]}, content_type=_KIND)
    assert answer.get_json() == ["1", "2"]


def test_a_field_without_a_type_may_be_a_text_as_well(make_document: MakeDocument, serve: Serve) -> None:
    """What comes without a file name is a field of the body."""
    form = _form({"type": "object", "properties": {"file": {}}})
    client = serve(make_document(method="post", requestBody=form), lambda body, file=None: [body, file])
    assert client.post("/things", data={"file": "x"}, content_type=_KIND).get_json() == [{"file": "x"}, None]


_META = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "parts", "expected"),
    [
        (_META, [_part(b'{"n": 1}', "application/json")], {"n": 1}),
        (_META, [_part(b'{"n": 1}', "application/json; charset=utf-8", "meta.json")], {"n": 1}),
        (_META, [_part(b'{"n": 1}')], {"n": 1}),
        ({"type": "string"}, [_part(b"text", "text/plain", "note.txt")], "text"),
        ({"type": "integer"}, [_part(b"5", "text/plain")], 5),
        (
            {"type": "array", "items": _META},
            [_part(b'{"n": 1}', "application/json"), _part(b'{"n": 2}')],
            [{"n": 1}, {"n": 2}],
        ),
        ({"type": "array", "items": _META}, [_part(b'[{"n": 1}]', "application/json")], [{"n": 1}]),
    ],
)
def test_a_part_with_a_file_name_is_the_field_that_it_names(
    make_document: MakeDocument, serve: Serve, schema: Any, parts: list[Any], expected: Any
) -> None:
    """What `FormData.append(name, new Blob([json]))` sends."""
    form = _form({"type": "object", "required": ["meta"], "properties": {"meta": schema}})
    client = serve(make_document(method="post", requestBody=form))
    answer = client.post("/things", data={"meta": parts}, content_type=_KIND)
    assert answer.get_json() == {"body": {"meta": expected}}


def test_a_file_in_the_place_of_a_field_is_refused(make_document: MakeDocument, serve: Serve) -> None:
    """In words, with what it is."""
    form = _form(
        {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}, "t": {"type": "string"}}}
    )
    client = serve(make_document(method="post", requestBody=form))
    answer = client.post(
        "/things", data={"n": _part(b"\x89PNG", "image/png"), "t": _part(b"\xff\xfe", "text/plain")}, content_type=_KIND
    )
    assert {error["pointer"]: error["detail"] for error in answer.get_json()["errors"]} == {
        "/n": "must be a field, not a file of the type `image/png`",
        "/t": "must be a field, not a file of the type `text/plain`",
    }


@pytest.mark.parametrize(
    ("strict", "more", "status"), [(True, {}, 422), (False, {}, 200), (True, {"additionalProperties": True}, 200)]
)
def test_a_file_that_the_document_does_not_describe_is_refused(
    make_document: MakeDocument, serve: Serve, strict: bool, more: dict[str, Any], status: int
) -> None:
    """As an unknown field is, under `strict_validation`."""
    form = _form({"type": "object", "properties": {"n": {"type": "integer"}}, **more})
    client = serve(make_document(method="post", requestBody=form), strict_validation=strict)
    answer = client.post("/things", data={"n": "1", "extra": _part(b"x")}, content_type=_KIND)
    assert answer.status_code == status
    if status != 200:
        assert answer.get_json()["errors"] == [{"pointer": "/extra", "detail": "is not known here"}]


@pytest.mark.parametrize("kind", [_KIND, "application/x-www-form-urlencoded"])
def test_an_array_of_objects_is_one_json_text_for_each(make_document: MakeDocument, serve: Serve, kind: str) -> None:
    """Or a single one that is the array."""
    form = {"content": {kind: {"schema": {"properties": {"a": {"type": "array", "items": _META}}}}}}
    client = serve(make_document(method="post", requestBody=form))

    def post(*texts: str) -> Any:
        answer = client.post("/things", data={"a": list(texts)}, content_type=kind)
        return answer.get_json().get("body") or answer.get_json()["errors"]

    assert post('{"n": 1}', '{"n": 2}') == {"a": [{"n": 1}, {"n": 2}]}
    assert post('[{"n": 1}]') == {"a": [{"n": 1}]}
    assert post("{") == [{"pointer": "/a", "detail": "must be JSON"}]
    assert post('{"n": "x"}') == [{"pointer": "/a/0/n", "detail": "must be integer"}]


_TWO_OR_THREE = {"type": "string", "format": "binary", "minLength": 2, "maxLength": 3}


@pytest.mark.parametrize(
    ("schema", "parts", "pointers"),
    [
        (_TWO_OR_THREE, [b"\xff\xfe"], []),
        (_TWO_OR_THREE, [b"\xc3\xa4\xc3"], []),
        (_TWO_OR_THREE, [b"1"], ["/file"]),
        (_TWO_OR_THREE, [b"1234"], ["/file"]),
        ({"type": "array", "items": _TWO_OR_THREE}, [b"12", b"1", b"123"], ["/file/1"]),
    ],
)
def test_the_length_of_a_file_is_that_of_its_bytes(
    make_document: MakeDocument, serve: Serve, schema: Any, parts: list[bytes], pointers: list[str]
) -> None:
    """And the file is read from its beginning afterwards."""

    def total(file: Any) -> int:
        return sum(len(one.read()) for one in (file if isinstance(file, list) else [file]))

    client = serve(make_document(method="post", requestBody=_form({"properties": {"file": schema}})), total)
    answer = client.post("/things", data={"file": [_part(data) for data in parts]}, content_type=_KIND)
    if pointers:
        assert [one["pointer"] for one in answer.get_json()["errors"]] == pointers
    else:
        assert answer.get_json() == sum(map(len, parts))


@pytest.mark.parametrize(("data", "status"), [(b"1", 422), (b"\xff\xfe", 200), (b"1234", 422)])
def test_the_length_of_a_body_of_bytes_is_checked(
    make_document: MakeDocument, serve: Serve, data: bytes, status: int
) -> None:
    """As OpenAPI 3.1 has it for unencoded binary data."""
    content = {"application/octet-stream": {"schema": {"minLength": 2, "maxLength": 3}}}
    client = serve(make_document(method="post", requestBody={"content": content}), lambda body: [len(body)])
    assert client.post("/things", data=data, content_type="application/octet-stream").status_code == status


def test_a_form_without_a_schema_takes_any_field(make_document: MakeDocument, serve: Serve) -> None:
    """Nothing is described that a field could differ from."""
    client = serve(make_document(method="post", requestBody={"content": {_KIND: {}}}))
    answer = client.post("/things", data={"a": "1", "b": _part(b"x")}, content_type=_KIND)
    assert answer.get_json() == {"body": {"a": "1"}}


@pytest.mark.parametrize("kind", [_KIND, "application/x-www-form-urlencoded"])
@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"additionalProperties": {"type": "integer"}}, {"a1": 1, "b": 2}),
        ({"additionalProperties": {"type": "array", "items": {"type": "integer"}}}, {"a1": [1], "b": [2]}),
        ({"patternProperties": {r"^a\d": {"type": "integer"}}}, {"a1": 1, "b": "2"}),
        ({"patternProperties": {"^": {"type": "integer"}}, "additionalProperties": False}, {"a1": 1, "b": 2}),
        ({"additionalProperties": True}, {"a1": "1", "b": "2"}),
    ],
)
def test_fields_that_are_no_properties_have_their_types(
    make_document: MakeDocument, serve: Serve, kind: str, schema: Any, expected: Any
) -> None:
    """Those of the pattern that their name matches, else those of all others."""
    form = {"content": {kind: {"schema": {"type": "object", **schema}}}}
    client = serve(make_document(method="post", requestBody=form))
    answer = client.post("/things", data={"a1": "1", "b": "2"}, content_type=kind)
    assert answer.get_json() == {"body": expected}


def test_a_field_that_matches_no_pattern_is_refused(make_document: MakeDocument, serve: Serve) -> None:
    """As the schema says."""
    schema = {"type": "object", "patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": False}
    client = serve(make_document(method="post", requestBody=_form(schema)))
    answer = client.post("/things", data={"a": "x", "b": "1"}, content_type=_KIND)
    assert answer.get_json()["errors"] == [
        {"pointer": "/a", "detail": "must be integer"},
        {"pointer": "/b", "detail": "is not known here"},
    ]


def test_files_of_any_name_are_in_the_body(make_document: MakeDocument, serve: Serve) -> None:
    """Where the schema describes them so; they are no arguments, as a client may choose any name."""
    schema = {"type": "object", "additionalProperties": {"type": "string", "format": "binary"}}

    def op(body: Any) -> Any:
        return {name: found.read().decode() for name, found in body.items()}

    client = serve(make_document(method="post", requestBody=_form(schema)), op)
    answer = client.post("/things", data={"a": _part(b"1"), "c": _part(b"2")}, content_type=_KIND)
    assert answer.get_json() == {"a": "1", "c": "2"}


@pytest.mark.parametrize(("required", "status"), [([], 200), (["file"], 422)])
def test_no_file_was_chosen_in_a_browser(
    make_document: MakeDocument, serve: Serve, required: list[str], status: int
) -> None:
    """It sends a part without a name and without bytes."""
    schema = {"type": "object", "required": required, "properties": {"file": {"type": "string", "format": "binary"}}}
    client = serve(make_document(method="post", requestBody=_form(schema)), lambda file=None: {"file": file})
    head = b'Content-Disposition: form-data; name="file"; filename=""\r\nContent-Type: application/octet-stream'
    data = b"--x\r\n" + head + b"\r\n\r\n\r\n--x--\r\n"
    answer = client.post("/things", data=data, content_type=f"{_KIND}; boundary=x")
    assert answer.status_code == status
    if status == 200:
        assert answer.get_json() == {"file": None}
