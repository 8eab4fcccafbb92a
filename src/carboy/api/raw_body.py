"""Read a body without a schema: its bytes, or the value of its JSON whose shape the operation checks itself."""

from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from typing import Any

from flask import Request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.wsgi import get_input_stream

from carboy.api.media_types import kind_of, matcher
from carboy.errors import Fault
from carboy.problems import Problem
from carboy.strict_json import parse_json

BodyStep = Callable[[Request, dict[str, Any], list[Fault]], None]
BodyReader = Callable[[Request, dict[str, Any], list[Fault]], Any]

_JSON = "application/json"
_MAX_HEADERS = 64  # content types that are kept as clients write them


def compile_raw_body(node: Mapping[str, Any]) -> BodyStep:
    """Return the function that passes a body as `body: bytes`, of a content type that the document lists."""
    choose_reader = find_reader(dict.fromkeys(map(str.lower, node["content"]), read_bytes))

    def step(request: Request, kwargs: dict[str, Any], faults: list[Fault]) -> None:
        header = request.environ.get("CONTENT_TYPE") or ""
        if kind_of(header) == _JSON:
            _check_charset(header)
        kwargs["body"] = choose_reader(header)(request, kwargs, faults)

    return step


def compile_parsed_body(max_depth: int) -> BodyStep:
    """Return the function that passes the value of a JSON body as `body`, whose shape the operation checks."""

    def step(request: Request, kwargs: dict[str, Any], _faults: list[Fault]) -> None:
        check_json_type(request.environ.get("CONTENT_TYPE") or "")
        kwargs["body"] = parse_json(read_body(request), max_depth)

    return step


def check_json_type(header: str) -> None:
    """Check that a `Content-Type` is JSON in UTF-8; an empty one is read as that.

    Raises:
        Problem: 415, it is something else.
    """
    if kind_of(header) not in {"", _JSON}:
        raise _wrong_type([_JSON])
    _check_charset(header)


def _check_charset(header: str) -> None:
    if ";" in header and parse_options_header(header)[1].get("charset", "").lower() not in {"", "utf-8", "utf8"}:
        raise Problem(415, "send it in UTF-8")


def _wrong_type(accepted: Iterable[str]) -> Problem:
    kinds = list(accepted)
    detail = f"the content type must be {' or '.join(kinds)}"
    return Problem(415, detail, headers={"Accept": ", ".join(kinds)})


def find_reader(readers: Mapping[str, BodyReader]) -> Callable[[str], BodyReader]:
    """Make the function that finds the reader for the header `Content-Type`; a missing one is read as JSON."""
    first = next((reader for kind, reader in readers.items() if "json" in kind), next(iter(readers.values())))
    find = matcher(readers)
    known: dict[str, BodyReader] = {"": first}

    def choose_reader(header: str) -> BodyReader:
        reader = known.get(header)
        if reader is None:
            key = find(header) if header.strip() else ""
            if key is None:
                raise _wrong_type(readers)
            reader = readers[key] if key else first
            if len(known) < _MAX_HEADERS:
                known[header] = reader
        return reader

    return choose_reader


def read_body(request: Request) -> bytes:
    """Return the bytes of the body, as `request.get_data()` does and also afterwards.

    A body of a known length that no code has read is read without the layers that others need, which would cost more
    than its checking.
    """
    environ = request.environ
    length = environ.get("CONTENT_LENGTH", "")
    if "carboy.max_body_bytes" in environ:  # a path may have a limit of its own
        _limit_body(request, environ["carboy.max_body_bytes"])
    if "stream" in vars(request) or "wsgi.input_terminated" in environ or not length.isdecimal():
        return request.get_data()
    size, limit = int(length), request.max_content_length
    if limit is not None and size > limit:
        raise RequestEntityTooLarge
    data = environ["wsgi.input"].read(size)
    while len(data) < size:
        more = environ["wsgi.input"].read(size - len(data))
        if not more:
            raise ClientDisconnected
        data += more
    environ["wsgi.input"] = BytesIO(data)
    return bytes(data)


def _limit_body(request: Request, limit: int | None) -> None:
    try:
        request.max_content_length = limit
    except AttributeError:  # in Flask 3.0 only `app.config` has a limit
        if "stream" not in vars(request):
            vars(request)["stream"] = get_input_stream(request.environ, max_content_length=limit)


def read_bytes(request: Request, _kwargs: dict[str, Any], _faults: list[Fault]) -> Any:
    """Return the bytes of the body; the reader of what has no schema."""
    return read_body(request)
