"""Events in the form that AWS documents them, for trying a handler without AWS.

A request is given as a client would send it (path and query encoded, headers as a list), and each builder does to it
what its platform does: decodes, groups, drops the stage, encodes the body. What is the same in every event of a kind is
in `sample_events.json`.

Source: API Gateway, Elastic Load Balancing, Lambda, SQS, SNS and EventBridge developer guides.
"""

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

Event = dict[str, Any]
Pairs = Sequence[tuple[str, str]]

_ACCOUNT = "123456789012"
_REGION = "eu-central-1"
_API = "a1b2c3d4e5"
_SOURCE_IP = "203.0.113.7"
_TRACE = "Root=1-67891233-abcdef012345678912345678"


def rest_v1(
    method: str = "GET",
    url: str = "/",
    *,
    headers: Pairs = (),
    body: bytes | None = None,
    stage: str = "prod",
    domain: str = "",
    base_path: str = "",
    source_ip: str = _SOURCE_IP,
    binary: bool = False,
) -> Event:
    """Return a REST API's proxy event.

    Args:
        method: of the request.
        url: path and query as the client sends them, after the stage or the base path.
        headers: in the client's order and spelling, without those that the platform adds.
        body: None for a request without one.
        stage: the API's stage.
        domain: a custom domain; else the API's own, whose paths begin with the stage.
        base_path: where the custom domain mounts the API, such as `/orders`.
        source_ip: the address that the platform saw.
        binary: whether the body's type is one of the API's binary media types.
    """
    path, query = _split(url)
    host = domain or f"{_API}.execute-api.{_REGION}.amazonaws.com"
    lists = _lists([*headers, *_platform_headers(host, source_ip, headers)])
    decoded = _lists(parse_qsl(query, keep_blank_values=True))
    seen = base_path + path if domain else path
    route = "/{proxy+}" if path != "/" else "/"
    event = _sample("rest-v1")
    event.update(
        resource=route,
        path=seen,
        httpMethod=method,
        headers={name: values[-1] for name, values in lists.items()},
        multiValueHeaders=lists,
        queryStringParameters={name: values[-1] for name, values in decoded.items()} or None,
        multiValueQueryStringParameters=decoded or None,
        pathParameters={"proxy": unquote(path[1:])} if path != "/" else None,
        **_body(body, is_binary=binary),
    )
    whole = seen if domain else f"/{stage}{path}"
    context = event["requestContext"]
    context.update(_host(host), httpMethod=method, path=whole, resourcePath=route, stage=stage)
    context["identity"]["sourceIp"] = source_ip
    return event


def http_v1(method: str = "GET", url: str = "/", *, stage: str = "$default", **request: Any) -> Event:
    """Return an HTTP API's event in payload format 1.0: a REST API's, with the path decoded and with its stage."""
    event = rest_v1(method, url, stage=stage, **request)
    path = unquote(_split(url)[0])
    whole = path if stage == "$default" else f"/{stage}{path}"
    event.update(version="1.0", path=whole, resource="$default", pathParameters=None)
    event["requestContext"].update(path=whole, resourcePath="$default")
    return event


def http_v2(
    method: str = "GET",
    url: str = "/",
    *,
    headers: Pairs = (),
    body: bytes | None = None,
    stage: str = "$default",
    domain: str = "",
    base_path: str = "",
    source_ip: str = _SOURCE_IP,
    binary: bool | None = None,
) -> Event:
    """Return an HTTP API's event in payload format 2.0; the arguments are those of `rest_v1`.

    A custom domain's base path is nowhere in it, as AWS documents of `rawPath`; it only brings a route of its own.
    """
    path, query = _split(url)
    host = domain or f"{_API}.execute-api.{_REGION}.amazonaws.com"
    decoded = unquote(path)
    whole = decoded if domain or stage == "$default" else f"/{stage}{decoded}"
    route = "$default" if not base_path else "ANY /{proxy+}"
    event = _v2(method, whole, query, host, route, stage, headers, source_ip)
    if base_path:
        event["pathParameters"] = {"proxy": decoded[1:]}
    return {**event, **_body(body, is_binary=_is_binary(body) if binary is None else binary)}


def function_url(
    method: str = "GET",
    url: str = "/",
    *,
    headers: Pairs = (),
    body: bytes | None = None,
    source_ip: str = _SOURCE_IP,
    binary: bool | None = None,
) -> Event:
    """Return a function URL's event; the arguments are those of `rest_v1`."""
    path, query = _split(url)
    host = f"abcdefghijklmnopqrstuvwxyz012345.lambda-url.{_REGION}.on.aws"
    event = _v2(method, path, query, host, "$default", "$default", headers, source_ip)
    return {**event, **_body(body, is_binary=_is_binary(body) if binary is None else binary)}


def alb(
    method: str = "GET",
    url: str = "/",
    *,
    headers: Pairs = (),
    body: bytes | None = None,
    multi_value: bool = False,
    source_ip: str = _SOURCE_IP,
    scheme: str = "https",
    host: str = "lambda-alb-1234567890.eu-central-1.elb.amazonaws.com",
) -> Event:
    """Return a load balancer's event, with one value for each name or, `multi_value`, with lists."""
    path, query = _split(url)
    given = dict(headers)
    before = given.get("X-Forwarded-For")
    sent = [(name.lower(), value) for name, value in headers if name != "X-Forwarded-For"]
    sent += [
        ("host", host),
        ("x-amzn-trace-id", _TRACE),
        ("x-forwarded-for", f"{before}, {source_ip}" if before else source_ip),
        ("x-forwarded-port", "443" if scheme == "https" else "80"),
        ("x-forwarded-proto", scheme),
    ]
    names = _lists(sent)
    raw = _lists([(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&") if pair)])
    event = _sample("alb")
    event.update(httpMethod=method, path=path)
    if multi_value:
        event.update(multiValueQueryStringParameters=raw, multiValueHeaders=names)
    else:
        event.update(
            queryStringParameters={name: values[-1] for name, values in raw.items()},
            headers={name: values[-1] for name, values in names.items()},
        )
    coded = _body(body, is_binary=_is_binary(body))
    return {**event, **coded, "body": coded["body"] or ""}


def sqs(*bodies: str, queue: str = "jobs", group: str = "") -> Event:
    """Return an SQS event with a record for each body; a FIFO queue's when `queue` ends in `.fifo`."""
    records = []
    for number, body in enumerate(bodies, 1):
        record = _sample("sqs-record")
        record.update(
            messageId=f"059f36b4-87a3-44ab-83d2-{number:012d}",
            receiptHandle=f"AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a{number}",
            body=body,
            md5OfBody=hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
            eventSourceARN=f"arn:aws:sqs:{_REGION}:{_ACCOUNT}:{queue}",
        )
        if queue.endswith(".fifo"):
            record["attributes"] |= {"MessageGroupId": group or "1", "SequenceNumber": "18849496460467696128"}
        records.append(record)
    return {"Records": records}


def sns(message: str = "Hello from SNS!", *, topic: str = "alerts", subject: str | None = None) -> Event:
    """Return an SNS event."""
    arn = f"arn:aws:sns:{_REGION}:{_ACCOUNT}:{topic}"
    event = _sample("sns")
    event["Records"][0]["EventSubscriptionArn"] = f"{arn}:21be56ed-a058-49f5-8c98-aedd2564c486"
    event["Records"][0]["Sns"].update(Message=message, TopicArn=arn, Subject=subject)
    return event


def schedule(rule: str = "nightly") -> Event:
    """Return the event of an EventBridge rule's schedule."""
    event = eventbridge("Scheduled Event", "aws.events", {})
    event["resources"] = [f"arn:aws:events:{_REGION}:{_ACCOUNT}:rule/{rule}"]
    return event


def eventbridge(detail_type: str, source: str, detail: Mapping[str, Any]) -> Event:
    """Return an event of EventBridge's bus."""
    return _sample("eventbridge") | {"detail-type": detail_type, "source": source, "detail": dict(detail)}


def authorizer_token(credential: str = "Bearer allow", method: str = "GET", path: str = "/orders") -> Event:
    """Return a REST API's authorizer event of the type TOKEN."""
    return {"type": "TOKEN", "authorizationToken": credential, "methodArn": _method_arn("prod", method, path)}


def authorizer_request(method: str = "GET", url: str = "/orders", *, headers: Pairs = ()) -> Event:
    """Return a REST API's authorizer event of the type REQUEST."""
    event = rest_v1(method, url, headers=headers)
    del event["body"], event["isBase64Encoded"]
    return {"type": "REQUEST", "methodArn": _method_arn("prod", method, _split(url)[0]), **event}


def authorizer_v2(method: str = "GET", url: str = "/orders", *, headers: Pairs = ()) -> Event:
    """Return an HTTP API's authorizer event in payload format 2.0."""
    event = http_v2(method, url, headers=headers)
    del event["isBase64Encoded"]
    event.pop("body", None)
    arn = _method_arn("$default", method, _split(url)[0])
    return {**event, "type": "REQUEST", "routeArn": arn, "identitySource": [dict(headers).get("authorization", "")]}


def _v2(method: str, path: str, query: str, host: str, route: str, stage: str, headers: Pairs, source_ip: str) -> Event:
    given = _lists([(name.lower(), value) for name, value in headers])
    cookies = [part for value in given.pop("cookie", []) for part in value.split("; ")]
    given |= _lists([(name.lower(), value) for name, value in _platform_headers(host, source_ip, headers)])
    decoded = _lists(parse_qsl(query, keep_blank_values=True))
    event = _sample("http-v2")
    headers_once = {name: ",".join(values) for name, values in given.items()}
    event.update(routeKey=route, rawPath=path, rawQueryString=query, headers=headers_once)
    event["requestContext"].update(_host(host), apiId=host.partition(".")[0], routeKey=route, stage=stage)
    event["requestContext"]["http"].update(method=method, path=path, sourceIp=source_ip)
    if cookies:
        event["cookies"] = cookies
    if decoded:
        event["queryStringParameters"] = {name: ",".join(values) for name, values in decoded.items()}
    return event


@cache
def _samples() -> str:
    return Path(__file__).with_suffix(".json").read_text("utf-8")


def _sample(kind: str) -> Event:
    """Return an event of its own to fill in."""
    event: Event = json.loads(_samples())[kind]
    return event


def _host(name: str) -> Event:
    return {"domainName": name, "domainPrefix": name.partition(".")[0]}


def _platform_headers(host: str, source_ip: str, headers: Pairs) -> list[tuple[str, str]]:
    before = next((value for name, value in headers if name.lower() == "x-forwarded-for"), "")
    added = [("X-Forwarded-Port", "443"), ("X-Forwarded-Proto", "https"), ("X-Amzn-Trace-Id", _TRACE)]
    if not before:
        added.append(("X-Forwarded-For", source_ip))
    if not any(name.lower() == "host" for name, _ in headers):
        added.append(("Host", host))
    return added


def _body(body: bytes | None, *, is_binary: bool) -> Event:
    if body is None:
        return {"body": None, "isBase64Encoded": False}
    return {"body": b64encode(body).decode() if is_binary else body.decode(), "isBase64Encoded": is_binary}


def _is_binary(body: bytes | None) -> bool:
    try:
        (body or b"").decode()
    except UnicodeDecodeError:
        return True
    return False


def _split(url: str) -> tuple[str, str]:
    path, _, query = url.partition("?")
    return path, query


def _lists(pairs: Pairs) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _method_arn(stage: str, method: str, path: str) -> str:
    return f"arn:aws:execute-api:{_REGION}:{_ACCOUNT}:{_API}/{stage}/{method}{path}"
