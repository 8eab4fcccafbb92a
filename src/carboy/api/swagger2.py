"""Translate Swagger 2.0 into OpenAPI 3.0, so that everything else knows one kind of document only."""

from collections.abc import Iterable, Mapping
from typing import Any

from carboy.api.walk import METHODS, deref, map_children

RENAMED = {
    ("components", "schemas"): ("definitions",),
    ("components", "parameters"): ("parameters",),
    ("components", "responses"): ("responses",),
    ("components", "securitySchemes"): ("securityDefinitions",),
}

_JSON = ["application/json"]
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_OF_VALUE = frozenset(
    ("type", "format", "items", "default", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength")
) | {"minLength", "pattern", "maxItems", "minItems", "uniqueItems", "enum", "multipleOf", "example"}
_STYLES: dict[str, dict[str, Any]] = {
    "csv": {"explode": False},
    "ssv": {"style": "spaceDelimited", "explode": False},
    "tsv": {"x-carboy-delimiter": "\t", "explode": False},
    "pipes": {"style": "pipeDelimited", "explode": False},
    "multi": {"explode": True},
}
_DELIMITERS = {"csv": ",", "ssv": " ", "tsv": "\t", "pipes": "|"}
_FLOWS = {"application": "clientCredentials", "accessCode": "authorizationCode"}


def translate(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a well-formed Swagger 2.0 document, its references resolved, as OpenAPI 3.0."""
    result: dict[str, Any] = {"openapi": "3.0.4", "info": content["info"], "servers": _servers(content)}
    for key in ("tags", "externalDocs", "security"):
        if key in content:
            result[key] = content[key]
    result |= {key: value for key, value in content.items() if key.startswith("x-")}
    result["paths"] = {
        path: _path_item(content, item) if path.startswith("/") else item for path, item in content["paths"].items()
    }
    result["components"] = {
        "schemas": {name: _schema(schema) for name, schema in content.get("definitions", {}).items()},
        "parameters": {
            name: _parameter(parameter)
            for name, parameter in content.get("parameters", {}).items()
            if parameter.get("in") not in {"body", "formData"}
        },
        "responses": {
            name: _response(response, content.get("produces", _JSON))
            for name, response in content.get("responses", {}).items()
        },
        "securitySchemes": {name: _scheme(node) for name, node in content.get("securityDefinitions", {}).items()},
    }
    return result


def _servers(content: Mapping[str, Any]) -> list[dict[str, str]]:
    base, host = content.get("basePath", "/"), content.get("host")
    if host is None:
        return [{"url": base}]
    return [{"url": f"{scheme}://{host}{base}"} for scheme in content.get("schemes") or ["https"]]


def _path_item(content: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    result = {key: value for key, value in item.items() if key.startswith("x-")}
    shared = item.get("parameters", [])
    for method in METHODS:
        if method in item:
            result[method] = _operation(content, item[method], shared)
    return result


def _operation(content: Mapping[str, Any], node: Mapping[str, Any], shared: Iterable[Any]) -> dict[str, Any]:
    result = {key: value for key, value in node.items() if key not in {"consumes", "produces", "schemes"}}
    own = {(found["name"], found["in"]) for found in (deref(content, one) for one in node.get("parameters", []))}
    parameters = list(node.get("parameters", []))
    parameters += [one for one in shared if (deref(content, one)["name"], deref(content, one)["in"]) not in own]
    resolved = [(one, deref(content, one)) for one in parameters]
    result["parameters"] = [
        {"$ref": f"#/components/parameters/{one['$ref'].rsplit('/', 1)[1]}"} if "$ref" in one else _parameter(found)
        for one, found in resolved
        if found["in"] not in {"body", "formData"}
    ]
    body = _request_body(
        [found for _, found in resolved if found["in"] in {"body", "formData"}],
        node.get("consumes", content.get("consumes", _JSON)),
    )
    if body is not None:
        result["requestBody"] = body
    produces = node.get("produces", content.get("produces", _JSON))
    result["responses"] = {
        status: _response(response, produces) if not status.startswith("x-") else response
        for status, response in node["responses"].items()
    }
    return result


def _request_body(parameters: list[Any], consumes: list[str]) -> dict[str, Any] | None:
    if not parameters:
        return None
    if parameters[0]["in"] == "body":
        body = parameters[0]
        return {
            **({"description": body["description"]} if "description" in body else {}),
            "required": body.get("required", False),
            "x-body-name": body["name"],
            "content": {kind: {"schema": _schema(body["schema"])} for kind in consumes or _JSON},
        }
    schema = {
        "type": "object",
        "properties": {one["name"]: _value_schema(one) for one in parameters},
        "required": [one["name"] for one in parameters if one.get("required")],
    }
    encoding = {
        one["name"]: _STYLES[one.get("collectionFormat", "csv")] for one in parameters if one.get("type") == "array"
    }
    kinds = [kind for kind in consumes if kind in _FORMS]
    if not kinds:
        kinds = [_FORMS[0]] if any(one.get("type") == "file" for one in parameters) else list(_FORMS)
    return {
        "required": bool(schema["required"]),
        "x-carboy-form-arguments": True,
        "content": {kind: {"schema": schema, **({"encoding": encoding} if encoding else {})} for kind in kinds},
    }


def _parameter(node: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        return {"$ref": f"#/components/parameters/{node['$ref'].rsplit('/', 1)[1]}"}
    result = {
        key: value
        for key, value in node.items()
        if key not in _OF_VALUE and key not in {"collectionFormat", "x-nullable"}
    }
    result["schema"] = _value_schema(node)
    if node.get("type") == "array":
        style = _STYLES[node.get("collectionFormat", "csv")]
        result |= style if node["in"] == "query" else {}
    return result


def _value_schema(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter or header, whose keywords stand beside its name in Swagger 2.0."""
    schema = {key: value for key, value in node.items() if key in _OF_VALUE}
    if schema.get("type") == "file":
        schema |= {"type": "string", "format": "binary"}
    if node.get("x-nullable"):
        schema["nullable"] = True
    inner = schema.get("items")
    if isinstance(inner, dict):
        schema["items"] = _value_schema(inner)
        if inner.get("type") == "array":
            schema["items"]["x-carboy-delimiter"] = _DELIMITERS.get(inner.get("collectionFormat", "csv"), ",")
    return schema


def _schema(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    result = map_children("schema", node, lambda _pointer, _kind, value: _schema(value))
    if isinstance(result.get("$ref"), str):
        result["$ref"] = result["$ref"].replace("#/definitions/", "#/components/schemas/", 1)
    if result.get("type") == "file":
        result |= {"type": "string", "format": "binary"}
    if result.pop("x-nullable", False):
        result["nullable"] = True
    if isinstance(result.get("discriminator"), str):
        result["discriminator"] = {"propertyName": result["discriminator"]}
    return result


def _response(node: Mapping[str, Any], produces: list[str]) -> dict[str, Any]:
    if "$ref" in node:
        return {"$ref": f"#/components/responses/{node['$ref'].rsplit('/', 1)[1]}"}
    result = {key: value for key, value in node.items() if key not in {"schema", "examples", "headers"}}
    if "headers" in node:
        result["headers"] = {
            name: {"schema": _value_schema(header), **{key: header[key] for key in ("description",) if key in header}}
            for name, header in node["headers"].items()
        }
    examples = node.get("examples", {})
    if "schema" in node or examples:
        schema = {"schema": _schema(node["schema"])} if "schema" in node else {}
        result["content"] = {
            kind: {**schema, **({"example": examples[kind]} if kind in examples else {})} for kind in produces or _JSON
        }
    return result


def _scheme(node: Mapping[str, Any]) -> dict[str, Any]:
    more = {key: value for key, value in node.items() if key.startswith("x-") or key == "description"}
    if node["type"] == "basic":
        return {"type": "http", "scheme": "basic", **more}
    if node["type"] == "apiKey":
        return {"type": "apiKey", "name": node.get("name", ""), "in": node.get("in", "header"), **more}
    flow = {key: node[key] for key in ("authorizationUrl", "tokenUrl") if key in node}
    kind = node.get("flow", "implicit")
    return {"type": "oauth2", "flows": {_FLOWS.get(kind, kind): {**flow, "scopes": node.get("scopes", {})}}, **more}
