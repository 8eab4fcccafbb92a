"""What a WSGI application answers, in the form that each HTTP event wants.

A body is sent as text when it is text, so that a REST API without binary media types can send it too; otherwise in
base64. The bytes that reach the client are the application's in both cases.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import product
from typing import Any, Literal

from carboy.serve.lambda_.environ import Environ

__all__ = ["Answer", "WsgiApplication", "answer_alb", "answer_v1", "answer_v2", "run_wsgi"]

WsgiApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Header = tuple[str, str]


@dataclass(slots=True)
class Answer:
    """What an application answered.

    Attributes:
        status: the status line, such as `200 OK`.
        headers: in the application's order, one character for each byte.
        body: whole.
    """

    status: str
    headers: Sequence[Header]
    body: bytes


def run_wsgi(application: WsgiApplication, environ: Environ) -> Answer:
    """Run an application to its end and gather what it answers; its iterable is closed in any case.

    Nothing is sent before the end: an application that reports an error late (`exc_info`) replaces all of its answer.

    Raises:
        AssertionError: the application did not call `start_response`, or called it twice.
    """
    answer = Answer("", (), b"")
    chunks: list[bytes] = []

    def start_response(status: str, headers: list[Header], exc_info: Any = None) -> Callable[[bytes], None]:
        if exc_info:
            chunks.clear()
        elif answer.status:
            raise AssertionError("the application called start_response twice without exc_info")
        answer.status, answer.headers = status, headers
        return chunks.append

    iterable = application(environ, start_response)
    try:
        for chunk in iterable:
            chunks.append(chunk)  # noqa: PERF402 - start_response may clear the list meanwhile
    finally:
        close = getattr(iterable, "close", None)
        if close is not None:
            close()
    if not answer.status:
        raise AssertionError("the application did not call start_response")
    answer.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return answer


def answer_v1(answer: Answer, environ: Environ) -> dict[str, Any]:
    """Return the answer to a REST API, or to an HTTP API in format 1.0."""
    single, listed, text, is_base64 = _render(answer, environ)
    result: dict[str, Any] = {
        "statusCode": int(answer.status[:3]),
        "headers": single,
        "body": text,
        "isBase64Encoded": is_base64,
    }
    if listed:
        result["multiValueHeaders"] = listed
    return result


def answer_v2(answer: Answer, environ: Environ) -> dict[str, Any]:
    """Return the answer to an HTTP API in format 2.0, or to a function URL."""
    single, listed, text, is_base64 = _render(answer, environ, lists_cookies=True)
    result: dict[str, Any] = {
        "statusCode": int(answer.status[:3]),
        "headers": single,
        "body": text,
        "isBase64Encoded": is_base64,
    }
    for name, values in listed.items():
        if _is_cookie(name):
            result["cookies"] = values
        else:
            single[name] = ", ".join(values)
    return result


def answer_alb(answer: Answer, environ: Environ) -> dict[str, Any]:
    """Return the answer to a load balancer, in its event's mode: lists of values, or one value for each name.

    With one value for each name, each further cookie takes another spelling of `Set-Cookie`: joined by commas, cookies
    could not be read.
    """
    single, listed, text, is_base64 = _render(answer, environ)
    result: dict[str, Any] = {
        "statusCode": int(answer.status[:3]),
        "statusDescription": _described(answer.status),
        "body": text,
        "isBase64Encoded": is_base64,
    }
    if "multiValueHeaders" in environ["lambda.event"]:
        result["multiValueHeaders"] = {name: [value] for name, value in single.items()} | listed
        return result
    for name, values in listed.items():
        if _is_cookie(name):
            single.update(zip(_spellings(name), values, strict=False))
        else:
            single[name] = ", ".join(values)
    result["headers"] = single
    return result


def _render(
    answer: Answer, environ: Environ, *, lists_cookies: bool = False
) -> tuple[dict[str, str], dict[str, list[str]], str, bool]:
    """Return the headers that come once, those that are listed, the body, and whether that is base64."""
    single: dict[str, str] = {}
    listed: dict[str, list[str]] = {}
    seen: dict[str, str] = {}
    for name, value in answer.headers:
        text = value if value.isascii() else _readable(value)
        lowered = _LOWERED.get(name) or _lower(name)
        if lowered in seen:
            first = seen[lowered]
            if first not in listed:
                listed[first] = [single.pop(first)]
            listed[first].append(text)
            continue
        seen[lowered] = name
        if lists_cookies and lowered == "set-cookie":
            listed[name] = [text]
        else:
            single[name] = text
    body, is_base64 = _render_body(answer, environ["REQUEST_METHOD"], single, seen)
    return single, listed, body, is_base64


def _render_body(answer: Answer, method: str, headers: dict[str, str], names: dict[str, str]) -> tuple[str, bool]:
    """Return the body and whether it is base64; the length of one that is not sent is put right in the headers.

    Args:
        answer: with the body.
        method: of the request.
        headers: of the answer.
        names: how the application spells them, by their lower-case form.
    """
    code = answer.status[:3]
    if code in {"204", "304"} or code < "200":
        if code != "304" and "content-length" in names:
            headers.pop(names["content-length"], None)
        return "", False
    if method == "HEAD":
        if answer.body and "content-length" not in names:
            headers["Content-Length"] = str(len(answer.body))
        return "", False
    encoding = headers.get(names.get("content-encoding", ""), "")
    if not encoding or encoding.lower() == "identity":
        text = _as_text(answer.body, headers.get(names.get("content-type", ""), ""))
        if text is not None:
            return text, False
    return b64encode(answer.body).decode("ascii"), True


_MAX_CACHED = 1024
_LOWERED: dict[str, str] = {}
_KINDS: dict[str, Literal["utf-8", "other", "binary"]] = {}
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
    if not body:
        return ""
    kind = _KINDS.get(content_type) or _kind(content_type)
    if kind == "binary":
        return None
    if kind == "other" and (not body.isascii() or b"\0" in body):
        return None
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _kind(content_type: str) -> Literal["utf-8", "other", "binary"]:
    media_type, _, parameters = content_type.lower().partition(";")
    media_type = media_type.strip()
    charset = parameters.partition("charset=")[2].partition(";")[0].strip(" \"'")
    is_text = (
        not media_type or media_type.startswith("text/") or media_type in _TEXT_TYPES
        or media_type.endswith(("+json", "+xml", "+yaml"))
    )  # fmt: skip
    kind: Literal["utf-8", "other", "binary"] = "binary"
    if is_text:
        kind = "utf-8" if charset in {"", "utf-8", "utf8", "us-ascii", "ascii"} else "other"
    if len(_KINDS) < _MAX_CACHED:
        _KINDS[content_type] = kind
    return kind


def _lower(name: str) -> str:
    lowered = name.lower()
    if len(_LOWERED) < _MAX_CACHED:
        _LOWERED[name] = lowered
    return lowered


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
