"""Say what an error was, as X-Ray shows it: its type, its message, where it came from and what caused it."""

import os
from collections.abc import Callable
from itertools import pairwise
from traceback import walk_tb
from typing import Any

from carboy.trace.sanitize import show

_MAX_CHAIN, _MAX_FRAMES, _MAX_MESSAGE = 5, 50, 1000


def describe_failure(error: BaseException, new_id: Callable[[], str]) -> dict[str, Any]:
    """Return the `cause` block of an error and of those that led to it."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and not any(link is one for one in chain) and len(chain) < _MAX_CHAIN:
        chain.append(link)
        try:
            link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
        except Exception:  # noqa: BLE001 (an exception's own code can raise anything)
            link = None
    described = [_describe(one, new_id()) for one in chain]
    for outer, inner in pairwise(described):
        outer["cause"] = inner["id"]
    return {"working_directory": _folder(), "exceptions": described}


def _describe(error: BaseException, exception_id: str) -> dict[str, Any]:
    kind = type(error)
    frames = [
        {"path": frame.f_code.co_filename, "line": line, "label": frame.f_code.co_name}
        for frame, line in walk_tb(error.__traceback__)
    ]
    frames.reverse()  # the innermost first
    described: dict[str, Any] = {
        "id": exception_id,
        "type": f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."),
        "message": show(error, _MAX_MESSAGE),
        "stack": frames[:_MAX_FRAMES],
    }
    if len(frames) > _MAX_FRAMES:
        described["truncated"] = len(frames) - _MAX_FRAMES
    return described


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return ""
