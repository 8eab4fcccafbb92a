"""Render a span as X-Ray's document, small enough for one datagram.

Source: AWS X-Ray developer guide, "X-Ray segment documents" and "Sending segment documents to the X-Ray daemon".
"""

from collections.abc import Mapping
from typing import Any

import orjson

from carboy.redact import mask
from carboy.trace.sanitize import show
from carboy.trace.spans import Span

HEADER = b'{"format": "json", "version": 1}\n'
MAX_BYTES = 64_000
"""X-Ray takes 64 KB a document, and a datagram holds 65,507 bytes with its header line."""

_MAX_TEXT = 2000
_PLAIN = frozenset({int, float, bool, type(None)})
_OPTIONS = orjson.OPT_NON_STR_KEYS


def render_datagram(span: Span) -> bytes:
    """Return the header line and the document of a span that has ended.

    What is too large is trimmed: metadata first, then stacks, then texts, then all but what the trace's shape needs.
    """
    return render_document(_document(span))


def render_document(document: dict[str, Any]) -> bytes:
    """Return the header line and a document, trimmed as `render_datagram` says."""
    rendered = _dump(document)
    for trim in _TRIMS:
        if len(rendered) <= MAX_BYTES:
            break
        trim(document)
        rendered = _dump(document)
    return HEADER + rendered


def show_json(metadata: Mapping[str, Any]) -> str:
    """Return metadata as a JSON text of at most 16,000 characters, what is secret in it masked."""
    return _dump({key: _masked(key, value) for key, value in metadata.items()}).decode()[:16_000]


def _document(span: Span) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": span.name,
        "id": span.id,
        "trace_id": span.trace_id,
        "start_time": span.start_s,
        "end_time": span.end_s,
    }
    if span.parent_id:
        document["parent_id"] = span.parent_id
    if not span.is_segment:
        document["type"] = "subsegment"
    if span.namespace:
        document["namespace"] = span.namespace
    if span.facts:
        document.update(span.facts)
    if span.annotations:
        document["annotations"] = span.annotations
    if span.metadata:
        document["metadata"] = {key: _masked(key, value) for key, value in span.metadata.items()}
    return document


def _masked(key: str, value: Any) -> Any:
    if type(value) is list:  # a call's arguments, mostly plain ones: `mask` takes its time for each
        return [item if type(item) in _PLAIN else mask(item) for item in value]
    return mask({key: value})[key] if value else value


def _dump(document: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(document, default=_show, option=_OPTIONS)
    except (TypeError, ValueError):  # an integer of more than 64 bits, a circle, a broken text
        return orjson.dumps(_plain(document, 0), option=_OPTIONS)


def _show(value: object) -> str:
    return show(value, _MAX_TEXT)


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict) and depth < 20:
        return {_plain(str(key), depth): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple) and depth < 20:
        return [_plain(item, depth + 1) for item in value]
    return _plain(_show(value), depth)


def _drop_metadata(document: dict[str, Any]) -> None:
    if "metadata" in document:
        document["metadata"] = {"carboy": {"trimmed": "the document was larger than 64 KB"}}


def _drop_stacks(document: dict[str, Any]) -> None:
    cause = document.get("cause")
    if isinstance(cause, dict):
        for described in cause["exceptions"]:
            described["truncated"] = described.get("truncated", 0) + max(0, len(described["stack"]) - 5)
            described["stack"] = described["stack"][:5]


def _cut_texts(document: dict[str, Any]) -> None:
    for block in ("http", "aws", "sql", "annotations"):
        if block in document:
            document[block] = _cut(document[block])


def _cut(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cut(item) for key, item in value.items()}
    return value[:200] if isinstance(value, str) else value


def _keep_shape(document: dict[str, Any]) -> None:
    for block in ("http", "aws", "sql", "annotations", "metadata", "cause", "service"):
        document.pop(block, None)


_TRIMS = (_drop_metadata, _drop_stacks, _cut_texts, _keep_shape)
