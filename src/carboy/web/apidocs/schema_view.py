"""Describe a JSON schema in one line of HTML: its type and its bounds."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from carboy.http_values import parse_pointer

_BOUNDS = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "above {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "below {}"),
    ("minLength", "at least {} long"),
    ("maxLength", "at most {} long"),
    ("minItems", "at least {} long"),
    ("maxItems", "at most {} long"),
    ("pattern", "<code>{}</code>"),
    ("default", "by default <code>{}</code>"),
)


def follow(document: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a node's `$ref` points at in the same document, or the node itself."""
    seen = 0
    while isinstance(node.get("$ref"), str) and node["$ref"].startswith("#/") and seen < 32:
        target: Any = document
        for step in parse_pointer(node["$ref"][1:]):
            target = target.get(step, {})
        node, seen = target, seen + 1
    return node


def describe(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Markup:
    """Return the type and the bounds of a schema that is no reference."""
    parts = [_type(schema)]
    items = schema.get("items")
    if isinstance(items, Mapping):
        parts[0] = f"list of {_type(follow(document, items))}"
    if "const" in schema:
        parts.append(Markup("always {}").format(_value(schema["const"])))
    if "enum" in schema:
        parts.append(Markup("one of {}").format(Markup(", ").join(map(_value, schema["enum"]))))
    parts += [Markup(words).format(schema[key]) for key, words in _BOUNDS if key in schema]  # noqa: S704 (ours)
    return Markup(", ").join(part for part in parts if part)


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "")
    kinds: Sequence[str] = [kind] if isinstance(kind, str) else kind
    text = " or ".join(kinds)
    return f"{text} ({schema['format']})" if "format" in schema else text


def _value(value: Any) -> Markup:
    return Markup("<code>{}</code>").format(str(value).lower() if isinstance(value, bool) else value)
