"""What the environs of all HTTP events have in common: the headers, the body, the host.

The rules are PEP 3333's and gunicorn's: strings hold one character for each byte, and a header whose name has an
underscore is left out, because it could pass for one that a proxy sets.

Every event pays for what is here, so what depends only on a header's name or on the host is worked out once and kept.
Clients choose both, so the caches have an end.
"""

import sys
from base64 import b64decode
from collections.abc import Iterable, Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any

from carboy.serve.lambda_.mount_paths import native

Environ = dict[str, Any]

_MAX_CACHED = 1024
_keys: dict[str, str] = {}
_SAME: Environ = {  # copied for each event: faster than a new dict, and with room for the headers
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "RAW_URI": "/",
    "REQUEST_URI": "/",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_SOFTWARE": "carboy-lambda",
    "SERVER_NAME": "",
    "SERVER_PORT": "",
    "REMOTE_ADDR": "",  # servers always have one
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "https",
    "wsgi.input": None,
    "wsgi.input_terminated": True,
    "wsgi.errors": None,
    "wsgi.multithread": False,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
    "lambda.event": None,
    "lambda.context": None,
    "lambda.trace_id": "",
}


def make_environ(
    event: Mapping[str, Any],
    context: Any,
    method: str,
    script: str,
    path: str,
    query: str,
    sent_path: str,
    domain: str = "",
    scheme: str = "https",
) -> Environ:
    """Return a new environ: the headers of an event, the repeated ones joined, its body, its URL, the host, the rest.

    Args:
        event: of which the headers and the body are taken.
        context: Lambda's.
        method: as the client sent it.
        script: what the application is mounted at, as an environ has it.
        path: the path below that, as an environ has it.
        query: as an environ has it.
        sent_path: the whole path as the client sent it, still encoded.
        domain: the host when the request names none.
        scheme: `https` or `http`, when the platform does not say; empty to go by its port.
    """
    lists = event.get("multiValueHeaders")
    headers = lists or event.get("headers")
    environ = _environ_of(headers, is_listed=bool(lists)) if headers else _SAME.copy()
    get = environ.get
    environ["wsgi.url_scheme"], environ["SERVER_NAME"], environ["SERVER_PORT"] = _host(
        get("HTTP_HOST") or domain, get("HTTP_X_FORWARDED_PROTO") or scheme, get("HTTP_X_FORWARDED_PORT"), scheme
    )
    body = event.get("body")
    if body:
        data = b64decode(body) if event.get("isBase64Encoded") else body.encode("utf-8", "surrogatepass")
        environ["CONTENT_LENGTH"] = str(len(data))
        environ["wsgi.input"] = BytesIO(data)
    else:
        environ["CONTENT_LENGTH"] = "0"
        environ["wsgi.input"] = BytesIO()
    if query:
        environ["QUERY_STRING"] = query
        sent_path = f"{sent_path}?{query}"
    environ["RAW_URI"] = environ["REQUEST_URI"] = sent_path
    environ["REQUEST_METHOD"] = method
    environ["SCRIPT_NAME"] = script
    environ["PATH_INFO"] = path
    environ["wsgi.errors"] = sys.stderr
    environ["lambda.event"] = event
    environ["lambda.context"] = context
    return environ


def mount(environ: Environ, base_path: str) -> None:
    """Mount the application at a base path (empty: the root), whether the event's path still has it or not."""
    path = environ["PATH_INFO"]
    environ["SCRIPT_NAME"] = base_path
    if base_path and (path == base_path or path.startswith(base_path + "/")):
        environ["PATH_INFO"] = path[len(base_path) :] or "/"


def _environ_of(headers: Mapping[str, Any], *, is_listed: bool) -> Environ:
    """Return what is the same for all events, and the headers: the usual ones fast, else one by one."""
    environ = _SAME.copy()
    keys = _keys
    try:
        if is_listed:
            for name, [value] in headers.items():
                if not value.isascii():
                    break
                environ[keys[name]] = value
        else:
            for name, value in headers.items():
                if not value.isascii():
                    break
                environ[keys[name]] = value
    except (KeyError, ValueError, TypeError, AttributeError):  # a new name, a repeated header, an event made by hand
        pass
    if len(environ) == len(headers) + len(_SAME) and "" not in environ:
        return environ
    if is_listed:
        return _one_by_one((name, value) for name, many in headers.items() for value in many or ())
    return _one_by_one(headers.items())


def _one_by_one(headers: Iterable[tuple[str, Any]]) -> Environ:
    environ = _SAME.copy()
    for name, value in headers:
        key = _key(name)
        if not key or value is None:
            continue
        text = native(str(value))
        if key not in environ or key == "CONTENT_TYPE":
            environ[key] = text
        else:
            environ[key] += ("; " if key == "HTTP_COOKIE" else ", ") + text
    return environ


def _key(name: str) -> str:
    """Return a header's key in the environ; empty when it is left out."""
    lowered = name.lower()
    if "_" in name or lowered == "transfer-encoding":  # the body is whole: its length is known
        key = ""
    elif lowered in {"content-type", "content-length"}:
        key = lowered.upper().replace("-", "_")
    else:
        key = "HTTP_" + native(name).upper().replace("-", "_")
    if len(_keys) < _MAX_CACHED:
        _keys[name] = key
    return key


@lru_cache(_MAX_CACHED)
def _host(host: str, protocol: str, forwarded_port: str | None, scheme: str) -> tuple[str, str, str]:
    """Return scheme, server name and port: from the platform's own headers, else from what it says of itself."""
    last = protocol.rpartition(",")[2].strip().lower()  # the platform appends: what a client sent comes first
    if last in {"http", "https"}:
        scheme = last
    elif not scheme:
        scheme = "https" if forwarded_port == "443" else "http"
    name, _, port = host.rpartition(":")
    if not name or not port.isdigit():
        name, port = host, (forwarded_port or "").rpartition(",")[2].strip()
    return scheme, name or "localhost", port if port.isdigit() else ("443" if scheme == "https" else "80")
