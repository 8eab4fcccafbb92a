"""Describe an exception as a value: its type, message and stack, and those of its causes."""

import linecache
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from carboy.errors import CarboyError
from carboy.logs.clean_values import Budget, clean_text, error_text

_FRAMES = 50
_CAUSES = 8
_GROUPED = 10


def describe(error: BaseException, budget: Budget) -> dict[str, Any]:
    """Return `type`, `message` and `stack` (outermost call first), with `cause`, `notes`, `hint`, `exceptions` if any.

    At most 50 frames of a stack are shown, 8 causes in a row, and 10 exceptions of a group.
    """
    return _describe(error, budget, set(), 0)


def _describe(error: BaseException, budget: Budget, seen: set[int], depth: int) -> dict[str, Any]:
    seen.add(id(error))
    kind = type(error)
    described: dict[str, Any] = {
        "type": kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}",
        "message": clean_text(_text(error, error_text), budget),
        "stack": _stack(error.__traceback__, budget),
    }
    notes = [_text(note) for note in _notes(error)[: _GROUPED + 1]]
    if isinstance(error, CarboyError):
        hint = _text(error.hint)
        described["hint"] = clean_text(hint, budget)
        notes = [note for note in notes if note != f"hint: {hint}"]
    if notes:
        described["notes"] = [clean_text(note, budget) for note in notes[:_GROUPED]]
    if isinstance(error, BaseExceptionGroup) and depth < _CAUSES:
        described["exceptions"] = [
            _describe(one, budget, seen, depth + 1) for one in error.exceptions[:_GROUPED] if id(one) not in seen
        ]
    cause = _cause(error)
    if cause is not None and id(cause) not in seen and depth < _CAUSES:
        described["cause"] = _describe(cause, budget, seen, depth + 1)
    return described


def _text(value: Any, show: Callable[[Any], str] = str) -> str:
    try:
        return show(value)
    except Exception:  # noqa: BLE001 (an exception's own code can raise anything)
        return "<its text cannot be made>"


def _notes(error: BaseException) -> list[object]:
    try:
        notes = getattr(error, "__notes__", None) or []
        return list(notes) if isinstance(notes, list | tuple) else [notes]
    except Exception:  # noqa: BLE001 (likewise)
        return []


def _cause(error: BaseException) -> BaseException | None:
    try:
        cause: object = error.__cause__
        if cause is None and not error.__suppress_context__:
            cause = error.__context__
    except Exception:  # noqa: BLE001 (likewise)
        return None
    return cause if isinstance(cause, BaseException) else None


def _stack(trace: TracebackType | None, budget: Budget) -> list[str]:
    frames = list(_walk(trace))
    left_out = len(frames) - _FRAMES
    if left_out > 0:
        frames[_FRAMES // 2 : _FRAMES // 2 + left_out] = [f"… {left_out} further calls"]
    return [clean_text(frame, budget) for frame in frames]


def _walk(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        code = trace.tb_frame.f_code
        source = linecache.getline(code.co_filename, trace.tb_lineno, trace.tb_frame.f_globals).strip()
        place = f"{code.co_filename}:{trace.tb_lineno} in {code.co_qualname}"
        yield f"{place}: {source}" if source else place
        trace = trace.tb_next
