"""What the environs of all HTTP events have in common: the dict, the body, the headers, the host.

The rules are PEP 3333's and gunicorn's: strings hold one character for each byte, and a header whose name has an
underscore is left out, because it could pass for one that a proxy sets.
"""

import sys
from base64 import b64decode
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from carboy.serve.lambda_.paths import native

__all__ = ["Environ", "add_header_lists", "add_headers", "add_host", "body_bytes", "make_environ", "mount"]

Environ = dict[str, Any]

_MAX_CACHED_NAMES = 1024  # clients choose header names: the cache must not grow for ever
_LEFT_OUT = ""
_KEYS = {"Content-Length": _LEFT_OUT, "Transfer-Encoding": _LEFT_OUT}  # the body is whole here: its length is known


def body_bytes(event: Mapping[str, Any]) -> bytes:
    """Return the bytes of an event's body; empty when it has none."""
    body = event.get("body")
    if not body:
        return b""
    if event.get("isBase64Encoded"):
        return b64decode(body)
    return body.encode("utf-8", "surrogatepass")  # type: ignore[no-any-return]


def make_environ(
    method: str,
    script_name: str,
    path_info: str,
    query: str,
    raw_uri: str,
    protocol: str,
    event: Mapping[str, Any],
    context: Any,
) -> Environ:
    """Return the environ of a request, still without its headers and its host."""
    body = body_bytes(event)
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": script_name,
        "PATH_INFO": path_info,
        "QUERY_STRING": query,
        "RAW_URI": raw_uri,
        "REQUEST_URI": raw_uri,
        "SERVER_PROTOCOL": protocol,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.input": BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "lambda.event": event,
        "lambda.context": context,
    }


def add_headers(environ: Environ, headers: Mapping[str, str]) -> None:
    """Add headers of which each name has one value, maybe joined already."""
    keys = _KEYS
    for name, value in headers.items():
        key = keys.get(name)
        if key is None:
            key = _key(name)
        if key:
            text = value if value.isascii() else native(value)
            environ[key] = text if key not in environ else _join(key, environ[key], text)


def add_header_lists(environ: Environ, headers: Mapping[str, list[str]]) -> None:
    """Add headers of which each name has a list of values; repeated ones are joined."""
    keys = _KEYS
    for name, values in headers.items():
        key = keys.get(name)
        if key is None:
            key = _key(name)
        if key:
            for value in values:
                text = value if value.isascii() else native(value)
                environ[key] = text if key not in environ else _join(key, environ[key], text)


def add_host(environ: Environ, domain: str, scheme: str) -> None:
    """Add scheme, server name and port: from the platform's own headers, else from what it says of itself.

    Args:
        environ: with its headers.
        domain: the host when the request names none.
        scheme: `https` or `http`, when the platform does not say.
    """
    said = environ.get("HTTP_X_FORWARDED_PROTO")
    if said is not None and said != "https":
        last = said.rpartition(",")[2].strip().lower()  # the platform appends: what a client sent comes first
        said = last if last in {"http", "https"} else None
    scheme = said or scheme
    host = environ.get("HTTP_HOST") or domain or "localhost"
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit():
        name, port = host, environ.get("HTTP_X_FORWARDED_PORT", "").rpartition(",")[2].strip()
    environ["wsgi.url_scheme"] = scheme
    environ["SERVER_NAME"] = name or "localhost"
    environ["SERVER_PORT"] = port if port.isdigit() else ("443" if scheme == "https" else "80")


def mount(environ: Environ, base_path: str) -> None:
    """Say that the application is mounted at a base path, whether the event's path still has it or not."""
    path = environ["PATH_INFO"]
    environ["SCRIPT_NAME"] = base_path
    if path == base_path or path.startswith(base_path + "/"):
        environ["PATH_INFO"] = path[len(base_path) :] or "/"


def _key(name: str) -> str:
    lowered = name.lower()
    if "_" in name or lowered in {"content-length", "transfer-encoding"}:
        key = _LEFT_OUT
    elif lowered == "content-type":
        key = "CONTENT_TYPE"
    else:
        key = "HTTP_" + native(name).upper().replace("-", "_")
    if len(_KEYS) < _MAX_CACHED_NAMES:
        _KEYS[name] = key
    return key


def _join(key: str, before: str, value: str) -> str:
    if key == "CONTENT_TYPE":
        return value
    return f"{before}; {value}" if key == "HTTP_COOKIE" else f"{before}, {value}"
