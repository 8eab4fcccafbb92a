"""What is sent follows X-Ray's format, for any attributes of the spans."""

import re
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.trace.kit import Daemon, read

from carboy import trace
from carboy.redact import Secret
from carboy.trace.sanitize import clean_key, clean_name
from carboy.trace.tracers import Tracer
from carboy.trace.xray_documents import MAX_BYTES, render_datagram

_ID = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
_FLAG = {"type": "boolean"}
_EXCEPTION = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": _ID,
        "message": {"type": "string"},
        "type": {"type": "string"},
        "remote": _FLAG,
        "truncated": {"type": "integer", "minimum": 0},
        "skipped": {"type": "integer", "minimum": 0},
        "cause": _ID,
        "stack": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "path": {"type": "string"},
                    "line": {"type": "integer"},
                    "label": {"type": "string"},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "required": ["name", "id", "trace_id", "start_time", "end_time"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[\p{L}\p{N}\p{Z}_.:/%&#=+\\\-@]+$"},
        "id": _ID,
        "trace_id": {"type": "string", "pattern": "^1-[0-9a-f]{8}-[0-9a-f]{24}$"},
        "parent_id": _ID,
        "type": {"const": "subsegment"},
        "namespace": {"enum": ["aws", "remote"]},
        "start_time": {"type": "number"},
        "end_time": {"type": "number"},
        "error": _FLAG,
        "fault": _FLAG,
        "throttle": _FLAG,
        "http": {
            "type": "object",
            "properties": {
                "request": {
                    "type": "object",
                    "properties": {
                        "method": {"type": "string"},
                        "url": {"type": "string"},
                        "client_ip": {"type": "string"},
                        "user_agent": {"type": "string"},
                        "x_forwarded_for": _FLAG,
                        "traced": _FLAG,
                    },
                    "additionalProperties": False,
                },
                "response": {
                    "type": "object",
                    "properties": {"status": {"type": "integer"}, "content_length": {"type": "integer"}},
                    "additionalProperties": False,
                },
            },
            "additionalProperties": False,
        },
        "aws": {
            "type": "object",
            "properties": {
                **{
                    name: {"type": "string"}
                    for name in ("operation", "region", "request_id", "queue_url", "table_name", "account_id")
                },
                "retries": {"type": "integer"},
            },
            "additionalProperties": False,
        },
        "sql": {
            "type": "object",
            "properties": {
                name: {"type": "string"}
                for name in ("url", "sanitized_query", "database_type", "database_version", "driver_version", "user")
            },
            "additionalProperties": False,
        },
        "annotations": {
            "type": "object",
            "maxProperties": 50,
            "propertyNames": {"pattern": "^[A-Za-z0-9_]+$"},
            "additionalProperties": {"type": ["string", "number", "boolean"]},
        },
        "metadata": {"type": "object"},
        "cause": {
            "anyOf": [
                _ID,
                {
                    "type": "object",
                    "required": ["exceptions"],
                    "properties": {
                        "working_directory": {"type": "string"},
                        "paths": {"type": "array", "items": {"type": "string"}},
                        "exceptions": {"type": "array", "items": _EXCEPTION},
                    },
                    "additionalProperties": False,
                },
            ]
        },
    },
    "additionalProperties": False,
}
"""Written after "X-Ray segment documents" of AWS's developer guide."""

check = jsonschema_rs.validator_for(SCHEMA).validate


def make_span(name: str = "work") -> trace.Span:
    return Tracer("orders", lambda _: None).begin_segment(name)


def rendered(span: trace.Span) -> dict[str, Any]:
    span.end()
    document = read(render_datagram(span))
    check(document)
    return document


class _Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("not even this")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@settings(max_examples=60)
@given(st.text(), st.dictionaries(st.text(), values), st.dictionaries(st.text(), values))
@pytest.mark.slow
def test_whatever_a_span_is_given_its_document_is_valid(
    name: str, annotations: dict[str, Any], metadata: dict[str, Any]
) -> None:
    """Names, annotations and metadata of any kind."""
    span = make_span(name)
    span.annotate(**annotations)
    span.add_metadata(**metadata)

    rendered(span)


def test_what_cannot_even_be_shown_is_named() -> None:
    """In metadata and annotations."""
    span = make_span()
    span.add_metadata(thing=_Hostile())
    span.annotate(thing=_Hostile())

    document = rendered(span)
    assert document["metadata"]["thing"] == document["annotations"]["thing"] == "<_Hostile>"


def test_a_child_is_valid_with_every_block() -> None:
    """A call to another service that failed."""
    error = ValueError("later")
    error.__cause__ = KeyError("first")
    span = make_span().child("api.example", "remote")
    span.add_request("get", "https://user:secret@api.example/orders?token=1#here")
    span.add_response(503, content_length=3)
    span.fail(error)

    document = rendered(span)
    assert document["http"] == {
        "request": {"method": "GET", "url": "https://api.example/orders"},
        "response": {"status": 503, "content_length": 3},
    }
    assert [told["type"] for told in document["cause"]["exceptions"]] == ["ValueError", "KeyError"]
    assert document["cause"]["exceptions"][0]["cause"] == document["cause"]["exceptions"][1]["id"]


@pytest.mark.parametrize(
    ("status", "flags"),
    [(200, set()), (302, set()), (404, {"error"}), (429, {"error", "throttle"}), (500, {"fault"}), (503, {"fault"})],
)
def test_a_status_is_an_error_a_fault_or_a_throttle(status: int, flags: set[str]) -> None:
    """As X-Ray colours them."""
    span = make_span()
    span.add_response(status)

    assert {"error", "fault", "throttle"} & set(rendered(span)) == flags


def test_annotations_are_cleaned() -> None:
    """To the characters and kinds by which X-Ray searches; secrets are masked."""
    span = make_span()
    span.annotate(**{"order.id": 7, "to pay": 1.5, "is-new": True, "käufer": None, "password": "x", "long": "x" * 5000})

    annotations = rendered(span)["annotations"]
    assert annotations == {
        "order_id": 7, "to_pay": 1.5, "is_new": True, "k_ufer": "None", "password": "***", "long": "x" * 1000
    }  # fmt: skip


def test_there_are_at_most_fifty_annotations() -> None:
    """X-Ray would drop the document; those that are there can still change."""
    span = make_span()
    span.annotate(**{f"a{number}": number for number in range(60)})
    span.annotate(a0="changed")

    annotations = rendered(span)["annotations"]
    assert len(annotations) == 50
    assert annotations["a0"] == "changed"


@given(st.text())
def test_names_and_keys_keep_what_is_allowed(text: str) -> None:
    """And are what they were where all of it is."""
    assert re.fullmatch(r"[\w\s.:/%&#=+\\\-@]{1,200}", clean_name(text))
    assert re.fullmatch(r"[A-Za-z0-9_]{0,200}", clean_key(text))
    assert clean_name("db@host-1/a b") == "db@host-1/a b"


def test_secrets_do_not_reach_a_trace() -> None:
    """Neither by name nor by kind, in metadata, messages and URLs."""
    span = make_span()
    span.add_metadata(headers={"Authorization": "Bearer abcdef123456"}, holder=[Secret("hunter2")])
    span.fail(RuntimeError("cannot reach https://bob:hunter2@db.example"))

    assert "hunter2" not in str(rendered(span))
    assert "abcdef123456" not in str(rendered(span))


@pytest.mark.parametrize("size", [60_000, 70_000, 1_000_000])
def test_a_document_fits_a_datagram(size: int) -> None:
    """Metadata go first; the span itself is always there."""
    span = make_span()
    span.add_metadata(big="x" * size)

    document = rendered(span)
    assert len(str(document)) < 65_507
    assert ("carboy" in document["metadata"]) == (size > MAX_BYTES)


def test_a_document_fits_even_if_all_of_it_is_large() -> None:
    """What the trace's shape needs is kept."""
    span = make_span()
    span.add_request("GET", "http://a.example/" + "x" * 70_000)
    span.add(sql={"sanitized_query": "SELECT " + "x" * 70_000})
    span.annotate(**{f"key{number}": "ü" * 1000 for number in range(50)})
    span.add_metadata(big="x" * 70_000)

    assert rendered(span)["name"] == "work"


def test_a_deep_stack_is_cut() -> None:
    """The innermost fifty frames stay."""

    def deeper(left: int) -> None:
        if not left:
            raise RecursionError("deep")
        deeper(left - 1)

    span = make_span()
    try:
        deeper(200)
    except RecursionError as error:
        span.fail(error)

    (told,) = rendered(span)["cause"]["exceptions"]
    assert len(told["stack"]) == 50
    assert told["truncated"] == 152
    assert told["stack"][0]["label"] == "deeper"


def test_a_span_ends_once(daemon: Daemon) -> None:
    """However often it is ended."""
    span = trace.span("work")
    span.end()
    span.end()

    assert len(daemon.documents(1)) == 1
