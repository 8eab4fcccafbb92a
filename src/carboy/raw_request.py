"""An HTTP request as it came over the wire: what signatures are computed over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote

__all__ = ["RawRequest", "raw_url"]


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request whose address and body are the bytes on the wire, nothing decoded and encoded again.

    Attributes:
        method: such as `POST`.
        url: scheme, host, port if any, path and query exactly as they were sent.
        headers: by lower-case name; headers that were repeated are joined by commas. Bytes beyond ASCII are read as
            UTF-8, or else as Latin-1.
        body: the bytes as they came.
        client: the client's address, behind the trusted proxies.
        path: the arguments of the route, decoded.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    client: str = ""
    path: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not all(map(str.islower, self.headers)):
            object.__setattr__(self, "headers", {name.lower(): value for name, value in self.headers.items()})

    @classmethod
    def of(cls, environ: Mapping[str, Any], body: bytes, path: Mapping[str, Any] | None = None) -> "RawRequest":
        """Make it of a WSGI environment and the body that was read from it."""
        headers = {
            _header_name(key): value if value.isascii() else _header_text(value)
            for key, value in environ.items()
            if key.startswith("HTTP_")
        }
        if kind := environ.get("CONTENT_TYPE"):
            headers["content-type"] = kind
        if length := environ.get("CONTENT_LENGTH"):
            headers["content-length"] = length
        arguments = {name: str(value) for name, value in (path or {}).items()}
        return cls(
            environ["REQUEST_METHOD"], raw_url(environ), headers, body, environ.get("REMOTE_ADDR") or "", arguments
        )

    @property
    def target(self) -> str:
        """The path and the query, as they were sent."""
        rest = self.url.partition("://")[2]
        return rest[len(authority_of(self.url)) :]

    @property
    def media_type(self) -> str:
        """The type of the body in lower case, without parameters; empty where none is named."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def query(self) -> list[tuple[str, str]]:
        """Return the parameters of the query, decoded, blank ones too, in their order."""
        return parse_qsl(self.url.partition("?")[2].partition("#")[0], keep_blank_values=True)

    def form(self) -> list[tuple[str, str]]:
        """Return the fields of a form, decoded, blank ones too, in their order."""
        return parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)


def authority_of(url: str) -> str:
    """Return the host and the port of an address, as they are written."""
    return url.partition("://")[2].split("/", 1)[0].split("?", 1)[0]


def raw_url(environ: Mapping[str, Any]) -> str:
    """Return the address of a request with its path and query exactly as they were sent.

    They come from `RAW_URI` or `REQUEST_URI`, which gunicorn, waitress, cheroot, werkzeug and our Lambda adapter set. A
    server that sets neither has decoded the path: it is encoded again, as most senders would write it. Bytes
    beyond ASCII come as surrogate escapes where they are not UTF-8.
    """
    host = environ.get("HTTP_HOST") or f"{environ.get('SERVER_NAME', '')}:{environ.get('SERVER_PORT', '')}"
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    if target and not target.startswith("/"):  # the absolute form, as clients of a proxy send it
        target = "/" + target.partition("://")[2].partition("/")[2] if "://" in target else ""
    if target:
        query = environ.get("QUERY_STRING", "")
        target = _text(target if "?" in target or not query else f"{target}?{query}")
    else:
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        query = environ.get("QUERY_STRING", "")
        target = quote(path.encode("latin-1", "replace"), safe="/:@!$&'()*+,;=~-._") + (
            f"?{_text(query)}" if query else ""
        )
    return f"{environ['wsgi.url_scheme']}://{host}{target}"


def _text(target: str) -> str:
    """Return the bytes of a Latin-1 WSGI string as text; text that a server has decoded already stays."""
    if target.isascii():
        return target
    try:
        return target.encode("latin-1").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return target


@lru_cache(maxsize=1024)
def _header_name(key: str) -> str:
    """Return the name of a header, in lower case, from its key in a WSGI environment."""
    return key[5:].replace("_", "-").lower()


def _header_text(value: str) -> str:
    """Return a header of a WSGI environment, whose characters are bytes (PEP 3333), as the text that was sent."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value
