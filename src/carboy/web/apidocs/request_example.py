"""Make the example of a request: what the form of the page needs, with a body, and a line for the shell."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from carboy.web.apidocs.schema_view import follow

_MAX_DEPTH = 5
_TYPICAL: dict[str, Any] = {
    "string": "text",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "null": None,
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "email": "ann@example.com",
    "uri": "https://example.com",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
}


def examples_of(media: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the examples that a media type object has."""
    if "example" in media:
        yield media["example"]
    for one in media.get("examples", {}).values():
        for key in ("value", "dataValue"):
            if key in one:
                yield one[key]


def render_json(value: Any, indent: int | None = 2) -> str:
    """Return a value as JSON; a text as itself."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=indent)


def make_form(
    document: Mapping[str, Any],
    method: str,
    path: str,
    node: Mapping[str, Any],
    parameters: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return what the form that sends a request to an operation is made of.

    Args:
        document: the whole document.
        method: in lower case.
        path: its template.
        node: the operation.
        parameters: its parameters, those of its path item first.
    """
    content = follow(document, node.get("requestBody") or {}).get("content", {})
    kind, body = next(iter(content), None), ""
    if kind is not None:
        media = content[kind]
        found = next(examples_of(media), None)
        body = render_json(found if found is not None else _typical(document, media.get("schema")))
    server = str((document.get("servers") or [{"url": "/"}])[0]["url"]).rstrip("/")
    return {
        "method": method.upper(),
        "path": server + path,
        "type": kind,
        "body": body,
        "secured": any(node.get("security", ())),
        "parameters": [
            {
                "name": one["name"],
                "in": one["in"],
                "required": bool(one.get("required")),
                "value": render_json(one.get("example", _typical(document, one.get("schema"))), None)
                if one.get("required")
                else "",
            }
            for one in parameters
            if one["in"] in {"path", "query", "header"}
        ],
    }


def render_form(form: Mapping[str, Any]) -> str:
    """Return a form as JSON, for the script of the page."""
    return json.dumps(form)


def render_curl(form: Mapping[str, Any]) -> str:
    """Return a line for the shell that sends the request of a form."""
    words = ["curl"] if form["method"] == "GET" else [f"curl -X {form['method']}"]
    if form["secured"]:
        words.append('-H "Authorization: Bearer $CARBOY_KEY"')
    path, query = form["path"], []
    for one in form["parameters"]:
        if one["in"] == "path":
            path = path.replace("{" + one["name"] + "}", quote(one["value"] or "…", safe=""))
        elif one["required"] and one["in"] == "query":
            query.append(f"{quote(one['name'])}={quote(one['value'])}")
        elif one["required"]:
            words.append(_quoted("-H ", f"{one['name']}: {one['value']}"))
    if form["type"] is not None:
        words.append(_quoted("-H ", f"Content-Type: {form['type']}"))
        body = form["body"]
        with suppress(ValueError):  # it is no JSON
            body = json.dumps(json.loads(body), ensure_ascii=False)
        words.append(_quoted("-d ", body) if "json" in form["type"] else "--data-binary @body")
    address = path + ("?" + "&".join(query) if query else "")
    words.append(f'"$CARBOY_URL{address}"')
    return " \\\n  ".join(words)


def _quoted(option: str, text: str) -> str:
    return option + "'" + text.replace("'", "'\\''") + "'"


def _typical(document: Mapping[str, Any], schema: Any, depth: int = 0) -> Any:
    """Return a value that a schema describes: its example or default, else one made of its types."""
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return {}
    schema = follow(document, schema)
    for key in ("example", "default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    parts = schema.get("allOf", ())
    choice = next((schema[key][0] for key in ("oneOf", "anyOf") if schema.get(key)), None)
    if "properties" in schema or parts:
        value = {
            name: _typical(document, below, depth + 1)
            for name, below in schema.get("properties", {}).items()
            if not (isinstance(below, Mapping) and below.get("readOnly"))
        }
        for part in parts:
            found = _typical(document, part, depth + 1)
            value |= found if isinstance(found, dict) else {}
        return value
    if choice is not None:
        return _typical(document, choice, depth + 1)
    if "items" in schema:
        return [_typical(document, schema["items"], depth + 1)]
    kinds = schema.get("type", "object")
    kind = kinds if isinstance(kinds, str) else next(iter(kinds), "object")
    return _TYPICAL.get(schema.get("format", kind), _TYPICAL.get(kind, [] if kind == "array" else {}))
