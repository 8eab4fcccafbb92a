"""Log context: the request id and further facts in contextvars, so that concurrent requests never swap them."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple

from carboy.logs.clean_values import Budget
from carboy.logs.log_lines import clean_facts
from carboy.logs.structlog_ import bound_by_structlog, restore_structlog

_MAX_CHARS = 4096
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_facts: ContextVar[Mapping[str, Any]] = ContextVar("carboy_log_facts", default=_NOTHING)
bound_facts: Callable[[], Mapping[str, Any]] = _facts.get
"""Return the facts of every line of this context; the caller must not change them."""


def _merged(outer: Mapping[str, Any], inner: Mapping[str, Any]) -> Mapping[str, Any]:
    if "request_id" in inner:  # it comes first in a line
        return {"request_id": "", **outer, **inner}
    return {**outer, **inner}


def request_id() -> str:
    """Return the id of the request that this code works for; empty outside of one."""
    return str(_facts.get().get("request_id", ""))


def new_request_id() -> str:
    """Make an id that no other request has: 32 hexadecimal digits.

    The bytes come from the kernel: a forked worker, or a snapshot of a Lambda function that is started twice, does
    not repeat them.
    """
    return os.urandom(16).hex()


class _Bound(NamedTuple):
    token: Token[Mapping[str, Any]]
    by_structlog: Mapping[str, Any]


def bind_request_id(value: str) -> _Bound:
    """Put this request id on every further line of this context; pass the result to `reset_request_id`."""
    return _bind({"request_id": str(value)})


def lambda_ids(event: Any, context: Any) -> dict[str, str]:
    """Return the ids that an event of Lambda's and its context have; `request_id` is the API's, else Lambda's."""
    request = event.get("requestContext") if isinstance(event, (dict, Mapping)) else None  # a dict is found sooner
    api_id = request.get("requestId") if isinstance(request, (dict, Mapping)) else None
    lambda_id = getattr(context, "aws_request_id", None)
    if api_id.__class__ is str and lambda_id.__class__ is str and api_id and lambda_id:
        return {"request_id": api_id, "api_request_id": api_id, "lambda_request_id": lambda_id}
    ids = {"request_id": api_id or lambda_id, "api_request_id": api_id, "lambda_request_id": lambda_id}
    return {name: str(value) for name, value in ids.items() if value}


def bind_ids(ids: Mapping[str, str | bool]) -> None:
    """Put ids that the platform made on every further line of this context; they are not looked through for secrets."""
    outer = bound_facts()
    _facts.set(ids if outer is _NOTHING else _merged(outer, ids))


def reset_request_id(bound: _Bound) -> None:
    """Go back to what was bound before `bind_request_id`, by structlog too; nothing where the context is another."""
    with suppress(ValueError, RuntimeError):  # a generator may end in another context, or twice
        _facts.reset(bound.token)
        restore_structlog(bound.by_structlog)


def _bind(facts: Mapping[str, Any]) -> _Bound:
    return _Bound(_facts.set(_merged(_facts.get(), facts)), bound_by_structlog())


class request_context:  # noqa: N801 (used like a function)
    """Put a request id, and further facts, on every line that is logged inside the `with` block.

    Without `request_id` the outer one stays. One object is for one `with` block.
    """

    __slots__ = ("_added", "_bound")

    def __init__(self, request_id: str | None = None, **facts: Any) -> None:
        added = clean_facts(facts, Budget(_MAX_CHARS)) if facts else {}
        self._added = added if request_id is None else {"request_id": str(request_id), **added}

    def __enter__(self) -> None:
        self._bound = _bind(self._added)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        reset_request_id(self._bound)
