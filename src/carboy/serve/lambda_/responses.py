"""What a WSGI application answers, in the form that each HTTP event wants.

A body is sent as text when it is text, so that a REST API without binary media types can send it too; otherwise in
base64. The bytes that reach the client are the application's in both cases.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus
from itertools import product
from typing import Any, Literal, NamedTuple

from carboy.serve.lambda_.wsgi_environ import Environ

WsgiApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Header = tuple[str, str]
Headers = Sequence[Header]
Write = Callable[[bytes], None]


_MAX_CACHED = 1024
Answer = tuple[str, Headers, bytes]
"""The status line, such as `200 OK`; the headers in the application's order, one character for each byte; the body."""


def run_wsgi(application: WsgiApplication, environ: Environ) -> Answer:
    """Run an application to its end and gather what it answers; its iterable is closed in any case.

    Nothing is sent before the end: an application that reports an error late (`exc_info`) replaces all of its answer.

    Raises:
        AssertionError: the application did not call `start_response`, or called it twice.
    """
    began: tuple[str, Headers] | None = None
    chunks: list[bytes] = []

    def start_response(status: str, headers: Headers, exc_info: Any = None) -> Write:  # named types cost nothing here
        nonlocal began
        if exc_info:
            chunks.clear()
        elif began:
            raise AssertionError("the application called start_response twice without exc_info")
        began = status, headers
        return chunks.append

    iterable = application(environ, start_response)
    if type(iterable) is list and not chunks:
        chunks = iterable
    else:
        try:
            for chunk in iterable:
                chunks.append(chunk)  # not extend: start_response may clear the list meanwhile
        finally:
            close = getattr(iterable, "close", None)
            if close is not None:
                close()
    if began is None:
        raise AssertionError("the application did not call start_response")
    status, headers = began
    return status, headers, chunks[0] if len(chunks) == 1 else b"".join(chunks)


def answer_v1(answer: Answer, environ: Environ) -> dict[str, Any]:
    """Return the answer to a REST API, or to an HTTP API in format 1.0."""
    result, listed = _render(answer, environ, "")
    if listed:
        result["multiValueHeaders"] = listed
    return result


def answer_v2(answer: Answer, environ: Environ) -> dict[str, Any]:
    """Return the answer to an HTTP API in format 2.0, or to a function URL."""
    result, listed = _render(answer, environ, "set-cookie")
    if listed:
        for name, values in listed.items():
            if _is_cookie(name):
                result["cookies"] = values
            else:
                result["headers"][name] = ", ".join(values)
    return result


def answer_alb(answer: Answer, environ: Environ) -> dict[str, Any]:
    """Return the answer to a load balancer, in its event's mode: lists of values, or one value for each name.

    With one value for each name, each further cookie takes another spelling of `Set-Cookie`: joined by commas, cookies
    could not be read.
    """
    result, listed = _render(answer, environ, "")
    result["statusDescription"] = _described(answer[0])
    if "multiValueHeaders" in environ["lambda.event"]:
        single = result.pop("headers")
        result["multiValueHeaders"] = {name: [value] for name, value in single.items()} | listed
    elif listed:
        for name, values in listed.items():
            if _is_cookie(name):
                result["headers"].update(zip(_spellings(name), values, strict=False))
            else:
                result["headers"][name] = ", ".join(values)
    return result


def _render(answer: Answer, environ: Environ, always_listed: str) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return what all answers have, with the headers that come once, and the headers that are listed."""
    status, headers, body = answer
    single = dict(headers)
    names = tuple(single)
    content_type, encoding, length, cookie, is_repeated = _names_in(names)
    listed = _NONE
    if is_repeated or len(single) != len(headers) or (cookie and always_listed):
        single, listed = _split(headers, always_listed)
    if not "".join(single.values()).isascii():
        single = {name: _readable(value) for name, value in single.items()}
    code, has_body = _code_of(status)
    text: str | None = ""
    is_base64 = False
    if not has_body:
        if code != 304:
            single.pop(length, None)
    elif environ["REQUEST_METHOD"] == "HEAD":
        if body and not length:
            single["Content-Length"] = str(len(body))
    elif body:
        is_encoded = encoding and single.get(encoding, "").lower() != "identity"
        text = None if is_encoded else _as_text(body, single.get(content_type, ""))
        if text is None:
            text, is_base64 = b64encode(body).decode("ascii"), True
    return {"statusCode": code, "headers": single, "body": text, "isBase64Encoded": is_base64}, listed


class _Names(NamedTuple):
    """How an application spells the headers that matter here; empty where it has none."""

    type: str
    encoding: str
    length: str
    cookie: str
    is_repeated: bool


@lru_cache(_MAX_CACHED)
def _names_in(spelled: tuple[str, ...]) -> _Names:
    by_name: dict[str, str] = {}
    for name in spelled:
        by_name.setdefault(name.lower(), name)
    return _Names(
        type=by_name.get("content-type", ""),
        encoding=by_name.get("content-encoding", ""),
        length=by_name.get("content-length", ""),
        cookie=by_name.get("set-cookie", ""),
        is_repeated=len(by_name) < len(spelled),
    )


def _split(headers: Headers, always_listed: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the headers that come once and the lists of those that are repeated, in the spelling that came first."""
    grouped: dict[str, tuple[str, list[str]]] = {}
    for name, value in headers:
        grouped.setdefault(name.lower(), (name, []))[1].append(_readable(value))
    single = {name: values[0] for key, (name, values) in grouped.items() if len(values) == 1 and key != always_listed}
    listed = {name: values for key, (name, values) in grouped.items() if len(values) > 1 or key == always_listed}
    return single, listed


_NONE: dict[str, list[str]] = {}
_TEXT_TYPES = frozenset(
    {
        "application/ecmascript",
        "application/graphql",
        "application/javascript",
        "application/json",
        "application/jsonl",
        "application/rtf",
        "application/sql",
        "application/toml",
        "application/x-javascript",
        "application/x-ndjson",
        "application/x-www-form-urlencoded",
        "application/x-yaml",
        "application/xml",
        "application/yaml",
    }
)


def _as_text(body: bytes, content_type: str) -> str | None:
    """Return the body as text that a platform turns into the same bytes, or None when it must be base64."""
    kind = _kind(content_type)
    if kind == "binary" or (kind == "other" and (not body.isascii() or b"\0" in body)):
        return None
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return None


@lru_cache(_MAX_CACHED)
def _kind(content_type: str) -> Literal["utf-8", "other", "binary"]:
    media_type, _, parameters = content_type.lower().partition(";")
    media_type = media_type.strip()
    charset = parameters.partition("charset=")[2].partition(";")[0].strip(" \"'")
    is_text = (
        not media_type or media_type.startswith("text/") or media_type in _TEXT_TYPES
        or media_type.endswith(("+json", "+xml", "+yaml"))
    )  # fmt: skip
    if not is_text:
        return "binary"
    return "utf-8" if charset in {"", "utf-8", "utf8", "us-ascii", "ascii"} else "other"


@lru_cache(_MAX_CACHED)
def _code_of(status: str) -> tuple[int, bool]:
    """Return the code of a status line, and whether such an answer has a body."""
    code = int(status[:3])
    return code, code >= 200 and code not in {204, 304}


def _readable(value: str) -> str:
    """Return a header's value as text: its bytes are UTF-8 if they can be, else latin-1."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _is_cookie(name: str) -> bool:
    return name.lower() == "set-cookie"


def _spellings(name: str) -> Iterable[str]:
    """Yield a name in all its spellings, the given one first."""
    yield name
    for letters in product(*((c.lower(), c.upper()) if c.isalpha() else (c,) for c in name)):
        spelling = "".join(letters)
        if spelling != name:
            yield spelling


def _described(status: str) -> str:
    """Return a status line with its phrase, which a load balancer requires."""
    if len(status) > 4:
        return status
    code = int(status[:3])
    known = {each.value: each.phrase for each in HTTPStatus}
    return f"{code} {known.get(code, 'Unknown')}"
