"""Error responses of the server itself, for requests that never reach the application.

Source: RFC 9457; RFC 9112, section 3.2 (Host) and section 6.1 (transfer codings).
"""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from carboy.extras import extra
from carboy.problems import CONTENT_TYPE, Problem, render_problem

with extra("serve"):
    from gunicorn.http import errors  # type: ignore[import-untyped]

_STATUSES = {
    errors.LimitRequestLine: (414, "the request line is too long"),
    errors.LimitRequestHeaders: (431, "there are too many headers, or they are too long"),
    errors.ExpectationFailed: (417, "the only expectation that is met is `100-continue`"),
    errors.UnsupportedTransferCoding: (501, "the only transfer coding that is undone is `chunked`"),
    errors.ForbiddenProxyRequest: (403, "this client may not use the PROXY protocol"),
    errors.InvalidRequestLine: (400, "the request line is malformed"),
    errors.InvalidRequestMethod: (400, "the method is not valid"),
    errors.InvalidHTTPVersion: (400, "the version of HTTP is not supported"),
    errors.InvalidHeader: (400, "a header is malformed, missing or repeated"),
    errors.InvalidHeaderName: (400, "the name of a header is not valid"),
    errors.ObsoleteFolding: (400, "a header goes over several lines"),
    errors.InvalidChunkSize: (400, "the size of a chunk is not valid"),
    errors.ChunkMissingTerminator: (400, "a chunk is longer or shorter than it says"),
    errors.InvalidChunkExtension: (400, "the extension of a chunk is not valid"),
    errors.InvalidProxyLine: (400, "the PROXY line is not valid"),
    errors.InvalidProxyHeader: (400, "the PROXY header is not valid"),
}
_host = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")


def explain_error(error: BaseException) -> tuple[int, str]:
    """Return status and detail for an error of the parser, or of the application; 500 for what is not the client's."""
    if isinstance(error, errors.InvalidResponseHeader | errors.InvalidResponseHeaderName):  # pyright: ignore[reportAttributeAccessIssue]
        return 500, "the server failed to answer"
    if getattr(error, "hdr", None) == "HOST":
        return 400, "the Host header is missing, repeated or malformed"
    request = getattr(error, "req", None) if isinstance(error, errors.InvalidHeader) else None
    if request is not None and not _codings(request) <= {"chunked", "identity"}:
        return _STATUSES[errors.UnsupportedTransferCoding]
    return _STATUSES.get(type(error), (500, "the server failed to answer"))


def check_headers(request: Any) -> None:
    """Refuse headers that gunicorn accepts: a missing, repeated or malformed Host, a coding that is not undone.

    Raises:
        InvalidHeader: of `Host`.
        UnsupportedTransferCoding: of `Transfer-Encoding`.
    """
    hosts = [value for name, value in request.headers if name == "HOST"]
    is_required = request.version >= (1, 1)
    if len(hosts) > 1 or (is_required and not hosts) or (hosts and not _host.fullmatch(hosts[0])):
        raise errors.InvalidHeader("HOST")
    if not (codings := _codings(request)) <= {"chunked"}:
        raise errors.UnsupportedTransferCoding(", ".join(codings))


def render_refusal(status: int, detail: str, request_line: Sequence[bytes], request_id: str) -> bytes:
    """Return a whole response: problem+json, a request id, and the end of the connection.

    Args:
        status: 400 to 599.
        detail: what went wrong, in a sentence.
        request_line: method, target and version as they came; the response to HEAD has no body.
        request_id: of the response.
    """
    method, target, _ = request_line if len(request_line) == 3 else (b"", b"", b"")
    path = target.partition(b"?")[0][:1024]
    instance = path.decode("ascii") if path.isascii() and path.decode("ascii").isprintable() else ""
    body = render_problem(Problem(status, detail), instance, request_id)
    retry = "Retry-After: 1\r\n" if status == 503 else ""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        f"X-Request-Id: {request_id}\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n{retry}\r\n"
    )
    return head.encode("ascii") + (b"" if method == b"HEAD" else body)


def client_address(address: Any) -> str:
    """Return the address of a client, empty on a Unix socket."""
    return str(address[0]) if isinstance(address, tuple) else ""


def _codings(request: Any) -> set[str]:
    values = [value for name, value in request.headers if name == "TRANSFER-ENCODING"]
    return {coding.strip(" \t").lower() for value in values for coding in value.split(",")}
