"""What a function returns becomes a response, and is checked where that is wanted."""

import datetime as dt
import decimal
import enum
import logging
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import msgspec
import numpy
import pytest
from flask import Response
from tests.api.kit import MakeDocument, Serve


@dataclass
class _Point:
    x: int


class _Struct(msgspec.Struct):
    x: int


class _Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("result", "status", "data"),
    [
        ({"a": 1}, 200, b'{"a":1}'),
        ([1], 200, b"[1]"),
        ("text", 200, b'"text"'),
        (b"bytes", 200, b"bytes"),
        (5, 200, b"5"),
        (None, 204, b""),
        (({"a": 1}, 201), 201, b'{"a":1}'),
        ((None, 202), 202, b""),
        (([], HTTPStatus.ACCEPTED), 202, b"[]"),
        (([], 201, {"X-A": "b"}), 201, b"[]"),
        (([], {"X-A": "b"}), 200, b"[]"),
        (([],), 200, b"[]"),
        (([], "201 Created"), 201, b"[]"),
        (([], "202", {"X-A": "b"}), 202, b"[]"),
        (2**70, 200, str(2**70).encode()),
        ({1: decimal.Decimal("1.50")}, 200, b'{"1":1.50}'),
        (dt.datetime(2024, 1, 2, 3, 4, 5), 200, b'"2024-01-02T03:04:05Z"'),  # noqa: DTZ001
        (dt.datetime(2024, 1, 2, tzinfo=dt.UTC), 200, b'"2024-01-02T00:00:00Z"'),
        (dt.date(2024, 1, 2), 200, b'"2024-01-02"'),
        (uuid.UUID(int=1), 200, b'"00000000-0000-0000-0000-000000000001"'),
        ([_Point(1), _Struct(2), _Colour.RED, {3}], 200, b'[{"x":1},{"x":2},"red",[3]]'),
    ],
)
def test_a_value_becomes_a_response(
    make_document: MakeDocument, serve: Serve, result: Any, status: int, data: bytes
) -> None:
    """A value, (value, status), (value, status, headers), in JSON unless the document says otherwise."""
    answer = serve(make_document(), lambda: result).get("/things")

    assert (answer.status_code, answer.data) == (status, data)
    if data:
        assert answer.content_type == "application/json"
    if isinstance(result, tuple) and {"X-A": "b"} in result:
        assert answer.headers["X-A"] == "b"


def test_a_response_is_left_as_it_is(make_document: MakeDocument, serve: Serve) -> None:
    """With a status or headers of its own on top."""
    client = serve(make_document(), lambda: (Response("<p>", 200, mimetype="text/html"), 202, {"X-A": "b"}))
    answer = client.get("/things")
    assert (answer.status_code, answer.data, answer.mimetype, answer.headers["X-A"]) == (202, b"<p>", "text/html", "b")


@pytest.mark.parametrize(
    ("kinds", "result", "kind", "data"),
    [
        (["text/plain"], "a", "text/plain; charset=utf-8", b"a"),
        (["application/vnd.x+json"], {"a": 1}, "application/vnd.x+json", b'{"a":1}'),
        (["text/html", "application/json"], {"a": 1}, "application/json", b'{"a":1}'),
        (["image/png"], b"\x89", "image/png", b"\x89"),
        (["text/csv"], ("a,b", 200, {"Content-Type": "text/x"}), "text/x; charset=utf-8", b"a,b"),
        (["text/csv"], iter(["a,", "b"]), "text/csv; charset=utf-8", b"a,b"),
        (["text/plain"], {"a": 1}, "application/json", b'{"a":1}'),
    ],
)
def test_the_content_type_is_the_document_s(
    make_document: MakeDocument, serve: Serve, kinds: list[str], result: Any, kind: str, data: bytes
) -> None:
    """Unless the answer says one."""
    responses = {"200": {"description": "", "content": {kind: {} for kind in kinds}}}
    answer = serve(make_document(responses=responses), lambda: result).get("/things")
    assert (answer.content_type, answer.data) == (kind, data)


_CHECKED = {
    "200": {
        "description": "",
        "headers": {"X-Count": {"required": True, "schema": {"type": "integer"}}},
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["id"],
                    "properties": {
                        "id": {"type": "string", "format": "uuid", "readOnly": True},
                        "password": {"type": "string", "writeOnly": True},
                    },
                }
            }
        },
    },
    "4XX": {"description": "", "content": {"application/json": {"schema": {"type": "object"}}}},
}
_GOOD = {"id": str(uuid.UUID(int=1))}
_COUNT = {"X-Count": "1"}


@pytest.mark.parametrize(
    ("result", "fault"),
    [
        ((_GOOD, 200, _COUNT), None),
        (({"id": uuid.UUID(int=1)}, 200, _COUNT), None),
        (({}, 404), None),
        ((Response("x", 200, _COUNT, mimetype="text/html")), ": the content type `text/html` is not in the document"),
        (({"id": 5}, 200, _COUNT), "/id: must be string"),
        (({}, 200, _COUNT), "/id: is required"),
        (({**_GOOD, "password": "x"}, 200, _COUNT), "/password: is not allowed here"),
        ((_GOOD, 200), ": the header `X-Count` is missing"),
        ((_GOOD, 200, {"X-Count": "one"}), ": the header `X-Count` must be integer"),
        ((_GOOD, 201), ": the status 201 is not in the document"),
        (([], 404), ": must be object"),
        ((b"{", 200, {**_COUNT, "Content-Type": "application/json"}), ": the answer is not JSON"),
        ((None, 200, _COUNT), ": the answer is empty"),
    ],
)
def test_an_answer_that_breaks_the_document_is_logged_and_a_500(
    make_document: MakeDocument, serve: Serve, caplog: pytest.LogCaptureFixture, result: Any, fault: str | None
) -> None:
    """The client gets no detail of what was in it."""
    client = serve(make_document(responses=_CHECKED), lambda: result, validate_responses=True)

    with caplog.at_level(logging.ERROR, "carboy.api"):
        answer = client.get("/things")

    if fault is None:
        assert answer.status_code != 500
        assert not caplog.records
    else:
        assert answer.status_code == 500
        assert answer.get_json()["detail"] == "the response does not match the OpenAPI document"
        assert "errors" not in answer.get_json()
        (record,) = caplog.records
        assert record.message == "answer_breaks_document"
        assert vars(record)["faults"] == [fault]
        assert vars(record)["operation"] == "op"


def test_answers_are_not_checked_unless_asked(make_document: MakeDocument, serve: Serve) -> None:
    """It costs time, and a user would rather have the answer."""
    assert serve(make_document(responses=_CHECKED), lambda: ({}, 200)).get("/things").status_code == 200


def test_a_stream_is_not_checked(make_document: MakeDocument, serve: Serve) -> None:
    """A check would have to buffer the whole stream."""
    responses = {"200": {"description": "", "content": {"application/json": {"schema": {"type": "object"}}}}}
    client = serve(make_document(responses=responses), lambda: iter([b"[", b"]"]), validate_responses=True)
    assert client.get("/things").data == b"[]"


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("1.50", b'{"d":1.50}'),
        ("0.1", b'{"d":0.1}'),
        ("12345678901234567890.123456789", b'{"d":12345678901234567890.123456789}'),
        ("1E+3", b'{"d":1E+3}'),
        ("NaN", b'{"d":null}'),
        ("-Infinity", b'{"d":null}'),
    ],
)
def test_a_decimal_is_a_number(make_document: MakeDocument, serve: Serve, value: str, data: bytes) -> None:
    """With all its digits, as the document has it; checked too."""
    schema = {"properties": {"d": {"type": ["number", "null"]}}}
    responses = {"200": {"description": "", "content": {"application/json": {"schema": schema}}}}
    client = serve(make_document(responses=responses), lambda: {"d": decimal.Decimal(value)}, validate_responses=True)
    assert client.get("/things").data == data


@dataclass
class _Price:
    amount: decimal.Decimal
    count: int = 1


class _Priced(msgspec.Struct):
    amount: decimal.Decimal
    count: int = 1


_D = decimal.Decimal("1.50")
_BIG = 2**70


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ([_BIG, _D, decimal.Decimal("0.1000000000000000000001")], f"[{_BIG},1.50,0.1000000000000000000001]"),
        ([_BIG, float("nan"), uuid.UUID(int=1), _Colour.RED], f'[{_BIG},null,"{uuid.UUID(int=1)}","red"]'),
        (
            [_Price(_D, _BIG), _Priced(_D, -_BIG)],
            f'[{{"amount":1.50,"count":{_BIG}}},{{"amount":1.50,"count":-{_BIG}}}]',
        ),
        ([_Price(_D), _Priced(_D)], '[{"amount":1.50,"count":1},{"amount":1.50,"count":1}]'),
        ({_BIG: {dt.date(2024, 1, 2): (_BIG,)}, _D: {_BIG}}, f'{{"{_BIG}":{{"2024-01-02":[{_BIG}]}},"1.50":[{_BIG}]}}'),
        (["\udc80", _BIG], f'["\\udc80",{_BIG}]'),
        (
            [MappingProxyType({"a": _D}), deque([_BIG]), range(2), {"a": 1}.keys()],
            f'[{{"a":1.50}},[{_BIG}],[0,1],["a"]]',
        ),
        ([numpy.int64(5), numpy.float64(0.5), numpy.array([[1, 2]])], "[5,0.5,[[1,2]]]"),
    ],
)
def test_a_value_that_orjson_does_not_write_changes_nothing_beside_it(
    make_document: MakeDocument, serve: Serve, value: Any, data: str
) -> None:
    """Integers beyond 64 bits, lone surrogates, decimals in structs, collections of any kind."""
    assert serve(make_document(), lambda: value).get("/things").data.decode() == data


def test_an_iterator_within_a_value_is_an_error(make_document: MakeDocument, serve: Serve) -> None:
    """It could be read once only, and a second look would find nothing."""
    assert serve(make_document(), lambda: {"a": iter([1]), "b": _BIG}).get("/things").status_code == 500


@pytest.mark.parametrize("is_checked", [False, True])
def test_a_decimal_is_text_where_the_document_says_so(
    make_document: MakeDocument, serve: Serve, is_checked: bool
) -> None:
    """At any depth, by reference, in parts; a number where both are allowed."""
    money = {"allOf": [{"type": "string", "format": "decimal"}]}
    properties = {
        "price": {"$ref": "#/components/schemas/Money"},
        "list": {"type": "array", "items": {"type": "string"}},
        "map": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
        "row": {"type": "object", "properties": {"amount": {"type": "string"}, "count": {"type": "integer"}}},
        "either": {"type": ["string", "number"]},
        "number": {"type": "number"},
    }
    responses = {"200": {"description": "", "content": {"application/json": {"schema": {"properties": properties}}}}}
    document = make_document(responses=responses, components={"schemas": {"Money": money}})
    value = {
        "price": _D, "list": [_D], "map": {"a": _D, "b": None}, "row": _Price(_D), "either": _D, "number": _D,
        "big": _BIG,
    }  # fmt: skip
    answer = serve(document, lambda: value, validate_responses=is_checked).get("/things")
    assert answer.data.decode() == (
        '{"price":"1.50","list":["1.50"],"map":{"a":"1.50","b":null},"row":{"amount":"1.50","count":1},'
        f'"either":1.50,"number":1.50,"big":{_BIG}}}'
    )


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("application/x-ndjson", b'{"a":1}\n[1.50]\nraw\n'),
        ("application/jsonl; charset=utf-8", b'{"a":1}\n[1.50]\nraw\n'),
        ("application/json-seq", b'\x1e{"a":1}\n\x1e[1.50]\nraw\n'),
    ],
)
def test_json_lines_are_written_value_by_value(
    make_document: MakeDocument, serve: Serve, kind: str, data: bytes
) -> None:
    """A generator is sent as it goes, and closed; a list is sent whole, and a single value is one line."""
    closed = []

    def lines() -> Iterator[Any]:
        try:
            yield {"a": 1}
            yield [_D]
            yield "raw\n"
        finally:
            closed.append(True)

    responses = {"200": {"description": "", "content": {kind: {"itemSchema": {}}}}}
    document = make_document(responses=responses, version="3.2.0")
    answer = serve(document, lines, validate_responses=True).get("/things")
    assert (answer.data, answer.content_type, closed) == (data, kind, [True])
    assert serve(document, lambda: [{"a": 1}, [_D], "raw\n"], validate_responses=True).get("/things").data == data
    assert serve(document, lambda: {"a": 1}).get("/things").data.endswith(b'{"a":1}\n')


def test_a_decimal_beside_a_large_integer_is_a_number(make_document: MakeDocument, serve: Serve) -> None:
    """Which only the standard library writes."""
    answer = serve(make_document(), lambda: [2**70, decimal.Decimal("1.5"), decimal.Decimal(2)]).get("/things")
    assert answer.data == f"[{2**70},1.5,2]".encode()


_IDS = {"type": "array", "items": {"type": "integer"}, "minItems": 2}
_RATES = {"type": "object", "properties": {"R": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("header", "good", "bad"),
    [
        ({"schema": _IDS}, "1, 2", "1,x"),
        ({"schema": _IDS}, ["1", "2"], ["1"]),
        ({"schema": _RATES}, "R,1", "R,x"),
        ({"schema": _RATES, "explode": True}, "R=1", "R,1"),
        ({"content": {"application/json": {"schema": _RATES}}}, '{"R":1}', '{"R":"x"}'),
        ({"content": {"application/json": {"schema": _RATES}}}, "{}", "{"),
        ({"schema": {"type": "boolean"}}, "true", "1"),
        ({"schema": _IDS, "style": "deepObject"}, "1,2", "1,x"),
        ({"schema": {"type": "string", "pattern": "^a"}}, "ab", "b"),
        ({"schema": {"type": ["integer", "null"]}}, "5", "five"),
        ({"$ref": "#/components/headers/Count"}, "5", "five"),
    ],
)
def test_headers_of_a_response_are_checked_in_every_form(
    make_document: MakeDocument, serve: Serve, header: Any, good: Any, bad: Any
) -> None:
    """Lists, objects and JSON texts too."""
    document = make_document(
        components={"headers": {"Count": {"schema": {"type": "integer"}}}},
        responses={"200": {"description": "", "headers": {"X-A": header}}},
    )
    for value, status in ((good, 200), (bad, 500)):
        client = serve(document, lambda value=value: ({}, 200, {"X-A": value}), validate_responses=True)
        assert client.get("/things").status_code == status, value


@pytest.mark.parametrize(
    ("kind", "schema", "result", "status"),
    [
        ("text/plain", {"type": "string", "maxLength": 3}, "abc", 200),
        ("text/plain", {"type": "string", "maxLength": 3}, "abcd", 500),
        ("text/csv", {"enum": ["a,b"]}, "a;b", 500),
        ("text/*", {"type": "string", "pattern": "^a"}, ("b", 200, {"Content-Type": "text/html"}), 500),
        ("text/plain", {"type": "integer"}, "12", 200),
        ("application/xml", {"type": "object"}, "<a/>", 200),
    ],
)
def test_a_text_is_checked_where_its_schema_is_of_texts(
    make_document: MakeDocument, serve: Serve, kind: str, schema: Any, result: Any, status: int
) -> None:
    """What is neither JSON nor such a text is left to the function."""
    document = make_document(responses={"200": {"description": "", "content": {kind: {"schema": schema}}}})
    assert serve(document, lambda: result, validate_responses=True).get("/things").status_code == status


def test_an_answer_to_head_may_be_empty(make_document: MakeDocument, serve: Serve) -> None:
    """Also where the document describes the body that GET has."""
    responses = {"200": {"description": "", "content": {"application/json": {"schema": {"type": "object"}}}}}
    client = serve(make_document(method="head", responses=responses), lambda: (None, 200), validate_responses=True)
    assert client.head("/things").status_code == 200
