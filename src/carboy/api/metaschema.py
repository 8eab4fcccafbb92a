"""The grammar of OpenAPI documents, beyond their schemas, as JSON Schemas of our own.

Source: OpenAPI 3.0.4, 3.1.1 and 3.2.0, Swagger 2.0.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from carboy.api.document_errors import Faults
from carboy.api.walk import METHODS
from carboy.extras import extra

_METHODS_30 = tuple(method for method in METHODS if method != "query")

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
_PARAMETER: dict[str, Any] = {
    **_object("name in", name=_TEXT, in_={"enum": list(_STYLES)}, **_VALUE),
    "dependentSchemas": {"content": {"properties": {"schema": False}}},
    "allOf": [
        {"if": {"not": {"required": ["content"]}}, "then": {"required": ["schema"]}},
        *(
            {
                "if": {"properties": {"in": {"const": place}}},
                "then": {
                    "properties": {
                        "style": {"enum": styles},
                        **({"required": {"const": True}} if place == "path" else {}),
                    },
                    "required": ["required"] if place == "path" else [],
                },
            }
            for place, styles in _STYLES.items()
        ),
    ],
}
_OPERATION: dict[str, Any] = _object(
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
_FLOW = _object("scopes", refreshUrl=_TEXT, scopes=_map(_TEXT), authorizationUrl=_TEXT, tokenUrl=_TEXT)
_SCHEME: dict[str, Any] = {
    **_object(
        "type",
        type_={"enum": ["apiKey", "http", "oauth2", "openIdConnect", "mutualTLS"]},
        description=_TEXT,
        name=_TEXT,
        in_={"enum": ["query", "header", "cookie"]},
        scheme=_TEXT,
        bearerFormat=_TEXT,
        flows=_object(**dict.fromkeys(("implicit", "password", "clientCredentials", "authorizationCode"), _FLOW)),
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
_OPENAPI_3: dict[str, Any] = {
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
            **dict.fromkeys(_METHODS_30, _OPERATION),
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


@cache
def _openapi_32() -> dict[str, Any]:
    """Return the grammar of OpenAPI 3.2: that of 3.1, and what came with it."""
    parts: dict[str, Any] = _OPENAPI_3["$defs"]
    encodings = {"prefixEncoding": _list(_ANY), "itemEncoding": _ANY}
    media = _with(parts["mediaType"], itemSchema=_SCHEMA, **encodings)
    media["properties"]["encoding"] = _map(_with(media["properties"]["encoding"]["additionalProperties"], **encodings))
    flow = {**_FLOW, "properties": {**_FLOW["properties"], "deviceAuthorizationUrl": _TEXT}}
    scheme = _with(_SCHEME, deprecated=_FLAG, oauth2MetadataUrl=_TEXT)
    scheme["properties"]["flows"] = _with(scheme["properties"]["flows"], deviceAuthorization=flow)
    methods = {"type": "object", "propertyNames": {"not": {"enum": [method.upper() for method in METHODS]}}}
    methods |= _map(_OPERATION, "^[A-Z0-9!#$%&'*+.^_`|~-]+$")
    parameter = _with(_PARAMETER, **{"in": {"enum": [*_STYLES, "querystring"]}})
    parameter["allOf"] = [
        *parameter["allOf"],
        {"if": {"properties": {"in": {"const": "querystring"}}}, "then": {"required": ["content"]}},
    ]
    grammar = _with(_OPENAPI_3, **{"$self": _TEXT})
    components = grammar["properties"]["components"]
    grammar["properties"]["components"] = _with(components, mediaTypes=_map(_part("mediaType")))
    grammar["$defs"] = {
        **parts,
        "pathItem": _with(parts["pathItem"], query=_OPERATION, additionalOperations=methods),
        "parameter": parameter,
        "mediaType": media,
        "response": {**parts["response"], "required": []},
        "example": _with(parts["example"], dataValue=_ANY, serializedValue=_TEXT),
        "scheme": scheme,
    }
    return grammar


def _with(grammar: Mapping[str, Any], **properties: Any) -> dict[str, Any]:
    return {**grammar, "properties": {**grammar["properties"], **properties}}


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
            **dict.fromkeys((method for method in _METHODS_30 if method != "trace"), _OPERATION_2),
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
    """Record what is unknown, missing or of the wrong type."""
    with extra("api"):
        from jsonschema_rs import Draft202012Validator

    from carboy.api.validators import explain

    grammar = _SWAGGER_2 if "swagger" in content else _OPENAPI_3
    if content.get("openapi", "").startswith("3.2."):
        grammar = _openapi_32()
    for error in Draft202012Validator(grammar, mask="this").iter_errors(content):
        for pointer, detail in explain(error):
            faults.add(pointer, detail)
