"""What stands where in a document: the one table that every walk over it goes by, and JSON pointers.

Source: OpenAPI 3.0.4 and 3.1.1, Swagger 2.0, JSON Schema 2020-12.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import unquote

__all__ = [
    "METHODS",
    "PLACEHOLDER",
    "Kind",
    "children",
    "deref",
    "dig",
    "parse_pointer",
    "render_pointer",
    "section_of",
    "walk",
]

PLACEHOLDER = re.compile(r"\{([^{}/]+)\}")
"""A parameter in the template of a path."""

Kind = str
Many = Literal["one", "list", "map"]

METHODS = ("head", "get", "put", "post", "delete", "options", "patch", "trace")  # HEAD before GET, which answers it too

_OPERATIONS: dict[str, tuple[Many, Kind]] = dict.fromkeys(METHODS, ("one", "operation"))
_SCHEMAS_IN_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_SCHEMAS_IN_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SCHEMAS = (
    *("items", "additionalItems", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema"),
)
_TABLE: dict[Kind, dict[str, tuple[Many, Kind]]] = {
    "document": {
        "paths": ("map", "pathItem"),
        "webhooks": ("map", "pathItem"),
        "components": ("one", "components"),
        "definitions": ("map", "schema"),
        "parameters": ("map", "parameter"),
        "responses": ("map", "response"),
    },
    "components": {
        "schemas": ("map", "schema"),
        "responses": ("map", "response"),
        "parameters": ("map", "parameter"),
        "examples": ("map", "example"),
        "requestBodies": ("map", "requestBody"),
        "headers": ("map", "header"),
        "securitySchemes": ("map", "securityScheme"),
        "links": ("map", "link"),
        "callbacks": ("map", "callback"),
        "pathItems": ("map", "pathItem"),
    },
    "pathItem": {"parameters": ("list", "parameter"), **_OPERATIONS},
    "operation": {
        "parameters": ("list", "parameter"),
        "requestBody": ("one", "requestBody"),
        "responses": ("map", "response"),
        "callbacks": ("map", "callback"),
    },
    "callback": {"*": ("one", "pathItem")},
    "parameter": {
        "schema": ("one", "schema"),
        "items": ("one", "schema"),
        "content": ("map", "mediaType"),
        "examples": ("map", "example"),
    },
    "header": {
        "schema": ("one", "schema"),
        "items": ("one", "schema"),
        "content": ("map", "mediaType"),
        "examples": ("map", "example"),
    },
    "requestBody": {"content": ("map", "mediaType")},
    "response": {
        "schema": ("one", "schema"),
        "headers": ("map", "header"),
        "content": ("map", "mediaType"),
        "links": ("map", "link"),
    },
    "mediaType": {
        "schema": ("one", "schema"),
        "encoding": ("map", "encoding"),
        "examples": ("map", "example"),
    },
    "encoding": {"headers": ("map", "header")},
    "schema": {
        **dict.fromkeys(_SCHEMAS_IN_MAPS, ("map", "schema")),
        **dict.fromkeys(_SCHEMAS_IN_LISTS, ("list", "schema")),
        **dict.fromkeys(_SCHEMAS, ("one", "schema")),
    },
}
_SECTIONS = {
    "schema": "schemas",
    "response": "responses",
    "parameter": "parameters",
    "example": "examples",
    "requestBody": "requestBodies",
    "header": "headers",
    "securityScheme": "securitySchemes",
    "link": "links",
    "callback": "callbacks",
}
_SECTIONS_2 = {"schema": "definitions", "response": "responses", "parameter": "parameters"}


def section_of(kind: Kind, *, is_swagger_2: bool) -> tuple[str, ...] | None:
    """Return where a document keeps shared things of a kind, such as `("components", "schemas")`; None for nowhere."""
    if is_swagger_2:
        return (_SECTIONS_2[kind],) if kind in _SECTIONS_2 else None
    return ("components", _SECTIONS[kind]) if kind in _SECTIONS else None


def children(kind: Kind, node: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Kind, Any]]:
    """Yield the pointer, kind and value of each part of a node that the table knows."""
    table = _TABLE.get(kind, {})
    anything = table.get("*")
    for key, value in node.items():
        found = table.get(key) or (anything if not key.startswith("x-") else None)
        if found is None:
            continue
        many, below = found
        if many == "map" and isinstance(value, dict):
            for name, item in value.items():
                yield (key, name), below, item
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield (key, str(index)), below, item
        elif many == "one":
            yield (key,), below, value


def walk(
    kind: Kind, node: Any, pointer: tuple[str, ...] = ()
) -> Iterator[tuple[Kind, tuple[str, ...], dict[str, Any]]]:
    """Yield every object of a document with its kind and pointer, from the outside in; references are not followed."""
    if not isinstance(node, dict):
        return
    yield kind, pointer, node
    for below, kind_below, value in children(kind, node):
        yield from walk(kind_below, value, pointer + below)


def render_pointer(parts: Sequence[str | int]) -> str:
    """Return a JSON pointer of unescaped parts. Source: RFC 6901."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def parse_pointer(fragment: str) -> tuple[str, ...]:
    """Return the unescaped parts of a pointer in a URI fragment, `""` or `/a/b`.

    Raises:
        ValueError: it is not a pointer.
    """
    text = unquote(fragment)
    if not text:
        return ()
    if not text.startswith("/"):
        raise ValueError(fragment)
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))


def dig(node: Any, pointer: Sequence[str]) -> Any:
    """Return what a pointer names.

    Raises:
        KeyError: there is nothing.
    """
    for part in pointer:
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        else:
            raise KeyError(part)
    return node


def deref(content: Any, node: Any) -> Any:
    """Return what a node stands for, following its references inside the document.

    Raises:
        KeyError: a reference names nothing, or itself.
    """
    seen: set[str] = set()
    while isinstance(node, dict) and isinstance(node.get("$ref"), str):
        reference = node["$ref"]
        if reference in seen or not reference.startswith("#"):
            raise KeyError(reference)
        seen.add(reference)
        node = dig(content, parse_pointer(reference[1:]))
    return node
