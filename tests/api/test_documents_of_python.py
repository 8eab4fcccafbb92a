"""A document may be a mapping that Python made, and a text may hold anything: it is read, or refused in words."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml
from tests.api.kit import MakeDocument, Serve

from carboy import api
from carboy.errors import ConfigurationError


def _load(tmp_path: Path, text: str) -> Any:
    file = tmp_path / "things.yaml"
    file.write_text(text)
    return api.load_document(file)


_HEAD = "openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths: {}\n"


@pytest.mark.parametrize(
    ("scalar", "expected"),
    [
        ("0xAG", "0xAG"),
        ("0x", "0x"),
        ("0o8", "0o8"),
        ("0oyz", "0oyz"),
        ("-0x1F", "-0x1F"),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("0755", 755),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
        ("yes", "yes"),
        ("2024-01-31", "2024-01-31"),
        ("12:30:45", "12:30:45"),
        ("~", None),
        ("!!str 5", "5"),
        ("!!int '5'", 5),
        ("'null'", "null"),
        (".5", 0.5),
        ("+1", 1),
        ("=", "="),
    ],
)
def test_a_scalar_is_read_as_yaml_1_2_has_it(tmp_path: Path, scalar: str, expected: Any) -> None:
    """Never an error of Python; dates and `yes` are text."""
    document = _load(tmp_path, f"{_HEAD}x-v: {scalar}\n")
    assert document.content["x-v"] == expected
    assert type(document.content["x-v"]) is type(expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x-v: .inf", ":4: `.inf` is not a number of JSON"),
        ("x-v: !!int x", ":4: the tag"),
        ("x-v: !!binary aGk=", ":4: the tag"),
        ("x-v: " + "[" * 200 + "]" * 200, ":4: is nested deeper than 128 levels"),
        ("x-v: " + "[" * 100_000, "nest"),
        ("x-v:\n  <<: 5", "merges mappings only"),
        ("x-v: &a [*a]", ":4: an alias holds itself"),
        ("x-v: {a: 1,\n a: 2}", ":5: the key `a` stands twice"),
    ],
)
def test_a_text_that_json_cannot_hold_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    """In words."""
    with pytest.raises(ConfigurationError) as caught:
        _load(tmp_path, _HEAD + text)
    assert words in str(caught.value)


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    """A few lines that would be a billion values."""
    lines = ["x-a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"x-a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(ConfigurationError, match="values once its aliases are followed"):
        _load(tmp_path, _HEAD + "\n".join(lines))


def test_keys_and_values_of_python_become_those_of_json(make_document: MakeDocument, serve: Serve) -> None:
    """Numbers as keys, dates, tuples, other mappings: what `yaml.safe_load` and code make."""
    document = make_document()
    document["paths"]["/things"]["get"]["responses"] = {200: {"description": "fine"}}
    document["info"]["version"] = dt.date(2024, 1, 31)
    document["x-more"] = {True: (1, Decimal("1.5")), None: MappingProxyType({"a": 1}), dt.date(2024, 1, 1): 1}
    loaded = api.load_document(MappingProxyType(document))

    assert loaded.content["x-more"] == {"true": [1, 1.5], "null": {"a": 1}, "2024-01-01": 1}
    assert loaded.content["info"]["version"] == "2024-01-31"
    assert serve(document).get("/things").status_code == 200
    again = yaml.safe_load(yaml.safe_dump(api.load_document(document).content))
    assert api.load_document(again).content == loaded.content


def _itself() -> Any:
    value: dict[str, Any] = {}
    value["x-self"] = value
    return value


def _deep() -> Any:
    value: Any = {}
    for _ in range(5000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1, 2}, "a `set` is not a value of JSON (at /x-v)"),
        (b"bytes", "a `bytes` is not a value of JSON (at /x-v)"),
        (object(), "a `object` is not a value of JSON (at /x-v)"),
        ({"a": float("nan")}, "`nan` is not a number of JSON (at /x-v/a)"),
        (_itself(), "a value holds itself (at /x-v/x-self)"),
        (_deep(), "is nested deeper than 128 levels"),
        ({1: "a", "1": "b"}, "two keys are the same text (at /x-v)"),
    ],
)
def test_a_value_that_json_cannot_hold_is_refused(make_document: MakeDocument, value: Any, words: str) -> None:
    """With its place."""
    with pytest.raises(ConfigurationError) as caught:
        api.load_document(make_document(root={"x-v": value}))
    assert words in str(caught.value)


@pytest.mark.parametrize("nest", ["items", "not", "properties", "allOf"])
def test_a_schema_nested_as_deep_as_may_be_is_served(make_document: MakeDocument, serve: Serve, nest: str) -> None:
    """The limit comes before Python's own."""
    schema: Any = {"type": "integer"}
    for _ in range(115 if nest in {"items", "not"} else 55):
        schema = {nest: {"a": schema} if nest == "properties" else [schema] if nest == "allOf" else schema}
    body = {"content": {"application/json": {"schema": schema}}}
    document = make_document(method="post", requestBody=body, components={"schemas": {"A": schema}})
    assert serve(document).post("/things", json=5).status_code in {200, 422}


@pytest.mark.parametrize(
    ("version", "hint"),
    [("3.0", 'openapi: "3.0.0"'), ("3.1", 'openapi: "3.1.0"'), (3.1, 'openapi: "3.1.0"'), ("4.0.0", "are read")],
)
def test_a_version_that_is_not_read_has_a_hint(make_document: MakeDocument, version: Any, hint: str) -> None:
    """Also one that only lacks its last number."""
    with pytest.raises(ConfigurationError) as caught:
        api.load_document(make_document(root={"openapi": version}))
    assert hint in caught.value.hint
