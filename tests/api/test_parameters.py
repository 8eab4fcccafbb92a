"""Parameters in every place and style arrive as typed arguments, or as what is wrong with them."""

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.kit import MakeDocument, Serve

from carboy.errors import ConfigurationError

_TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters=",;|.=& [](){}/\\+%#?\"'\r\n\0", categories=["L", "N"]), min_size=1
)
_PROPERTY = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
_OBJECT = {
    "type": "object",
    "properties": {"R": {"type": "integer"}, "G": {"type": "integer"}, "s": {"type": "string"}},
    "required": ["R"],
}
_SCHEMAS: dict[str, Any] = {
    "integers": {"type": "array", "items": {"type": "integer"}},
    "strings": {"type": "array", "items": {"type": "string"}},
    "object": _OBJECT,
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "string": {"type": "string"},
}


def _values(kind: str) -> st.SearchStrategy[Any]:
    integers = st.integers(-(2**60), 2**60)
    return {
        "integers": st.lists(integers, min_size=1, max_size=5),
        "strings": st.lists(_TEXT, min_size=1, max_size=5),
        "object": st.fixed_dictionaries({"R": integers}, optional={"G": integers, "s": _TEXT}),
        "integer": integers,
        "number": st.floats(allow_nan=False, allow_infinity=False, width=32),
        "boolean": st.booleans(),
        "string": _TEXT,
    }[kind]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flat(value: Any, between: str, *, explode: bool) -> str:
    if isinstance(value, dict):
        pairs = [f"{k}={_text(v)}" if explode else f"{k}{between}{_text(v)}" for k, v in value.items()]
        return between.join(pairs)
    return between.join(map(_text, value)) if isinstance(value, list) else _text(value)


def _in_query(value: Any, style: str, *, explode: bool) -> str:
    if style == "deepObject":
        return "&".join(f"v%5B{k}%5D={quote(_text(v))}" for k, v in value.items())
    if explode and isinstance(value, dict):
        return "&".join(f"{k}={quote(_text(v))}" for k, v in value.items())
    if explode and isinstance(value, list):
        return "&".join(f"v={quote(_text(v))}" for v in value)
    between = {"form": ",", "spaceDelimited": " ", "pipeDelimited": "|"}[style]
    return "v=" + quote(_flat(value, between, explode=False))


def _in_path(value: Any, style: str, *, explode: bool) -> str:
    if style == "simple":
        return quote(_flat(value, ",", explode=explode))
    if style == "label":
        return quote("." + _flat(value, "." if explode else ",", explode=explode))
    if explode and isinstance(value, list):
        return quote("".join(f";v={_text(item)}" for item in value))
    if explode and isinstance(value, dict):
        return quote("".join(f";{k}={_text(item)}" for k, item in value.items()))
    return quote(";v=" + _flat(value, ",", explode=False))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("style", "explode", "kind"),
    [
        *(("form", explode, kind) for explode in (True, False) for kind in _SCHEMAS),
        *((s, False, k) for s in ("spaceDelimited", "pipeDelimited") for k in ("integers", "strings", "object")),
        *((s, True, k) for s in ("spaceDelimited", "pipeDelimited") for k in ("integers", "strings")),
        ("deepObject", True, "object"),
    ],
)
@given(data=st.data())
@_PROPERTY
def test_a_query_is_read_as_it_was_written(
    make_document: MakeDocument, serve: Serve, style: str, explode: bool, kind: str, data: st.DataObject
) -> None:
    """Every style of the query gives the value back."""
    value = data.draw(_values(kind))
    parameter = {"name": "v", "in": "query", "style": style, "explode": explode, "schema": _SCHEMAS[kind]}
    client = serve(make_document(parameters=[parameter]))

    answer = client.get("/things?" + _in_query(value, style, explode=explode))

    assert answer.get_json() == {"v": value}


@pytest.mark.slow
@pytest.mark.parametrize("style", ["simple", "label", "matrix"])
@pytest.mark.parametrize("explode", [True, False])
@pytest.mark.parametrize("kind", _SCHEMAS)
@given(data=st.data())
@_PROPERTY
def test_a_path_is_read_as_it_was_written(
    make_document: MakeDocument, serve: Serve, style: str, explode: bool, kind: str, data: st.DataObject
) -> None:
    """Every style of the path gives the value back."""
    value = data.draw(_values(kind))
    parameter = {
        "name": "v",
        "in": "path",
        "required": True,
        "style": style,
        "explode": explode,
        "schema": _SCHEMAS[kind],
    }
    client = serve(make_document("/things/{v}", parameters=[parameter]))

    answer = client.get("/things/" + _in_path(value, style, explode=explode))

    assert answer.get_json() == {"v": value}


@pytest.mark.parametrize("explode", [True, False])
@pytest.mark.parametrize("kind", ["integers", "object", "integer", "boolean"])
@pytest.mark.parametrize("place", ["header", "cookie"])
def test_headers_and_cookies_are_read_as_they_were_written(
    make_document: MakeDocument, serve: Serve, place: str, explode: bool, kind: str
) -> None:
    """Both styles, exploded and not."""
    value: Any = {"integers": [1, 2, 3], "object": {"R": 1, "G": 2}, "integer": 5, "boolean": True}[kind]
    parameter = {"name": "x-v", "in": place, "explode": explode, "schema": _SCHEMAS[kind]}
    client = serve(make_document(parameters=[parameter]), lambda x_v: {"v": x_v})
    text = _flat(value, ",", explode=explode)
    if place == "cookie" and explode:
        text = {"integers": "x-v=1&x-v=2&x-v=3", "object": "R=1&G=2"}.get(kind, f"x-v={text}")
    elif place == "cookie":
        text = f"x-v={text}"

    answer = client.get("/things", headers={"Cookie" if place == "cookie" else "X-V": text})

    assert answer.get_json() == {"v": value}


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "integer"}, "-5", -5),
        ({"type": "integer"}, "%2B5", 5),
        ({"type": "number"}, "1", 1.0),
        ({"type": "number"}, "1e3", 1000.0),
        ({"type": "boolean"}, "TRUE", True),
        ({"type": "string"}, "5", "5"),
        ({"type": "string"}, "", ""),
        ({"type": ["integer", "null"]}, "null", None),
        ({"type": ["integer", "string"]}, "5", 5),
        ({"type": ["integer", "string"]}, "five", "five"),
        ({"oneOf": [{"type": "boolean"}, {"type": "integer"}]}, "7", 7),
        ({"anyOf": [{"type": "number"}, {"type": "string"}]}, "x", "x"),
        ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, "3", 3),
        ({"enum": [1, 2]}, "2", 2),
        ({"const": 4}, "4", 4),
        ({}, "5", "5"),
        ({"type": "array", "items": {"type": "integer"}}, "1,2", [1, 2]),
        ({"type": "array", "items": {"type": "string"}}, "a,b", ["a,b"]),
        ({"$ref": "#/components/schemas/Size"}, "4", 4),
    ],
)
def test_a_text_becomes_what_its_schema_wants(
    make_document: MakeDocument, serve: Serve, schema: Any, text: str, value: Any
) -> None:
    """Types are looked for through references and combinations; the most particular wins."""
    components = {"schemas": {"Size": {"type": "integer"}}}
    client = serve(make_document(parameters=[{"name": "v", "in": "query", "schema": schema}], components=components))
    assert client.get(f"/things?v={text}").get_json() == {"v": value}


@pytest.mark.parametrize(
    ("schema", "text", "detail"),
    [
        ({"type": "integer"}, "1_000", "must be integer"),
        ({"type": "integer"}, "%20 1", "must be integer"),
        ({"type": "integer"}, "٣", "must be integer"),
        ({"type": "integer"}, "1.0", "must be integer"),
        ({"type": "integer"}, "", "must be integer"),
        ({"type": "integer"}, "9" * 5000, "must be integer"),
        ({"type": "integer", "format": "int32"}, str(2**31), "is greater than the maximum of 2147483647"),
        ({"type": "number"}, "nan", "must be number"),
        ({"type": "number"}, "1e999", "must be number"),
        ({"type": "boolean"}, "1", "must be boolean"),
        ({"type": "integer", "minimum": 3}, "2", "is less than the minimum of 3"),
        ({"type": "string", "format": "date-time"}, "2024-01-01T00:00:00", "must be of the format `date-time`"),
        ({"type": "string", "format": "uuid"}, "x", "must be of the format `uuid`"),
        ({"enum": ["a", "b"]}, "c", 'is not one of "a" or "b"'),
        ({"type": ["integer", "boolean"]}, "x", "must be boolean or integer"),
    ],
)
def test_a_text_that_is_not_what_its_schema_wants_is_refused(
    make_document: MakeDocument, serve: Serve, schema: Any, text: str, detail: str
) -> None:
    """With the place, and words for the sender that do not repeat the value."""
    client = serve(make_document(parameters=[{"name": "v", "in": "query", "schema": schema}]))

    answer = client.get(f"/things?v={text}")

    assert answer.status_code == 422
    assert answer.get_json()["errors"] == [{"pointer": "/query/v", "detail": detail}]


def test_every_fault_is_reported_at_once(make_document: MakeDocument, serve: Serve) -> None:
    """Of path, query, header, cookie and body together."""
    integer = {"schema": {"type": "integer", "minimum": 1}}
    parameters = [
        {"name": "id", "in": "path", "required": True, **integer},
        {"name": "a/b", "in": "query", "required": True, **integer},
        {"name": "X-N", "in": "header", **integer},
        {"name": "c", "in": "cookie", **integer},
    ]
    body = {
        "content": {"application/json": {"schema": {"required": ["x", "y/z"], "properties": {"x": {"type": "string"}}}}}
    }
    client = serve(make_document("/things/{id}", "post", parameters=parameters, requestBody=body))

    answer = client.post("/things/0?no=1", headers={"X-N": "n", "Cookie": "c=0"}, json={"x": 5})

    assert answer.status_code == 422
    assert {error["pointer"]: error["detail"] for error in answer.get_json()["errors"]} == {
        "/path/id": "is less than the minimum of 1",
        "/query/a~1b": "the query parameter `a/b` is required",
        "/query/no": "is not known here",
        "/header/X-N": "must be integer",
        "/cookie/c": "is less than the minimum of 1",
        "/x": "must be string",
        "/y~1z": "is required",
    }


def test_an_absent_parameter_is_its_default(make_document: MakeDocument, serve: Serve) -> None:
    """Else the function's own default, else None; a default that can change is not shared."""
    parameters = [
        {"name": "a", "in": "query", "schema": {"type": "array", "items": {}, "default": [1]}},
        {"name": "b", "in": "query", "schema": {"type": "integer"}},
        {"name": "c", "in": "query", "schema": {"type": "integer"}},
        {
            "name": "d",
            "in": "query",
            "style": "deepObject",
            "schema": {"properties": {"x": {"default": 3}}, "type": "object"},
        },
    ]

    def op(a: list[int], b: int | None, d: dict[str, int], c: int = 7) -> Any:
        a.append(2)
        return [a, b, c, d]

    client = serve(make_document(parameters=parameters), op)

    assert [client.get("/things").get_json() for _ in range(2)] == [[[1, 2], None, 7, {"x": 3}]] * 2


def test_strict_validation_can_be_put_off(make_document: MakeDocument, serve: Serve) -> None:
    """Then unknown parameters are let be, and of a repeated one the last counts."""
    document = make_document(parameters=[{"name": "v", "in": "query", "schema": {"type": "integer"}}])

    lenient = serve(document, strict_validation=False)

    assert lenient.get("/things?v=1&v=2&x=3").get_json() == {"v": 2}
    assert serve(document).get("/things?v=1&v=2").get_json()["errors"] == [
        {"pointer": "/query/v", "detail": "is given more than once"}
    ]


def test_a_deep_object_holds_objects_and_lists(make_document: MakeDocument, serve: Serve) -> None:
    """Nested, with repeated keys and with empty brackets."""
    schema = {
        "type": "object",
        "properties": {
            "size": {"type": "object", "properties": {"min": {"type": "integer"}}},
            "tags": {"type": "array", "items": {"type": "string"}},
            "ids": {"type": "array", "items": {"type": "integer"}},
        },
    }
    client = serve(make_document(parameters=[{"name": "f", "in": "query", "style": "deepObject", "schema": schema}]))

    answer = client.get("/things?f[size][min]=3&f[tags]=a&f[tags]=b&f[ids][]=1&f[ids][]=2")

    assert answer.get_json() == {"f": {"size": {"min": 3}, "tags": ["a", "b"], "ids": [1, 2]}}
    assert client.get("/things?f[size]=1&f[size][min]=3").status_code == 422


def test_a_parameter_may_be_a_json_text(make_document: MakeDocument, serve: Serve) -> None:
    """`content` says how it is written."""
    parameter = {"name": "q", "in": "query", "content": {"application/json": {"schema": {"required": ["a"]}}}}
    client = serve(make_document(parameters=[parameter]))

    assert client.get("/things", query_string={"q": '{"a":[1]}'}).get_json() == {"q": {"a": [1]}}
    assert client.get("/things", query_string={"q": "{}"}).get_json()["errors"][0]["pointer"] == "/query/q/a"
    assert client.get("/things", query_string={"q": "{"}).get_json()["errors"][0]["detail"] == "must be JSON"


def test_a_query_that_is_not_utf8_is_a_400(make_document: MakeDocument, serve: Serve) -> None:
    """It is never read as something else."""
    client = serve(make_document(parameters=[{"name": "v", "in": "query", "schema": {"type": "string"}}]))
    assert client.get("/things?v=%ff").status_code == 400
    assert client.get("/things?v=%C3%A9+x").get_json() == {"v": "é x"}


def test_the_status_of_a_fault_can_be_chosen(make_document: MakeDocument, serve: Serve) -> None:
    """400 for both is what Connexion answers."""
    body = {"content": {"application/json": {"schema": {"type": "object"}}}}
    parameters = [{"name": "v", "in": "query", "schema": {"type": "integer"}}]
    client = serve(make_document(method="post", parameters=parameters, requestBody=body), parameter_status=400)

    assert client.post("/things?v=x").status_code == 400
    assert client.post("/things?v=1", json=[]).status_code == 422


def test_an_operation_s_parameter_replaces_the_path_s(make_document: MakeDocument, serve: Serve) -> None:
    """Of the same name and place."""
    document = make_document(parameters=[{"name": "v", "in": "query", "schema": {"type": "integer"}}])
    document["paths"]["/things"]["parameters"] = [
        {"name": "v", "in": "query", "schema": {"type": "string"}},
        {"name": "w", "in": "query", "schema": {"type": "string"}},
    ]
    assert serve(document).get("/things?v=1&w=1").get_json() == {"v": 1, "w": "1"}


def _with_default(make_document: MakeDocument, schema: Any, **more: Any) -> Any:
    return make_document(parameters=[{"name": "q", "in": "query", "schema": schema}], **more)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer", "default": "10"}, 10),
        ({"type": "boolean", "default": "false"}, False),
        ({"type": "number", "default": 1}, 1),
        ({"type": "string", "default": 1.0}, "1.0"),
        ({"type": "string", "default": True}, "true"),
        ({"type": "array", "items": {"type": "integer"}, "default": [1, 2]}, [1, 2]),
        ({"type": "object", "properties": {"a": {"type": "integer", "default": "7"}}}, {"a": 7}),
    ],
)
def test_a_default_arrives_as_its_type(make_document: MakeDocument, serve: Serve, schema: Any, value: Any) -> None:
    """Also where the document writes it as a client would."""
    answer = serve(_with_default(make_document, schema)).get("/things")

    assert answer.json == {"q": value}


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "integer", "default": "x"}, ""),
        ({"type": "string", "enum": ["a"], "default": "b"}, ""),
        ({"type": "integer", "minimum": 5, "default": 1}, ""),
        ({"type": "array", "items": {"type": "integer"}, "default": [1, "2"]}, "/1"),
        ({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}}, "/a"),
        ({"$ref": "#/components/schemas/A"}, ""),
    ],
)
def test_a_default_that_its_schema_refuses_stops_the_start(
    make_document: MakeDocument, serve: Serve, schema: Any, place: str
) -> None:
    """The function would get it, at a request that the client did nothing wrong in."""
    components = {"schemas": {"A": {"type": "string", "format": "date", "default": "soon"}}}
    with pytest.raises(ConfigurationError) as caught:
        serve(_with_default(make_document, schema, components=components))

    [fault] = caught.value.faults
    assert fault.pointer == f"/paths/~1things/get/parameters/0/schema/default{place}"
    assert fault.detail.startswith("the default ")


@pytest.mark.parametrize("query", ["f[R=1", "f[R]x=1", "f]=1", "f[R]]=1", "f[[R]=1", "f=1", "f[]x[R]=1"])
def test_what_only_looks_like_a_deep_object_is_unknown(make_document: MakeDocument, serve: Serve, query: str) -> None:
    """It is not dropped without a word."""
    schema = {"type": "object", "properties": {"R": {"type": "integer"}}}
    client = serve(make_document(parameters=[{"name": "f", "in": "query", "style": "deepObject", "schema": schema}]))
    name = query.partition("=")[0]
    assert client.get(f"/things?{query}").get_json()["errors"] == [
        {"pointer": f"/query/{name}", "detail": "is not known here"}
    ]


def test_an_open_object_leaves_the_other_parameters_alone(make_document: MakeDocument, serve: Serve) -> None:
    """Its members are what no other parameter and no key is."""
    rest = {"type": "object", "additionalProperties": {"type": "integer"}}
    parameters = [
        {"name": "rest", "in": "query", "schema": rest},
        {"name": "q", "in": "query", "schema": {"type": "string"}},
    ]
    key = {"type": "apiKey", "in": "query", "name": "key"}
    document = make_document(
        parameters=parameters, components={"securitySchemes": {"key": key}}, security=[{"key": []}]
    )
    client = serve(document, lambda rest, q: [rest, q], security={"key": lambda _key: {}})
    assert client.get("/things?a=1&q=x&key=s").get_json() == [{"a": 1}, "x"]
    assert client.get("/things?a=x&key=s").status_code == 422


@pytest.mark.parametrize("style", [{"style": "deepObject"}, {"style": "form", "explode": True}])
def test_members_by_pattern_have_their_types(make_document: MakeDocument, serve: Serve, style: dict[str, Any]) -> None:
    """A property comes first, then the patterns, then all others."""
    schema = {
        "type": "object",
        "properties": {"z0": {"type": "string"}},
        "patternProperties": {r"^x\d$": {"type": "integer"}},
        "additionalProperties": {"type": "boolean"},
    }
    client = serve(make_document(parameters=[{"name": "f", "in": "query", "schema": schema, **style}]))
    names = [f"f[{name}]" if "explode" not in style else name for name in ("z0", "x1", "y")]
    query = "&".join(f"{name}={value}" for name, value in zip(names, ("1", "1", "true"), strict=True))
    assert client.get(f"/things?{query}").get_json() == {"f": {"z0": "1", "x1": 1, "y": True}}
