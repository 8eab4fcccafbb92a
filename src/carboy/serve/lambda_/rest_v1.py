"""The environ of a REST API's event, and of an HTTP API's in payload format 1.0.

A REST API sends the path encoded, without its stage; an HTTP API sends it decoded, with its stage. Both send the query
decoded.

Source: Amazon API Gateway Developer Guide, "Input format of a Lambda function for proxy integration" and "Working with
AWS Lambda proxy integrations for HTTP APIs".
"""

from collections.abc import Mapping
from typing import Any

from carboy.serve.lambda_.mount_paths import decode_path, encode_query, native_path, raw_path, route_prefix, split_stage
from carboy.serve.lambda_.wsgi_environ import Environ, make_environ


def read_request(event: Mapping[str, Any], context: Any) -> Environ:
    """Return the environ of an event whose shape is the proxy integration's, format 1.0."""
    request = event.get("requestContext") or {}
    path = event["path"] or "/"
    many = event.get("multiValueQueryStringParameters")
    if many:
        query = encode_query(many)
    else:
        one = event.get("queryStringParameters")
        query = encode_query({name: [value] for name, value in one.items()}) if one else ""

    if event.get("version") == "1.0":
        script, rest, sent = _http_api(event, request, path)
    else:
        script, rest, sent = _rest_api(event, request, path)
    domain = request.get("domainName") or ""
    environ = make_environ(event, context, event["httpMethod"], script, rest, query, sent, domain)
    environ["SERVER_PROTOCOL"] = request.get("protocol") or "HTTP/1.1"
    identity = request.get("identity")
    if identity and identity.get("sourceIp"):
        environ["REMOTE_ADDR"] = identity["sourceIp"]
    return environ


def _rest_api(event: Mapping[str, Any], request: Mapping[str, Any], path: str) -> tuple[str, str, str]:
    whole = request.get("path")
    if whole is None:
        stage = request.get("stage") or "$default"
        outside = stage != "$default" and ".execute-api." in (request.get("domainName") or "")
        whole = f"/{stage}{path}" if outside else path
    if whole != path:
        prefix = _before(whole, path)
        return decode_path(prefix), decode_path(path), whole if prefix else path
    route = event.get("resource")
    if route and route != path:
        prefix = route_prefix(path, route, event.get("pathParameters") or {})
        if prefix:
            return decode_path(prefix), decode_path(path[len(prefix) :] or "/"), path
    return "", decode_path(path), path


def _http_api(event: Mapping[str, Any], request: Mapping[str, Any], path: str) -> tuple[str, str, str]:
    whole = request.get("path") or path
    prefix, rest = _before(whole, path), path
    if not prefix:
        whole = path
        prefix, rest = split_stage(path, request.get("stage") or "")
    if not prefix:
        prefix = route_prefix(path, event.get("resource") or "", event.get("pathParameters") or {})
        rest = path[len(prefix) :] or "/"
    return native_path(prefix), native_path(rest), raw_path(whole)


def _before(whole: str, path: str) -> str:
    """Return what the whole path has before the path: the stage of a default domain."""
    if len(whole) > len(path) and whole.endswith(path):
        return whole[: len(whole) - len(path)]
    return whole.rstrip("/") if path == "/" and whole != path else ""
