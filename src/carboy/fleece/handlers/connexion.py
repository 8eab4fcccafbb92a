"""Fleece's `handlers.connexion`: answer gateway events by an OpenAPI document, over `carboy.api`; without Connexion."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flask import Flask

from carboy.api import blueprint
from carboy.fleece.handlers.wsgi import build_wsgi_environ_from_event, complete
from carboy.fleece.httperror import HTTPError
from carboy.logs import BoundLogger, get_logger
from carboy.serve import lambda_handler

__all__ = [
    "RESPONSE_CONTRACT_VIOLATION",
    "FleeceApp",
    "build_wsgi_environ_from_event",
    "call_api",
    "call_proxy_api",
    "get_connexion_app",
]

RESPONSE_CONTRACT_VIOLATION = "Response body does not conform to specification"

_PARAMETER = re.compile(r"\{(\w+)\+?\}")


class FleeceApp(Flask):
    """A Flask application that serves one OpenAPI document and answers gateway events."""

    def __init__(self, app_name: str, document: Path, strict_validation: bool, validate_responses: bool) -> None:
        """Make it; every fault of the document stops it here."""
        super().__init__(app_name, root_path=str(document.parent), static_folder=None)
        self.log: BoundLogger = get_logger(app_name)
        self.register_blueprint(
            blueprint(
                document,
                strict_validation=strict_validation,
                validate_responses=validate_responses,
                invalid_status=400,
            )
        )
        self._handle = lambda_handler(self)

    def run(  # type: ignore[override]
        self, port: Any = None, server: Any = None, debug: bool | None = None, host: str | None = None, **options: Any
    ) -> None:
        """Run it for a person who develops it, on 127.0.0.1; the arguments are in Connexion's order.

        Args:
            port: a number; Flask's order, with the host first, is understood too.
            server: not used.
            debug: as Flask has it.
            host: 127.0.0.1 by default, where Connexion listened to every address.
            options: as Flask takes them.
        """
        if isinstance(port, str) and not port.isdigit():
            host, port = port, server
        super().run(host, None if port is None else int(port), debug=debug, **options)

    def call_api(self, event: Mapping[str, Any]) -> Any:
        """Return what the API answers an event of the old integration, decoded from JSON; None for no body.

        Raises:
            HTTPError: it answered 400 or more; what it says of a 4xx is the message.
        """
        answer = self._handle(_to_proxy_event(event), None)
        status, body = answer["statusCode"], _decoded(answer["body"])
        if status < 400 and body is not _NO_JSON:
            return body
        self.log.error("Raising error", http_status=status, response=None if body is _NO_JSON else body)
        if 400 <= status < 500:
            raise HTTPError(status, _message(body))
        raise HTTPError(max(status, 500))

    def call_proxy_api(self, event: dict[str, Any]) -> Any:
        """Return what the API answers a gateway's event, in the form that the gateway wants."""
        return self._handle(complete(event), None)


def get_connexion_app(
    app_name: str,
    app_swagger_path: str,
    strict_validation: bool = True,
    validate_responses: bool = True,
    cache_app: bool = True,
    logger: Any = None,
) -> FleeceApp:
    """Return the application that serves a document; one for each set of arguments, unless it is not to be kept."""
    make = _kept_app if cache_app else FleeceApp
    app = make(app_name, Path(app_swagger_path).absolute(), strict_validation, validate_responses)
    if logger is not None:
        app.log = logger
    return app


def call_api(
    event: Mapping[str, Any],
    app_name: str,
    app_swagger_path: str,
    logger: Any,
    strict_validation: bool = True,
    validate_responses: bool = True,
    cache_app: bool = True,
) -> Any:
    """Return what a document's API answers an event of the old integration; see `FleeceApp.call_api`."""
    app = get_connexion_app(app_name, app_swagger_path, strict_validation, validate_responses, cache_app, logger)
    return app.call_api(event)


def call_proxy_api(
    event: dict[str, Any],
    app_name: str,
    app_swagger_path: str,
    logger: Any,
    strict_validation: bool = True,
    validate_responses: bool = True,
    cache_app: bool = True,
) -> Any:
    """Return what a document's API answers a gateway's event, in the form that the gateway wants."""
    app = get_connexion_app(app_name, app_swagger_path, strict_validation, validate_responses, cache_app, logger)
    return app.call_proxy_api(event)


_kept_app = cache(FleeceApp)
_NO_JSON = object()


def _to_proxy_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event of the old integration as the proxy integration would have sent it."""
    gateway, request = event["parameters"]["gateway"], event["parameters"]["request"]
    raw = event.get("rawContext", {})
    method = raw.get("httpMethod") or gateway["http-method"]
    arguments = request.get("path", {})
    headers = dict(request.get("header") or {})
    body = json.dumps(request.get("body")) if method in {"POST", "PUT", "PATCH"} else None
    if body is not None and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    given = request.get("querystring") or {}
    query: dict[str, list[str]] = {}
    for name, value in given.items() if isinstance(given, Mapping) else given:
        query.setdefault(name, []).append(str(value))
    return {
        "httpMethod": method,
        "path": _PARAMETER.sub(lambda match: quote(str(arguments[match[1]]), safe="/"), gateway["resource-path"]),
        "headers": headers,
        "multiValueQueryStringParameters": query,
        "requestContext": {"identity": raw.get("identity", {}), "requestId": gateway.get("request-id")},
        "body": body,
        "isBase64Encoded": False,
    }


def _decoded(body: str) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return _NO_JSON


def _message(body: Any) -> str:
    if isinstance(body, dict):
        error = body.get("error")
        if isinstance(error, dict) and "message" in error:
            return str(error["message"])
        if "detail" in body:
            faults = [f"{fault['pointer']} {fault['detail']}" for fault in body.get("errors", ())]
            return "; ".join([str(body["detail"]), *faults])
    return "Client Error"
