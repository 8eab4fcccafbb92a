"""Bodies of every content type are read, typed and checked."""

import io
from typing import Any

import pytest
from flask import request
from tests.api.kit import MakeDocument, Serve

_PERSON = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "home": {"type": "object", "properties": {"zip": {"type": "integer"}}},
    },
}


def _body(schema: Any, *kinds: str, **more: Any) -> dict[str, Any]:
    return {"content": {kind: {"schema": schema} for kind in kinds or ("application/json",)}, **more}


def _file(data: bytes, name: str, kind: str = "application/octet-stream") -> tuple[io.BytesIO, str, str]:
    return io.BytesIO(data), name, kind


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b'{"name":"a"}', "application/json", 200),
        (b'{"name":"a"}', "application/json; charset=utf-8", 200),
        (b'{"name":"a"}', "APPLICATION/JSON", 200),
        (b'{"name":"a"}', "", 200),
        (b'{"name":"a"}', "text/plain", 415),
        (b'{"name":"a"}', "application/json-seq", 415),
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"name":"a","name":"b"}', "application/json", 400),
        (b'{"name":NaN}', "application/json", 400),
        (b'{"name":' + b"[" * 70 + b"]" * 70 + b"}", "application/json", 400),
        (b"{}", "application/json", 422),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
    ],
)
def test_a_body_has_the_status_that_fits(
    make_document: MakeDocument, serve: Serve, data: bytes, kind: str, status: int
) -> None:
    """400 is no JSON, 415 another content type, 422 the wrong shape; no content type is JSON."""
    client = serve(make_document(method="post", requestBody=_body(_PERSON, required=True)))

    answer = client.post("/things", data=data, content_type=kind or None)

    assert answer.status_code == status
    if status != 200:
        assert answer.content_type == "application/problem+json"
        assert answer.get_json()["status"] == status


def test_every_fault_of_a_body_has_its_pointer(make_document: MakeDocument, serve: Serve) -> None:
    """A missing or unknown member is pointed at itself; names are escaped."""
    schema = {
        "type": "object",
        "required": ["a/b", "list"],
        "additionalProperties": False,
        "properties": {"a/b": {}, "list": {"type": "array", "items": _PERSON, "minItems": 9}, "~": {"type": "null"}},
    }
    client = serve(make_document(method="post", requestBody=_body(schema)))

    answer = client.post("/things", json={"list": [{"name": "", "x": 1}, {"name": "b", "age": "5"}], "~": 1})

    assert {(error["pointer"], error["detail"]) for error in answer.get_json()["errors"]} == {
        ("/a~1b", "is required"),
        ("/list", "has less than 9 items"),
        ("/list/0/name", "is shorter than 1 character"),
        ("/list/0/x", "is not known here"),
        ("/list/1/age", "must be integer"),
        ("/~0", "must be null"),
    }


def test_a_choice_is_explained_by_the_form_that_was_meant(make_document: MakeDocument, serve: Serve) -> None:
    """The branch is recognised by its type or a constant; otherwise the error says that no branch fits."""
    forms = [
        {"type": "object", "required": ["size"], "properties": {"kind": {"const": "dog"}}},
        {"type": "object", "required": ["lives"], "properties": {"kind": {"const": "cat"}}},
        {"type": "string"},
    ]
    client = serve(make_document(method="post", requestBody=_body({"properties": {"pet": {"oneOf": forms}}})))

    def errors(pet: Any) -> Any:
        return [(e["pointer"], e["detail"]) for e in client.post("/things", json={"pet": pet}).get_json()["errors"]]

    assert errors({"kind": "cat"}) == [("/pet/lives", "is required")]
    assert errors(5) == [("/pet", "is of none of the allowed forms")]


@pytest.mark.parametrize(
    ("forms", "value", "detail"),
    [
        ([{"enum": ["a", "b"]}, {"type": "null"}], "c", 'is not one of "a" or "b"'),
        ([{"const": "a"}, {"type": "null"}], "c", 'must be "a"'),
        ([{"type": "string", "enum": ["a", "b"]}, {"type": "integer"}], "c", 'is not one of "a" or "b"'),
        ([{"type": "string", "format": "uuid"}, {"type": "null"}], "c", "must be of the format `uuid`"),
        ([{"type": "integer", "minimum": 5}, {"type": "null"}], 3, "is less than the minimum of 5"),
        ([{"enum": [*range(22)]}, {"type": "null"}], 99, f"is not one of {', '.join(map(str, range(20)))} or 2 others"),
        ([{"const": "a"}, {"const": "b"}], "c", "is of none of the allowed forms"),
        ([{"enum": ["a"]}, {"enum": ["b"]}, {"type": "null"}], "c", "is of none of the allowed forms"),
        ([{"type": "string"}, {"type": "null"}], 5, "is of none of the allowed forms"),
    ],
)
def test_the_only_form_that_a_value_can_have_explains_it(
    make_document: MakeDocument, serve: Serve, forms: Any, value: Any, detail: str
) -> None:
    """An enumeration or null, as libraries write what is optional."""
    client = serve(make_document(method="post", requestBody=_body({"anyOf": forms})))
    assert client.post("/things", json=value).get_json()["errors"] == [{"pointer": "", "detail": detail}]


def test_an_answer_to_a_million_faults_stays_small(make_document: MakeDocument, serve: Serve) -> None:
    """A small body cannot make a large answer."""
    client = serve(make_document(method="post", requestBody=_body({"items": {"type": "string"}})))
    assert len(client.post("/things", json=[1] * 5000).get_json()["errors"]) == 1000


def test_no_value_is_repeated(make_document: MakeDocument, serve: Serve) -> None:
    """A secret in the wrong place does not end in a log."""
    schema = {"properties": {"pin": {"type": "string", "pattern": "^[0-9]+$", "maxLength": 4, "enum": ["1"]}}}
    client = serve(make_document(method="post", requestBody=_body(schema)))
    assert b"s3cret" not in client.post("/things", json={"pin": "s3cret"}).data


def test_an_optional_body_may_be_absent(make_document: MakeDocument, serve: Serve) -> None:
    """Then it is the schema's default, else the function's own, else None."""
    document = make_document(method="post", requestBody=_body(_PERSON))
    assert serve(document, lambda body: {"body": body}).post("/things").get_json() == {"body": None}
    assert serve(document, lambda body="own": {"body": body}).post("/things").get_json() == {"body": "own"}
    document = make_document(method="post", requestBody=_body({**_PERSON, "default": {"name": "d"}}))
    assert serve(document, lambda body: {"body": body}).post("/things").get_json() == {"body": {"name": "d"}}


def test_the_reader_is_chosen_by_the_content_type(make_document: MakeDocument, serve: Serve) -> None:
    """Exact, by a range, by anything; text is text and the rest is bytes."""
    content = {
        "application/json": {"schema": {"type": "object"}},
        "application/vnd.x+json": {"schema": {"type": "array"}},
        "text/plain": {"schema": {"type": "string", "maxLength": 3}},
        "image/*": {},
    }
    client = serve(make_document(method="post", requestBody={"content": content}), lambda body: {"body": str(body)})

    def post(data: bytes, kind: str) -> Any:
        answer = client.post("/things", data=data, content_type=kind)
        return answer.get_json()["body"] if answer.status_code == 200 else answer.status_code

    assert post(b"{}", "application/json") == "{}"
    assert post(b"{}", "application/vnd.x+json") == 422
    assert post("é".encode("latin-1"), "text/plain; charset=latin-1") == "é"
    assert post(b"\xff", "text/plain") == 400
    assert post(b"long", "text/plain") == 422
    assert post(b"\x89PNG", "image/png") == "b'\\x89PNG'"
    assert post(b"x", "video/mp4") == 415


def test_a_raw_body_is_left_to_the_function(make_document: MakeDocument, serve: Serve) -> None:
    """`x-carboy-body: raw`: neither read, nor checked, nor its content type."""
    document = make_document(method="post", requestBody=_body(_PERSON, required=True), **{"x-carboy-body": "raw"})
    client = serve(document, lambda: {"length": len(request.get_data())})

    assert client.post("/things", data=b"\xff\xff", content_type="x/y").get_json() == {"length": 2}


def test_flask_s_request_still_has_the_body(make_document: MakeDocument, serve: Serve) -> None:
    """The body can be read by the view or by Flask, in either order."""
    document = make_document(method="post", requestBody=_body({}))

    def op(body: Any) -> Any:
        return [body, request.get_json(), request.get_data().decode()]

    assert serve(document, op).post("/things", json=[1]).get_json() == [[1], [1], "[1]"]
    client = serve(document, op)
    client.application.before_request(lambda: request.get_data() and None)
    assert client.post("/things", json=[2]).get_json() == [[2], [2], "[2]"]


def test_a_body_that_is_cut_off_is_a_400(make_document: MakeDocument, serve: Serve) -> None:
    """It is never taken for a shorter one."""
    client = serve(make_document(method="post", requestBody=_body({})))
    answer = client.post("/things", data=b"[1]", environ_overrides={"CONTENT_LENGTH": "10"})
    assert answer.status_code == 400


def test_a_body_in_chunks_is_read(make_document: MakeDocument, serve: Serve) -> None:
    """A server that ends the stream itself says so."""
    client = serve(make_document(method="post", requestBody=_body({})), lambda body: {"body": body})
    answer = client.post(
        "/things",
        input_stream=io.BytesIO(b"[1]"),
        headers={"Transfer-Encoding": "chunked", "Content-Type": "application/json"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.get_json() == {"body": [1]}


class TestForms:
    """Forms are typed by the schema of their fields."""

    def test_fields_are_typed(self, make_document: MakeDocument, serve: Serve) -> None:
        """Both kinds of forms; an object is a JSON text."""
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
            client = serve(make_document(method="post", requestBody=_body(_PERSON, kind)))
            data = {"name": "Ann", "age": "5", "tags": ["a", "b"], "home": '{"zip": 1}'}
            answer = client.post("/things", data=data, content_type=kind)
            assert answer.get_json() == {"body": {"name": "Ann", "age": 5, "tags": ["a", "b"], "home": {"zip": 1}}}

    def test_every_fault_of_a_form_is_reported(self, make_document: MakeDocument, serve: Serve) -> None:
        """Wrong types, unknown fields; and what is missing once the rest is right."""
        client = serve(make_document(method="post", requestBody=_body(_PERSON, "application/x-www-form-urlencoded")))
        answer = client.post("/things", data={"age": "x", "no": "1", "home": "{"})
        assert {(e["pointer"], e["detail"]) for e in answer.get_json()["errors"]} == {
            ("/age", "must be integer"),
            ("/no", "is not known here"),
            ("/home", "must be JSON"),
            ("/name", "is required"),
        }

    def test_styles_of_fields_are_honoured(self, make_document: MakeDocument, serve: Serve) -> None:
        """`encoding` says how a field is written."""
        body = _body(_PERSON, "application/x-www-form-urlencoded")
        media = body["content"]["application/x-www-form-urlencoded"]
        media["encoding"] = {"tags": {"style": "pipeDelimited"}, "home": {"style": "deepObject"}}
        client = serve(make_document(method="post", requestBody=body))
        answer = client.post("/things", data={"name": "a", "tags": "x|y", "home[zip]": "7"})
        assert answer.get_json() == {"body": {"name": "a", "tags": ["x", "y"], "home": {"zip": 7}}}

    def test_files_are_arguments(self, make_document: MakeDocument, serve: Serve) -> None:
        """One, or a list; of the content types that are allowed."""
        binary = {"type": "string", "format": "binary"}
        schema = {
            "type": "object",
            "required": ["photo"],
            "properties": {"photo": binary, "pages": {"type": "array", "items": binary}, "note": {"type": "string"}},
        }
        body = _body(schema, "multipart/form-data")
        body["content"]["multipart/form-data"]["encoding"] = {"photo": {"contentType": "image/png, image/jpeg"}}

        def op(photo: Any, body: Any, pages: Any = ()) -> Any:
            return [photo.read().decode(), [page.filename for page in pages], body]

        client = serve(make_document(method="post", requestBody=body), op)

        def post(**data: Any) -> Any:
            answer = client.post("/things", data=data, content_type="multipart/form-data")
            return answer.get_json() if answer.status_code == 200 else answer.get_json()["errors"]

        pages = [_file(b"1", "a.txt"), _file(b"2", "b.txt")]
        assert post(photo=_file(b"p", "p.png", "image/png"), pages=pages, note="n") == [
            "p",
            ["a.txt", "b.txt"],
            {"note": "n"},
        ]
        assert post(photo=_file(b"p", "p.gif", "image/gif")) == [
            {"pointer": "/photo", "detail": "must be of the content type image/png or image/jpeg"}
        ]
        assert post(note="n") == [{"pointer": "/photo", "detail": "is required"}]

    def test_a_form_that_is_absent_leaves_none(self, make_document: MakeDocument, serve: Serve) -> None:
        """A file that was not sent breaks no function."""
        schema = {"type": "object", "properties": {"photo": {"type": "string", "format": "binary"}, "n": {}}}

        def op(photo: Any, body: Any) -> Any:
            return [photo, body]

        client = serve(make_document(method="post", requestBody=_body(schema, "multipart/form-data")), op)
        assert client.post("/things").get_json() == [None, None]
        answer = client.post("/things", data={"n": "1"}, content_type="multipart/form-data")
        assert answer.get_json() == [None, {"n": "1"}]


@pytest.mark.parametrize(
    "text", [str(2**64), str(-(2**70)), "9" * 300, f'{{"a":[{2**80},1.5]}}', f'["{"0" * 30}",{2**64}]']
)
def test_an_integer_keeps_its_digits(make_document: MakeDocument, serve: Serve, text: str) -> None:
    """Beyond 64 bits too."""
    body: Any = {"content": {"application/json": {"schema": {}}}}
    answer = serve(make_document(method="post", requestBody=body), lambda body: body).post(
        "/things", data=text, content_type="application/json"
    )
    assert answer.data == text.encode()


def test_an_integer_beyond_64_bits_is_checked(make_document: MakeDocument, serve: Serve) -> None:
    """Against the limits of its format and its schema."""
    body = {"content": {"application/json": {"schema": {"type": "integer", "minimum": 0}}}}
    client = serve(make_document(method="post", requestBody=body), lambda body: body)
    assert client.post("/things", json=2**70).get_json() == 2**70
    assert client.post("/things", json=-(2**70)).status_code == 422
