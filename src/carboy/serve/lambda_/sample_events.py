"""Events in the form that AWS documents them, for trying a handler without AWS.

A request is given as a client would send it (path and query encoded, headers as a list), and each builder does to it
what its platform does: decodes, groups, drops the stage, encodes the body.

Source: API Gateway, Elastic Load Balancing, Lambda, SQS, SNS and EventBridge developer guides.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote

Event = dict[str, Any]
Pairs = Sequence[tuple[str, str]]

_ACCOUNT = "123456789012"
_REGION = "eu-central-1"
_API = "a1b2c3d4e5"
_SOURCE_IP = "203.0.113.7"
_REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
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
    return {
        "resource": "/{proxy+}" if path != "/" else "/",
        "path": seen,
        "httpMethod": method,
        "headers": {name: values[-1] for name, values in lists.items()},
        "multiValueHeaders": lists,
        "queryStringParameters": {name: values[-1] for name, values in decoded.items()} or None,
        "multiValueQueryStringParameters": decoded or None,
        "pathParameters": {"proxy": unquote(path[1:])} if path != "/" else None,
        "stageVariables": None,
        "requestContext": {
            "accountId": _ACCOUNT,
            "apiId": _API,
            "domainName": host,
            "domainPrefix": host.partition(".")[0],
            "extendedRequestId": "request-id",
            "httpMethod": method,
            "identity": {"sourceIp": source_ip, "userAgent": "curl/8.5.0", "user": None},
            "path": seen if domain else f"/{stage}{path}",
            "protocol": "HTTP/1.1",
            "requestId": _REQUEST_ID,
            "requestTime": "04/Mar/2026:19:15:17 +0000",
            "requestTimeEpoch": 1772651717000,
            "resourceId": "123456",
            "resourcePath": "/{proxy+}" if path != "/" else "/",
            "stage": stage,
        },
        **_body(body, is_binary=binary),
    }


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
    event: Event = {
        "requestContext": {
            "elb": {
                "targetGroupArn": f"arn:aws:elasticloadbalancing:{_REGION}:{_ACCOUNT}:targetgroup/jobs/49e9d65c45c6791a"
            }
        },
        "httpMethod": method,
        "path": path,
    }
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
    attributes = {
        "ApproximateReceiveCount": "1",
        "SentTimestamp": "1545082649183",
        "SenderId": "AIDAIENQZJOLO23YVJ4VO",
        "ApproximateFirstReceiveTimestamp": "1545082649185",
    }
    if queue.endswith(".fifo"):
        attributes |= {"MessageGroupId": group or "1", "SequenceNumber": "18849496460467696128"}
    return {
        "Records": [
            {
                "messageId": f"059f36b4-87a3-44ab-83d2-{number:012d}",
                "receiptHandle": f"AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a{number}",
                "body": body,
                "attributes": dict(attributes),
                "messageAttributes": {},
                "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{_REGION}:{_ACCOUNT}:{queue}",
                "awsRegion": _REGION,
            }
            for number, body in enumerate(bodies, 1)
        ]
    }


def sns(message: str = "Hello from SNS!", *, topic: str = "alerts", subject: str | None = None) -> Event:
    """Return an SNS event."""
    arn = f"arn:aws:sns:{_REGION}:{_ACCOUNT}:{topic}"
    return {
        "Records": [
            {
                "EventVersion": "1.0",
                "EventSubscriptionArn": f"{arn}:21be56ed-a058-49f5-8c98-aedd2564c486",
                "EventSource": "aws:sns",
                "Sns": {
                    "SignatureVersion": "1",
                    "Timestamp": "2026-01-02T12:45:07.000Z",
                    "Signature": "EXAMPLE",
                    "SigningCertUrl": f"https://sns.{_REGION}.amazonaws.com/SimpleNotificationService-ac565b8b1.pem",
                    "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
                    "Message": message,
                    "MessageAttributes": {},
                    "Type": "Notification",
                    "UnsubscribeUrl": f"https://sns.{_REGION}.amazonaws.com/?Action=Unsubscribe",
                    "TopicArn": arn,
                    "Subject": subject,
                },
            }
        ]
    }


def schedule(rule: str = "nightly") -> Event:
    """Return the event of an EventBridge rule's schedule."""
    event = eventbridge("Scheduled Event", "aws.events", {})
    event["resources"] = [f"arn:aws:events:{_REGION}:{_ACCOUNT}:rule/{rule}"]
    return event


def eventbridge(detail_type: str, source: str, detail: Mapping[str, Any]) -> Event:
    """Return an event of EventBridge's bus."""
    return {
        "version": "0",
        "id": "cdc73f9d-aea9-11e3-9d5a-835b769c0d9c",
        "detail-type": detail_type,
        "source": source,
        "account": _ACCOUNT,
        "time": "2026-01-02T12:45:07Z",
        "region": _REGION,
        "resources": [],
        "detail": dict(detail),
    }


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
    event: Event = {
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": query,
        "headers": {name: ",".join(values) for name, values in given.items()},
        "requestContext": {
            "accountId": _ACCOUNT,
            "apiId": host.partition(".")[0],
            "domainName": host,
            "domainPrefix": host.partition(".")[0],
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": source_ip,
                "userAgent": "curl/8.5.0",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": route,
            "stage": stage,
            "time": "12/Mar/2026:19:03:58 +0000",
            "timeEpoch": 1773342238000,
        },
    }
    if cookies:
        event["cookies"] = cookies
    if decoded:
        event["queryStringParameters"] = {name: ",".join(values) for name, values in decoded.items()}
    return event


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
