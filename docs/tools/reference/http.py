"""The page of HTTP: every operation of the services' OpenAPI documents."""

from collections.abc import Iterator, Mapping
from typing import Any

from docs.tools.reference.application import example
from docs.tools.reference.tables import page, table

__all__ = ["render_http"]

_METHODS = ("get", "post", "put", "patch", "delete")


def render_http() -> str:
    """Return the page of HTTP: the operations by tag, each with who may call, its parameters and its answers."""
    from carboy.web.openapi import merged_document

    with example() as held:
        document = merged_document(held.app)
    by_tag: dict[str, list[str]] = {one["name"]: [f"## {one['name']}", one["description"]] for one in document["tags"]}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                operation = item[method]
                parameters = [*item.get("parameters", []), *operation.get("parameters", [])]
                tag = operation.get("tags", ["other"])[0]
                by_tag.setdefault(tag, [f"## {tag}"]).extend(_operation(document, method, path, operation, parameters))
    return page(
        "HTTP",
        "Every answer carries `X-Request-Id`. Every error is `application/problem+json` (RFC 9457) with `request_id`,\n"
        "`success: false`, and `errors` where several things were wrong: `pointer` and `detail` of each. A running\n"
        "gateway serves its document at `/openapi.json` and `/openapi.yaml`, and a page to try it at `/docs`.",
        *(part for parts in by_tag.values() for part in parts),
    )


def _operation(
    document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any], parameters: list[Any]
) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`"
    yield f"**{operation.get('summary', '')}**"
    yield " ".join(str(operation.get("description", "")).split())
    yield f"Access: {_callers(operation.get('security', document.get('security', [])))}."
    read = [_at(document, one) for one in parameters]
    yield table(
        ("parameter", "in", "what"),
        [(f"`{one['name']}`{' (required)' if one.get('required') else ''}", one["in"], _what(one)) for one in read],
    )
    yield table(("member of the body", "type", "what"), list(_members(document, operation)))
    answers = {status: _at(document, one) for status, one in operation.get("responses", {}).items()}
    yield table(
        ("status", "answer"),
        [(f"`{status}`", str(one.get("description", ""))) for status, one in answers.items()],
    )


def _callers(security: list[Mapping[str, list[str]]]) -> str:
    words = [
        " and ".join(
            f"`{name}`{' with ' + ', '.join(f'`{one}`' for one in scopes) if scopes else ''}"
            for name, scopes in each.items()
        )
        if each
        else "a client that is authenticated by the request itself"
        for each in security
    ]
    return ", or ".join(words) or "anyone"


def _members(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    content = _at(document, operation.get("requestBody", {})).get("content", {})
    schema = _at(document, next((one.get("schema", {}) for one in content.values()), {}))
    for name, raw in schema.get("properties", {}).items():
        one = _at(document, raw)
        required = " (required)" if name in schema.get("required", []) else ""
        yield f"`{name}`{required}", _type(document, one), " ".join(str(one.get("description", "")).split())


def _type(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    for word in ("oneOf", "anyOf"):
        if word in schema:
            return " or ".join(_type(document, _at(document, one)) for one in schema[word])
    kind = schema.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _what(parameter: Mapping[str, Any]) -> str:
    schema = parameter.get("schema", {})
    words = " ".join(str(parameter.get("description", "")).split()).removesuffix(".")
    bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
    return "; ".join(one for one in (words, ", ".join(bounds)) if one)


_BOUNDS = {"default": "default", "minimum": "at least", "maximum": "at most", "maxLength": "length at most"}


def _at(document: Mapping[str, Any], value: Any) -> Any:
    """Return what a reference within the document leads to; anything else as it is."""
    while isinstance(value, Mapping) and "$ref" in value:
        found: Any = document
        for key in str(value["$ref"]).removeprefix("#/").split("/"):
            found = found[key.replace("~1", "/").replace("~0", "~")]
        value = found
    return value
