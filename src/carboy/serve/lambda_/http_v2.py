"""The environ of an HTTP API's event in payload format 2.0, and of a function URL's.

The two look alike; the domain name distinguishes them. A function URL sends the path encoded. An HTTP API has
decoded it, and a stage other than `$default` is its first segment.

Source: Amazon API Gateway Developer Guide, "Working with AWS Lambda proxy integrations for HTTP APIs"; AWS Lambda
Developer Guide, "Invoking Lambda function URLs".
"""

from collections.abc import Mapping
from typing import Any

from carboy.serve.lambda_.mount_paths import (
    decode_path,
    is_plain,
    native,
    native_path,
    raw_path,
    route_prefix,
    split_stage,
)
from carboy.serve.lambda_.wsgi_environ import Environ, make_environ


def read_request(event: Mapping[str, Any], context: Any) -> Environ:
    """Return the environ of an event in payload format 2.0."""
    request = event["requestContext"]
    http = request["http"]
    path = event.get("rawPath") or http.get("path") or "/"
    domain = request.get("domainName") or ""
    query = event.get("rawQueryString") or ""
    if not query.isascii():
        query = native(query)
    if ".lambda-url." in domain:
        script, rest, sent = "", decode_path(path), path
    elif request.get("stage") == "$default" and ".execute-api." in domain and is_plain(path):
        script, rest, sent = "", path, path
    else:
        script, rest, sent = _http_api(event, request, path, domain)
    environ = make_environ(event, context, http["method"], script, rest, query, sent, domain)
    environ["SERVER_PROTOCOL"] = http.get("protocol") or "HTTP/1.1"
    cookies = event.get("cookies")
    if cookies:
        joined = "; ".join(cookies)
        environ["HTTP_COOKIE"] = joined if joined.isascii() else native(joined)
    address = http.get("sourceIp")
    if address:
        environ["REMOTE_ADDR"] = address
    return environ


def _http_api(event: Mapping[str, Any], request: Mapping[str, Any], path: str, domain: str) -> tuple[str, str, str]:
    stage = request.get("stage") or "$default"
    prefix, rest = split_stage(path, stage) if stage != "$default" else ("", path)
    if not prefix and domain and ".execute-api." not in domain:
        route = (event.get("routeKey") or "").rpartition(" ")[2]
        prefix = route_prefix(path, route, event.get("pathParameters") or {})
        rest = path[len(prefix) :] or "/"
    return native_path(prefix), native_path(rest), raw_path(path)
