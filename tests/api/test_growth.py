"""Loading takes time in proportion to the document, and so does reporting what is wrong with it."""

import gc
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from carboy import api
from carboy.errors import ConfigurationError

Document = dict[str, Any]


def _openapi(schemas: dict[str, Any], *used: str) -> Document:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{next(iter(used or schemas))}"}}}
    operation = {"operationId": "op", "requestBody": {"content": content}, "responses": {"200": {"description": ""}}}
    return {
        "openapi": "3.0.3",
        "info": {"title": "t", "version": "1"},
        "paths": {"/a": {"post": operation}},
        "components": {"schemas": schemas},
    }


def _nested_swagger_2(size: int) -> Document:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(8):
        schema = {"type": "object", "properties": {"a": schema, **{f"p{n}": {"type": "integer"} for n in range(size)}}}
    body = {"name": "body", "in": "body", "schema": schema}
    operation = {"operationId": "op", "parameters": [body], "responses": {"200": {"description": "", "schema": schema}}}
    info = {"title": "t", "version": "1"}
    return {"swagger": "2.0", "info": info, "paths": {"/a": {"post": operation}}, "definitions": {"A": schema}}


def _deep_all_of(size: int) -> Document:
    schemas: dict[str, Any] = {"S0": {"type": "object", "required": ["p0"], "properties": {"p0": {"type": "string"}}}}
    for n in range(1, size):
        own = {"type": "object", "required": [f"p{n}"], "properties": {f"p{n}": {"type": "string"}}}
        schemas[f"S{n}"] = {"allOf": [{"$ref": f"#/components/schemas/S{n // 2}"}, own]}
    return _openapi(schemas, f"S{size - 1}")


def _many_references(size: int) -> Document:
    schemas = {
        f"S{n}": {"properties": {f"p{m}": {"$ref": f"#/components/schemas/S{(n * 7 + m) % size}"} for m in range(8)}}
        for n in range(size)
    }
    return _openapi(schemas)


def _many_operations(size: int) -> Document:
    schemas = {f"S{n}": {"properties": {"next": {"$ref": f"#/components/schemas/S{n + 1}"}}} for n in range(size)}
    document = _openapi({**schemas, f"S{size}": {"type": "string"}})
    (item,) = document["paths"].values()
    document["paths"] = {f"/a{n}": {"post": {**item["post"], "operationId": f"op{n}"}} for n in range(size)}
    return document


def _many_faults(size: int) -> Document:
    schemas: dict[str, Any] = {f"S{n}": {"type": "text", "pattern": "("} for n in range(size)}
    return _openapi({**schemas, "A": {"items": {"$ref": "#/components/schemas/S1"}}}, "A")


def _many_inline(size: int) -> Document:
    document = _openapi({"A": {"type": "string"}})
    document["components"]["schemas"]["B"] = {
        "oneOf": [{"type": "object", "properties": {f"p{n}": {"items": {"enum": [n]}}}} for n in range(size)]
    }
    return document


_MAKERS = {
    "nested Swagger 2.0": (_nested_swagger_2, 60),
    "deep allOf": (_deep_all_of, 600),
    "many references": (_many_references, 250),
    "many operations": (_many_operations, 400),
    "many faults": (_many_faults, 800),
    "many inline schemas": (_many_inline, 1500),
}


def _seconds(file: Path) -> float:
    def once() -> float:
        begin = time.process_time()
        with suppress(ConfigurationError):  # many faults are one of the cases
            api.load_document(file)
        return time.process_time() - begin

    gc.collect()
    gc.disable()  # its passes over what other tests left would be counted
    try:
        return min(once() for _ in range(5))
    finally:
        gc.enable()


@pytest.mark.parametrize(("make", "size"), _MAKERS.values(), ids=_MAKERS)
@pytest.mark.slow
def test_twice_the_document_takes_less_than_three_times_as_long(
    tmp_path: Path, make: Callable[[int], Document], size: int
) -> None:
    """The smallest of five runs each, in time of the processor."""
    small, large = tmp_path / "small.json", tmp_path / "large.json"
    small.write_bytes(orjson.dumps(make(size), option=orjson.OPT_INDENT_2))
    large.write_bytes(orjson.dumps(make(2 * size), option=orjson.OPT_INDENT_2))
    assert _seconds(large) < 3 * _seconds(small) + 0.01


@pytest.mark.slow
def test_the_depth_of_swagger_2_costs_no_more_than_that_of_openapi_3(tmp_path: Path) -> None:
    """Six levels of ten properties took seven seconds once; one more level adds little."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(20):
        schema = {"type": "object", "properties": {f"p{n}": {"type": "integer"} for n in range(9)} | {"a": schema}}
    document = {"swagger": "2.0", "info": {"title": "t", "version": "1"}, "paths": {}, "definitions": {"A": schema}}
    file = tmp_path / "deep.json"
    file.write_bytes(orjson.dumps(document))
    assert _seconds(file) < 1


def test_each_fault_is_reported_once_at_its_own_place(tmp_path: Path) -> None:
    """Not again at every operation that reaches it; with the line it is on."""
    document = _many_faults(3)
    for n in range(5):
        document["paths"][f"/b{n}"] = {"post": {**document["paths"]["/a"]["post"], "operationId": f"b{n}"}}
    file = tmp_path / "faults.json"
    file.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    with pytest.raises(ConfigurationError) as caught:
        api.load_document(file)

    assert [fault.pointer for fault in caught.value.faults] == [
        f"/components/schemas/S{n}/{key}" for n in range(3) for key in ("type", "pattern")
    ]
    lines = file.read_text().splitlines()
    for fault in caught.value.faults:
        number = int(fault.detail.removeprefix(f"{file}:").partition(":")[0])
        assert fault.pointer.rpartition("/")[2] in lines[number - 1]
