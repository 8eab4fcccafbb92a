"""Trace calls to AWS by botocore's own events; nothing of botocore is patched."""

import sys
from typing import Any

from carboy.extras import extra
from carboy.trace.current import begin_span, outgoing_headers
from carboy.trace.headers import XRAY

_KEY = "carboy_span"
_THROTTLES = ("Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown", "ProvisionedThroughputExceeded", "BandwidthLimitExceeded")  # fmt: skip  # noqa: E501
_known: list[Any] = []


def instrument_boto3(*sessions: Any) -> None:
    """Give every call to AWS a span: of sessions that are made from now on, and of boto3's default session.

    Args:
        sessions: of boto3 or botocore, that are there already; their future clients are followed. A client is taken
            as well.
    """
    with extra("aws"):
        import botocore
    if _register not in _known:
        _known.append(_register)
        botocore.register_initializer(_register)
    default = getattr(sys.modules.get("boto3"), "DEFAULT_SESSION", None)
    for session in (*sessions, *([default] if default is not None else [])):
        _register(session)


def _register(session: Any) -> None:
    """Listen to a session (a client, by its `meta`)."""
    events = getattr(session, "events", None) or getattr(getattr(session, "meta", None), "events", None)
    listener = events or session
    for event, handle in _HANDLERS.items():
        listener.register(event, handle, unique_id=f"carboy-trace-{event}")


def _on_parameters(params: Any, context: dict[str, Any] | None = None, **_: Any) -> None:
    """Record the table or queue in the caller's parameters."""
    if isinstance(params, dict) and isinstance(context, dict):
        names = {"TableName": "table_name", "QueueUrl": "queue_url"}
        context["carboy_aws"] = {ours: str(params[name]) for name, ours in names.items() if name in params}


def _on_call(model: Any, params: Any, context: dict[str, Any], **_: Any) -> None:
    service = model.service_model
    span = begin_span(str(service.metadata.get("serviceId") or service.service_name), "aws")
    if span is not None:
        region = context.get("client_region") or getattr(context.get("client_config"), "region_name", None)
        span.add(aws={"operation": model.name, "region": region or "", **context.get("carboy_aws", {})})
        context[_KEY] = span
        headers = params.get("headers")
        if headers is not None:
            token = span.enter()
            headers[XRAY] = outgoing_headers()[XRAY]
            span.leave(token)


def _on_response(http_response: Any, parsed: Any, context: dict[str, Any], **_: Any) -> None:
    span = context.pop(_KEY, None)
    if span is None:
        return
    metadata = parsed.get("ResponseMetadata", {}) if isinstance(parsed, dict) else {}
    more = {"request_id": metadata.get("RequestId"), "retries": metadata.get("RetryAttempts")}
    span.add(aws={**span.facts["aws"], **{name: value for name, value in more.items() if value}})
    span.add_response(http_response.status_code)
    code = parsed.get("Error", {}).get("Code", "") if http_response.status_code >= 300 else ""
    if code:
        if str(code).startswith(_THROTTLES):
            span.add(error=True, throttle=True)
        message = str(parsed["Error"].get("Message", ""))
        span.add(cause=_refusal(str(code), message, span.id))
    span.end()


def _on_failure(exception: Exception, context: dict[str, Any], **_: Any) -> None:
    span = context.pop(_KEY, None)
    if span is not None:
        span.fail(exception)
        span.end()


def _refusal(code: str, message: str, exception_id: str) -> dict[str, Any]:
    from carboy.redact import mask_text

    described = {"id": exception_id, "type": code, "message": mask_text(message)[:1000], "remote": True, "stack": []}
    return {"working_directory": "", "exceptions": [described]}


_HANDLERS = {
    "before-parameter-build": _on_parameters,
    "before-call": _on_call,
    "after-call": _on_response,
    "after-call-error": _on_failure,
}
