"""Make a response of what an operation returns, and check it against the document when asked to."""

import logging
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

import orjson
from flask import Response, request
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response as BaseResponse

from carboy.api import coercion as typed
from carboy.api.json_values import render_json, render_lines
from carboy.api.media_types import is_json, is_json_lines, kind_of, matcher, matches
from carboy.api.parameters import Read, Value, compile_value
from carboy.api.validators import Check, Schemas
from carboy.api.walk import deref
from carboy.errors import Fault
from carboy.problems import Problem

Finish = Callable[[Any], BaseResponse]

_log = logging.getLogger("carboy.api")
_JSON = "application/json"


def compile_answers(
    responses: Mapping[str, Any], content: Any, schemas: Schemas, operation_id: str, *, is_checked: bool
) -> Finish:
    """Return the function that makes a response of a value, `(value, status[, headers])` or a response.

    Args:
        responses: the responses object of the operation.
        content: the whole document.
        schemas: its schemas.
        operation_id: for the log.
        is_checked: an answer that breaks the document is logged and becomes a 500.
    """
    known = {status: deref(content, node) for status, node in responses.items() if not status.startswith("x-")}
    media: dict[int, tuple[str, Callable[[Any], bytes]]] = {}
    fallback = _media_type([kind for node in known.values() for kind in node.get("content", {})])
    check = _compile_check(known, content, schemas, operation_id) if is_checked else None

    def finish(result: Any) -> BaseResponse:
        status, headers = None, None
        if type(result) is tuple:
            result, status, headers = _take_apart(result)
        if isinstance(result, BaseResponse):
            response = _amend(result, status, headers)
        else:
            if status is None:
                status = 204 if result is None else 200
            chosen = media.get(status)
            if chosen is None:
                offered = (_find(known, status) or {}).get("content", {})
                kind = _media_type(list(offered)) or fallback or _JSON
                chosen = media[status] = kind, _writer(content, offered.get(kind, {}).get("schema"))
            response = _make(result, status, headers, *chosen)
        if check is not None:
            check(response)
        return response

    return finish


def _take_apart(result: tuple[Any, ...]) -> tuple[Any, int | None, Any]:
    match result:
        case (value,):
            return value, None, None
        case (value, int() | str() | Enum() as status):
            return value, _number(status), None
        case (value, headers):
            return value, None, headers
        case (value, status, headers):
            return value, None if status is None else _number(status), headers
        case _:
            raise TypeError("an operation returns a value, (value, status) or (value, status, headers)")


def _number(status: Any) -> int:
    status = status.value if isinstance(status, Enum) else status
    return int(status.partition(" ")[0] if isinstance(status, str) else status)


def _writer(content: Any, schema: Any) -> Callable[[Any], bytes]:
    return render_json if schema is None else partial(render_json, content=content, schema=schema)


def _make(value: Any, status: int, headers: Any, kind: str, write: Callable[[Any], bytes]) -> Response:
    headers = Headers(headers) if headers else None
    if headers is not None and "Content-Type" in headers:
        kind = headers["Content-Type"]
        del headers["Content-Type"]
    if value is None:
        response = Response(status=status, headers=headers, content_type=kind)
        if status == 204:
            del response.headers["Content-Type"]
        return response
    if isinstance(value, bytes | bytearray):
        data: Any = bytes(value)
    elif is_json(kind):
        data = value if hasattr(value, "__next__") else write(value)
    elif is_json_lines(kind) and not isinstance(value, str):
        values = value if isinstance(value, Iterable) and not isinstance(value, Mapping) else [value]
        lines = render_lines(values, b"\x1e" if kind_of(kind) == "application/json-seq" else b"")
        data = lines if hasattr(value, "__next__") else b"".join(lines)
    elif isinstance(value, str) or hasattr(value, "__next__"):
        data = value
    else:
        data, kind = render_json(value), _JSON
    if kind.startswith("text/") and "charset" not in kind:
        kind += "; charset=utf-8"
    return Response(data, status, headers, content_type=kind)


def _amend(response: BaseResponse, status: int | None, headers: Any) -> BaseResponse:
    if status is not None:
        response.status_code = status
    if headers:
        response.headers.update(headers)
    return response


def _media_type(kinds: list[str]) -> str:
    """Return the content type of an answer that does not say one: the first of JSON, else the first."""
    plain = [kind for kind in dict.fromkeys(kinds) if "*" not in kind]
    if not plain:
        return ""
    return next((kind for kind in plain if is_json(kind)), plain[0])


def _find(known: Mapping[str, Any], status: int) -> Any:
    text = str(status)
    return known.get(text) or known.get(text[0] + "XX") or known.get("default")


def _compile_check(
    known: Mapping[str, Any], content: Any, schemas: Schemas, operation_id: str
) -> Callable[[BaseResponse], None]:
    checks: dict[int, dict[str, _BodyCheck | None]] = {
        id(node): {
            kind: _BodyCheck.of(kind, media["schema"], content, schemas) if "schema" in media else None
            for kind, media in node.get("content", {}).items()
        }
        for node in known.values()
    }
    finders = {key: matcher(kinds) for key, kinds in checks.items()}
    headers = {id(node): _compile_headers(node, content, schemas) for node in known.values()}

    def breaches(response: BaseResponse) -> list[Fault]:
        node = _find(known, response.status_code)
        if node is None:
            return [Fault("", f"the status {response.status_code} is not in the document")]
        found = headers[id(node)](response)
        if response.is_streamed or response.direct_passthrough:
            return found
        media, kind = checks[id(node)], response.content_type or ""
        if not media or (not response.get_data() and not is_json(kind)):
            return found
        key = finders[id(node)](kind)
        if key is None:
            return [*found, Fault("", f"the content type `{response.mimetype}` is not in the document")]
        check = media[key]
        return found if check is None else found + check.faults(response)

    return _reporting(breaches, operation_id)


class _BodyCheck(NamedTuple):
    check: Check
    takes_text: bool

    @staticmethod
    def of(kind: str, schema: Any, content: Any, schemas: Schemas) -> "_BodyCheck | None":
        """Make the check of a body of a content type or range; None where it cannot be JSON nor text."""
        takes_text = "string" in typed.types_of(content, schema)
        is_text = kind.startswith("text/") and takes_text
        may_be_json = is_json(kind) or matches("application/json", kind_of(kind))
        return _BodyCheck(schemas.compile(schema, "answer"), takes_text) if is_text or may_be_json else None

    def faults(self, response: BaseResponse) -> list[Fault]:
        """Return what is wrong with a body: one of JSON, or of text where the schema allows a string."""
        data, kind = response.get_data(), response.content_type or ""
        value: Any
        if is_json(kind):
            if not data:
                is_without = request.method == "HEAD" or response.status_code in {204, 304}
                return [] if is_without else [Fault("", "the answer is empty")]
            try:
                value = orjson.loads(data)
            except orjson.JSONDecodeError:
                return [Fault("", "the answer is not JSON")]
        elif kind.startswith("text/") and self.takes_text:
            value = data.decode(errors="replace")
        else:
            return []
        return [] if self.check.is_valid(value) else self.check.faults(value, "")


def _reporting(breaches: Callable[[BaseResponse], list[Fault]], operation_id: str) -> Callable[[BaseResponse], None]:
    def check_answer(response: BaseResponse) -> None:
        found = breaches(response)
        if found:
            listed = [f"{fault.pointer}: {fault.detail}" for fault in found]
            facts = {"operation": operation_id, "status": response.status_code, "path": request.path, "faults": listed}
            _log.error("answer_breaks_document", extra=facts)
            raise Problem(500, "the response does not match the OpenAPI document")

    return check_answer


def _compile_headers(node: Mapping[str, Any], content: Any, schemas: Schemas) -> Callable[[BaseResponse], list[Fault]]:
    wanted: list[tuple[str, bool, Read]] = []
    for name, header in (node.get("headers") or {}).items():
        if name.lower() != "content-type":
            found = deref(content, header)
            value = Value.of({**found, "name": name, "in": "header", "style": "simple"}, key=name)
            wanted.append((name, found.get("required", False), compile_value(value, content, schemas)))

    def check_headers(response: BaseResponse) -> list[Fault]:
        found: list[Fault] = []
        for name, required, read in wanted:
            texts, broken = response.headers.getlist(name), list[Fault]()
            if texts:
                read({name: ", ".join(texts)}, {}, broken)
            elif required:
                broken.append(Fault("", "is missing"))
            found += [Fault("", f"the header `{name}` {fault.detail}") for fault in broken]
        return found

    return check_headers
