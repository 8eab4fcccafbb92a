"""Fleece's `testing`: contexts and events of the old integration."""

import copy
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from carboy.fleece.events import format_event

__all__ = ["LambdaContext", "LambdaEvent", "LambdaRequestGenerator", "dict_update"]

_HEADER = {
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
    "Host": "api.execute-api.us-east-1.amazonaws.com",
    "User-Agent": "python-requests/2.32",
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Port": "443",
    "X-Forwarded-Proto": "https",
    "x-auth-token": "a-token",
}
_REQUESTOR = {
    "account-id": "",
    "api-key": "",
    "caller": "",
    "source-ip": "127.0.0.1",
    "user": "",
    "user-agent": "python-requests/2.32",
    "user-arn": "",
}
_PARTS = ("body", "gateway", "header", "path", "querystring", "requestor")
_GATEWAY = {"http-method": "GET", "resource-path": "/some/path/", "stage": "test_stage", "stage-data": {}}


def dict_update(base: Mapping[str, Any], merge: bool, kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return `kwargs`, merged into a copy of `base` if asked."""
    return {**copy.deepcopy(dict(base)), **(kwargs or {})} if merge else dict(kwargs or {})


class LambdaContext:
    """What Lambda says of a call."""

    def __init__(
        self,
        function_name: str = "test_function",
        function_version: int = 1,
        remaining_time_in_milli: int = 9999,
        memory_limit_in_mb: int = 256,
        region: str = "us-east-1",
        account_id: str = "999999999999",
        stage: str = "test_stage",
        aws_request_id: str | None = None,
        client_context: Any = None,
    ) -> None:
        self.function_name: str = function_name
        self.function_version: int = function_version
        self.memory_limit_in_mb = memory_limit_in_mb
        self.aws_request_id: str = aws_request_id or str(uuid.uuid4())
        self.client_context: Any = {} if client_context is None else client_context
        self.invoked_function_arn: str = f"arn:aws:lambda:{region}:{account_id}:function:{function_name}:{stage}"
        self.log_group_name: str = f"/aws/lambda/{function_name}"
        self.log_stream_name: str = f"{datetime.now(UTC):%Y/%m/%d}/[{function_version}]/{uuid.uuid4().hex}"
        self._remaining_time_in_milli = remaining_time_in_milli

    def get_remaining_time_in_millis(self) -> int:
        """Return what was given."""
        return self._remaining_time_in_milli


class LambdaEvent:
    """Makes events; what is given here is the default of `generate`."""

    def __init__(
        self,
        body: Any = None,
        gateway: Mapping[str, Any] | None = None,
        header: Mapping[str, str] | None = None,
        operation: str | None = None,
        path: Mapping[str, Any] | None = None,
        querystring: Mapping[str, Any] | None = None,
        requestor: Mapping[str, Any] | None = None,
    ) -> None:
        self.operation: str = operation or "test:operation"
        self.body: Any = body or {}
        self.gateway: Mapping[str, Any] = gateway or {**_GATEWAY, "request-id": str(uuid.uuid4())}
        self.header: Mapping[str, str] = header or _HEADER
        self.path: Mapping[str, Any] = path or {}
        self.querystring: Mapping[str, Any] = querystring or {}
        self.requestor: Mapping[str, Any] = requestor or _REQUESTOR

    def generate(self, merge_with_default: bool = True, **given: Any) -> dict[str, Any]:
        """Return an event; each part that is given is merged into the default one, or takes its place."""
        parts = {name: dict_update(getattr(self, name), merge_with_default, given.get(name)) for name in _PARTS}
        event = {
            "operation": given.get("operation") or self.operation,
            "parameters": {
                "requestor": parts["requestor"],
                "request": {name: parts[name] for name in ("body", "path", "querystring", "header")},
                "gateway": parts["gateway"],
            },
        }
        return copy.deepcopy(event)


class LambdaRequestGenerator:
    """Makes what `format_event` gives, of an event and a context."""

    def __init__(self, event: LambdaEvent | None = None, context: LambdaContext | None = None) -> None:
        self.event: LambdaEvent = event or LambdaEvent()
        self.context: LambdaContext = context or LambdaContext()

    def generate_request(self, **given: Any) -> dict[str, Any]:
        """Return a request; the arguments are those of `LambdaEvent.generate`."""
        return format_event(self.event.generate(**given), self.context)
