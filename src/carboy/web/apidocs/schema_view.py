"""Render a JSON schema as HTML: its type, its bounds and its members."""

from collections.abc import Mapping, Sequence
from html import escape
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
_CHOICES = (("oneOf", "one of"), ("anyOf", "any of"), ("allOf", "all of"))


def follow(document: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a node's `$ref` points at in the same document, or the node itself."""
    seen = 0
    while isinstance(node.get("$ref"), str) and node["$ref"].startswith("#/") and seen < 32:
        target: Any = document
        for step in parse_pointer(node["$ref"][1:]):
            target = target.get(step, {})
        node, seen = target, seen + 1
    return node


class SchemaText:
    """Renders the schemas of one document.

    Args:
        document: where references point.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def render(self, schema: Any, depth: int = 6) -> Markup:
        """Return a schema's HTML, its properties to a depth at which references that go in circles end."""
        return Markup(self._render(schema, depth))  # noqa: S704 (all that is of the document is escaped)

    def _render(self, schema: Any, depth: int) -> str:
        if not isinstance(schema, Mapping):
            return ""
        schema = follow(self._document, schema)
        items = schema.get("items")
        about = f'<span class="type">{self._line(schema)}</span>'
        if depth <= 0:
            return about
        parts = [self._properties(schema, depth)]
        if isinstance(items, Mapping):
            parts.append(self._properties(follow(self._document, items), depth))
        for key, word in _CHOICES:
            choices = "".join(f"<div>{self._render(one, depth - 1)}</div>" for one in schema.get(key, ()))
            parts.append(f'<div class="props"><span class="type">{word}</span>{choices}</div>' if choices else "")
        return about + "".join(parts)

    def _properties(self, schema: Mapping[str, Any], depth: int) -> str:
        required = set(schema.get("required", ()))
        rows = []
        for name, given in schema.get("properties", {}).items():
            one = follow(self._document, given) if isinstance(given, Mapping) else {}
            description = str(
                (given if isinstance(given, Mapping) else {}).get("description") or one.get("description", "")
            )
            must = ' <span class="must">required</span>' if name in required else ""
            text = f"<p>{escape(description)}</p>" if description else ""
            rows.append(f"<div><code>{escape(name)}</code>{must} {self._render(one, depth - 1)}{text}</div>")
        return f'<div class="props">{"".join(rows)}</div>' if rows else ""

    def _line(self, schema: Mapping[str, Any]) -> str:
        parts = [_type(schema)]
        items = schema.get("items")
        if isinstance(items, Mapping):
            parts[0] = f"list of {_type(follow(self._document, items))}"
        if "const" in schema:
            parts.append(f"always {_value(schema['const'])}")
        if "enum" in schema:
            parts.append("one of " + ", ".join(_value(one) for one in schema["enum"]))
        parts += [words.format(escape(str(schema[key]))) for key, words in _BOUNDS if key in schema]
        return ", ".join(part for part in parts if part)


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "")
    kinds: Sequence[str] = [kind] if isinstance(kind, str) else kind
    text = " or ".join(escape(one) for one in kinds)
    return f"{text} ({escape(str(schema['format']))})" if "format" in schema else text


def _value(value: Any) -> str:
    return f"<code>{escape(str(value) if not isinstance(value, bool) else str(value).lower())}</code>"
