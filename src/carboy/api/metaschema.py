"""What a well-formed document is, beyond its schemas: written as JSON Schemas of our own, and the rules that need code.

Source: OpenAPI 3.0.4 and 3.1.1, Swagger 2.0.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from carboy.api.problems_found import Faults
from carboy.api.walk import METHODS, PLACEHOLDER, deref
from carboy.extras import extra

__all__ = ["check_grammar", "check_sense"]

_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 0}
_ANY: dict[str, Any] = {}
_SCHEMA = {"type": ["object", "boolean"]}


def _map(of: Mapping[str, Any], pattern: str = "") -> dict[str, Any]:
    if not pattern:
        return {"type": "object", "additionalProperties": of}
    return {"type": "object", "patternProperties": {pattern: of, "^x-": {}}, "additionalProperties": False}


def _list(of: Mapping[str, Any], least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": of, "minItems": least}


def _object(required: str = "", /, **properties: Any) -> dict[str, Any]:
    named = {name.rstrip("_"): value for name, value in properties.items()}
    return {
        "type": "object",
        "required": required.split(),
        "properties": named,
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    }


def _part(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def _or_reference(name: str) -> dict[str, Any]:
    return {
        "if": {"type": "object", "required": ["$ref"]},
        "then": {"properties": {"$ref": _TEXT}},
        "else": _part(name),
    }


_STATUS = "^([1-5]([0-9][0-9]|XX)|default)$"
_DOCS = _object("url", url=_TEXT, description=_TEXT)
_INFO = {
    "info": _object(
        "title version",
        title=_TEXT,
        version=_TEXT,
        summary=_TEXT,
        description=_TEXT,
        termsOfService=_TEXT,
        contact=_object(name=_TEXT, url=_TEXT, email=_TEXT),
        license=_object("name", name=_TEXT, url=_TEXT, identifier=_TEXT),
    ),
    "externalDocs": _DOCS,
    "tags": _list(
        _object("name", name=_TEXT, description=_TEXT, externalDocs=_DOCS, summary=_TEXT, parent=_TEXT, kind=_TEXT)
    ),
    "security": _list(_map(_list(_TEXT))),
}
_SERVERS = _list(
    _object(
        "url",
        url=_TEXT,
        description=_TEXT,
        name=_TEXT,
        variables=_map(_object("default", default=_TEXT, enum=_list(_TEXT, 1), description=_TEXT)),
    )
)
_VALUE = {
    "description": _TEXT,
    "required": _FLAG,
    "deprecated": _FLAG,
    "allowEmptyValue": _FLAG,
    "style": _TEXT,
    "explode": _FLAG,
    "allowReserved": _FLAG,
    "schema": _SCHEMA,
    "example": _ANY,
    "examples": _map(_or_reference("example")),
    "content": {**_map(_part("mediaType")), "minProperties": 1, "maxProperties": 1},
}
_STYLES = {
    "path": ["matrix", "label", "simple"],
    "query": ["form", "spaceDelimited", "pipeDelimited", "deepObject"],
    "header": ["simple"],
    "cookie": ["form", "cookie"],
}
_PARAMETER = {
    **_object("name in", name=_TEXT, in_={"enum": list(_STYLES)}, **_VALUE),
    "oneOf": [{"required": ["schema"]}, {"required": ["content"]}],
    "allOf": [
        {
            "if": {"properties": {"in": {"const": place}}},
            "then": {
                "properties": {"style": {"enum": styles}, **({"required": {"const": True}} if place == "path" else {})},
                "required": ["required"] if place == "path" else [],
            },
        }
        for place, styles in _STYLES.items()
    ],
}
_OPERATION = _object(
    tags=_list(_TEXT),
    summary=_TEXT,
    description=_TEXT,
    externalDocs=_DOCS,
    operationId=_TEXT,
    parameters=_list(_or_reference("parameter")),
    requestBody=_or_reference("requestBody"),
    responses={**_map(_or_reference("response"), _STATUS), "minProperties": 1},
    callbacks=_map(_or_reference("callback")),
    deprecated=_FLAG,
    security=_INFO["security"],
    servers=_SERVERS,
)
_FLOW = {"refreshUrl": _TEXT, "scopes": _map(_TEXT), "authorizationUrl": _TEXT, "tokenUrl": _TEXT}
_SCHEME = {
    **_object(
        "type",
        type_={"enum": ["apiKey", "http", "oauth2", "openIdConnect", "mutualTLS"]},
        description=_TEXT,
        name=_TEXT,
        in_={"enum": ["query", "header", "cookie"]},
        scheme=_TEXT,
        bearerFormat=_TEXT,
        flows=_map(_object("scopes", **_FLOW), "^(implicit|password|clientCredentials|authorizationCode)$"),
        openIdConnectUrl=_TEXT,
    ),
    "allOf": [
        {"if": {"properties": {"type": {"const": kind}}}, "then": {"required": required}}
        for kind, required in {
            "apiKey": ["name", "in"],
            "http": ["scheme"],
            "oauth2": ["flows"],
            "openIdConnect": ["openIdConnectUrl"],
        }.items()
    ],
}
_COMPONENTS = {
    "schemas": _SCHEMA,
    "responses": _or_reference("response"),
    "parameters": _or_reference("parameter"),
    "examples": _or_reference("example"),
    "requestBodies": _or_reference("requestBody"),
    "headers": _or_reference("header"),
    "securitySchemes": _or_reference("scheme"),
    "links": _or_reference("link"),
    "callbacks": _or_reference("callback"),
    "pathItems": _part("pathItem"),
}
_OPENAPI_3 = {
    **_object(
        "openapi info",
        openapi=_TEXT,
        servers=_SERVERS,
        paths=_map(_part("pathItem"), "^/"),
        webhooks=_map(_part("pathItem")),
        components=_object(**{name: _map(of) for name, of in _COMPONENTS.items()}),
        jsonSchemaDialect=_TEXT,
        **_INFO,
    ),
    "anyOf": [{"required": ["paths"]}, {"required": ["components"]}, {"required": ["webhooks"]}],
    "$defs": {
        "pathItem": _object(
            **{"$ref": _TEXT, "summary": _TEXT, "description": _TEXT, "servers": _SERVERS},
            parameters=_list(_or_reference("parameter")),
            **dict.fromkeys(METHODS, _OPERATION),
        ),
        "parameter": _PARAMETER,
        "header": _object(**_VALUE),
        "requestBody": _object("content", description=_TEXT, content=_map(_part("mediaType")), required=_FLAG),
        "response": _object(
            "description",
            description=_TEXT,
            summary=_TEXT,
            headers=_map(_or_reference("header")),
            content=_map(_part("mediaType")),
            links=_map(_or_reference("link")),
        ),
        "mediaType": _object(
            schema=_SCHEMA,
            example=_ANY,
            examples=_map(_or_reference("example")),
            encoding=_map(
                _object(
                    contentType=_TEXT,
                    headers=_map(_or_reference("header")),
                    style={"enum": ["form", "spaceDelimited", "pipeDelimited", "deepObject"]},
                    explode=_FLAG,
                    allowReserved=_FLAG,
                )
            ),
        ),
        "example": _object(summary=_TEXT, description=_TEXT, value=_ANY, externalValue=_TEXT),
        "link": {"type": "object"},
        "callback": _map(_part("pathItem")),
        "scheme": _SCHEME,
    },
}

_FORMAT_2 = {"enum": ["csv", "ssv", "tsv", "pipes", "multi"]}
_SIMPLE_2: dict[str, Any] = {
    **dict.fromkeys(("default", "maximum", "minimum", "enum", "multipleOf", "example", "items"), _ANY),
    **dict.fromkeys(("exclusiveMaximum", "exclusiveMinimum", "uniqueItems"), _FLAG),
    **dict.fromkeys(("maxLength", "minLength", "maxItems", "minItems"), _COUNT),
    **dict.fromkeys(("format", "pattern"), _TEXT),
    "type": {"enum": ["string", "number", "integer", "boolean", "array", "file"]},
    "collectionFormat": _FORMAT_2,
}
_PARAMETER_2 = {
    "if": {"properties": {"in": {"const": "body"}}},
    "then": _object("name in schema", name=_TEXT, in_=_TEXT, description=_TEXT, required=_FLAG, schema=_SCHEMA),
    "else": {
        **_object(
            "name in type",
            name=_TEXT,
            in_={"enum": ["query", "header", "path", "formData"]},
            description=_TEXT,
            required=_FLAG,
            allowEmptyValue=_FLAG,
            **_SIMPLE_2,
        ),
        "if": {"properties": {"in": {"const": "path"}}},
        "then": {"required": ["required"], "properties": {"required": {"const": True}}},
    },
}
_OPERATION_2 = _object(
    "responses",
    tags=_list(_TEXT),
    summary=_TEXT,
    description=_TEXT,
    externalDocs=_DOCS,
    operationId=_TEXT,
    consumes=_list(_TEXT),
    produces=_list(_TEXT),
    parameters=_list(_or_reference("parameter")),
    responses={**_map(_or_reference("response"), "^([1-5][0-9][0-9]|default)$"), "minProperties": 1},
    schemes=_list(_TEXT),
    deprecated=_FLAG,
    security=_INFO["security"],
)
_SWAGGER_2 = {
    **_object(
        "swagger info paths",
        swagger={"const": "2.0"},
        host=_TEXT,
        basePath={"type": "string", "pattern": "^/"},
        schemes=_list({"enum": ["http", "https", "ws", "wss"]}),
        consumes=_list(_TEXT),
        produces=_list(_TEXT),
        paths=_map(_part("pathItem"), "^/"),
        definitions=_map(_SCHEMA),
        parameters=_map(_or_reference("parameter")),
        responses=_map(_or_reference("response")),
        securityDefinitions=_map(
            _object(
                "type",
                type_={"enum": ["basic", "apiKey", "oauth2"]},
                description=_TEXT,
                name=_TEXT,
                in_={"enum": ["query", "header"]},
                flow={"enum": ["implicit", "password", "application", "accessCode"]},
                authorizationUrl=_TEXT,
                tokenUrl=_TEXT,
                scopes=_map(_TEXT),
            )
        ),
        **_INFO,
    ),
    "$defs": {
        "pathItem": _object(
            **{"$ref": _TEXT},
            parameters=_list(_or_reference("parameter")),
            **dict.fromkeys((method for method in METHODS if method != "trace"), _OPERATION_2),
        ),
        "parameter": _PARAMETER_2,
        "response": _object(
            "description",
            description=_TEXT,
            schema=_SCHEMA,
            headers=_map(_object("type", description=_TEXT, **_SIMPLE_2)),
            examples={"type": "object"},
        ),
    },
}


def check_grammar(content: Any, faults: Faults) -> None:
    """Note what is not where it may be, of the wrong type, or missing."""
    with extra("api"):
        from jsonschema_rs import Draft202012Validator

    from carboy.api.validators import explain

    grammar = _SWAGGER_2 if "swagger" in content else _OPENAPI_3
    for error in Draft202012Validator(grammar, mask="this").iter_errors(content):
        for pointer, detail in explain(error):
            faults.add(pointer, detail)


def check_sense(content: Mapping[str, Any], faults: Faults) -> None:
    """Note what only the whole shows: names used twice, parameters without a place, schemes that nobody described."""
    paths: Mapping[str, Any] = content.get("paths") or {}
    schemes = content.get("components", {}).get("securitySchemes", {})
    _check_security(content.get("security") or [], schemes, (), faults)
    _check_templates(paths, faults)
    ids: Counter[str] = Counter()
    for path, item in paths.items():
        for method in METHODS:
            if method not in item:
                continue
            operation, pointer = item[method], ("paths", path, method)
            _check_security(operation.get("security") or [], schemes, pointer, faults)
            _check_parameters(content, path, item, operation, pointer, faults)
            name = operation.get("operationId")
            if name is not None:
                ids[name] += 1
                if ids[name] > 1:
                    faults.add((*pointer, "operationId"), f"the operationId `{name}` is used twice")


def _check_security(needed: Sequence[Any], schemes: Any, pointer: tuple[str, ...], faults: Faults) -> None:
    for index, requirement in enumerate(needed):
        for name in requirement:
            if name not in schemes:
                faults.add((*pointer, "security", str(index), name), f"no security scheme is named `{name}`")


def _check_templates(paths: Mapping[str, Any], faults: Faults) -> None:
    seen: dict[str, str] = {}
    for path in paths:
        bare = PLACEHOLDER.sub("{}", path)
        if bare in seen:
            faults.add(("paths", path), f"the path is the same as `{seen[bare]}`")
        seen[bare] = path


def _check_parameters(
    content: Any, path: str, item: Any, operation: Any, pointer: tuple[str, ...], faults: Faults
) -> None:
    placed = [name for name, place in _parameters(content, item, operation, pointer, faults) if place == "path"]
    template = PLACEHOLDER.findall(path)
    for name in sorted(set(template) - set(placed)):
        faults.add(pointer, f"the path holds `{{{name}}}`, and no path parameter has that name")
    for name in sorted(set(placed) - set(template)):
        faults.add(pointer, f"the path parameter `{name}` is not in the path")


def _parameters(
    content: Any, item: Any, operation: Any, pointer: tuple[str, ...], faults: Faults
) -> Iterator[tuple[str, str]]:
    for place, owner in ((pointer[:-1], item), (pointer, operation)):
        seen: set[tuple[str, str]] = set()
        for index, node in enumerate(owner.get("parameters") or ()):
            try:
                parameter = deref(content, node)
            except KeyError:
                faults.add((*place, "parameters", str(index)), "the reference leads nowhere")
                continue
            key = parameter["name"], parameter["in"]
            if key in seen:
                faults.add((*place, "parameters", str(index)), f"the parameter `{key[0]}` in {key[1]} stands twice")
            seen.add(key)
            yield key
