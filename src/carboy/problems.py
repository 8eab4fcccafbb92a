"""Problem documents (RFC 9457) as values; the web layer sends them.

Source: RFC 9457.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

import orjson

from carboy.errors import CarboyError, Fault

__all__ = ["CONTENT_TYPE", "Problem", "render_problem"]

CONTENT_TYPE = "application/problem+json"


class Problem(CarboyError):
    """A request that ends in an error answer; raise it anywhere below a view.

    Attributes:
        status: the HTTP status, 400 to 599.
        faults: what is wrong with the body or the parameters, all of it; sent as `errors`.
        headers: further headers of the answer, such as `Retry-After` or `WWW-Authenticate`.
        extra: further members of the document, such as `tries_left`.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str = "",
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(title or HTTPStatus(status).phrase, detail, "")
        self.status: int = status
        self.detail: str = detail
        self.faults: tuple[Fault, ...] = tuple(faults)
        self.headers: dict[str, str] = dict(headers or {})
        self.extra: dict[str, Any] = dict(extra or {})

    def __reduce__(self) -> tuple[Any, ...]:
        more: dict[str, Any] = {"title": self.what, "faults": self.faults, "headers": self.headers, "extra": self.extra}
        return partial(Problem, self.status, self.detail, **more), ()


def render_problem(problem: Problem, instance: str, request_id: str) -> bytes:
    """Return the JSON document of an error answer.

    Args:
        problem: what went wrong.
        instance: the path of the request, without its query.
        request_id: the id that the answer's `X-Request-Id` carries.
    """
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": problem.what,
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance,
        "request_id": request_id,
        "success": False,
    }
    if problem.faults:
        document["errors"] = [{"pointer": fault.pointer, "detail": fault.detail} for fault in problem.faults]
    return orjson.dumps({**document, **problem.extra})
