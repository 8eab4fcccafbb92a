"""Places in a request: `header:NAME`, `query:NAME`, `form:NAME`, or a JSON pointer into the body."""

from collections.abc import Sequence
from typing import Any

import orjson

from carboy.http_values import MISSING, look_up, parse_pointer
from carboy.raw_request import RawRequest
from carboy.webhooks.verification import Unverified

_KINDS = ("header", "query", "form")


def is_place(text: str) -> bool:
    """Return whether a text names a place."""
    kind, colon, name = text.partition(":")
    if colon and kind in _KINDS:
        return bool(name.strip())
    try:
        return text.startswith("/") and bool(parse_pointer(text))
    except ValueError:
        return False


def find(place: str, request: RawRequest) -> Any:
    """Return what stands at a place: text, or any JSON value of the body; `MISSING` where there is nothing.

    A name that a query or a form holds twice is missing: it could mean either.
    """
    kind, _, name = place.partition(":")
    name = name.strip()
    if kind == "header":
        return request.headers.get(name.lower(), MISSING)
    if kind in {"query", "form"}:
        values = [value for key, value in (request.query() if kind == "query" else request.form()) if key == name]
        return values[0] if len(values) == 1 else MISSING
    try:
        return look_up(orjson.loads(request.body), place)
    except ValueError:
        return MISSING


def put_at(document: Any, keys: Sequence[str], value: Any) -> Any:
    """Return a JSON document with a value at the keys of a pointer, and objects and arrays on the way to it."""
    if not keys:
        return value
    key, *rest = keys
    if isinstance(document, list) or (document is None and key == "0"):
        items = document or [None]
        return [put_at(items[0], rest, value), *items[1:]]
    members = document if isinstance(document, dict) else {}
    return {**members, key: put_at(members.get(key), rest, value)}


def find_text(place: str, request: RawRequest) -> str:
    """Return the text or the number at a place as text; empty where there is neither, or a boolean."""
    found = find(place, request)
    if isinstance(found, str):
        return found
    return "" if isinstance(found, bool) or not isinstance(found, int | float) else orjson.dumps(found).decode()


def required_text(place: str, request: RawRequest) -> str:
    """Return what `find_text` does; raise `Unverified` where there is nothing."""
    text = find_text(place, request)
    if not text:
        raise Unverified(f"the request has nothing at {place}", "missing")
    return text


def required_header(name: str, request: RawRequest) -> str:
    """Return a header, whatever the case of its name; raise `Unverified` where it is absent or empty."""
    value = request.headers.get(name.lower(), "")
    if not value:
        raise Unverified(f"the header {name} is absent", "missing")
    return value
