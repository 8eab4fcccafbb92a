"""Make any value fit for a line: JSON's own types, secrets masked, huge and endless values cut; never an error."""

import enum
import math
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import date, time
from decimal import Decimal
from pathlib import PurePath
from typing import Any
from uuid import UUID

from carboy.redact import MASK, Secret, is_secret_name, is_secret_pair, mask, mask_text

_MAX_DEPTH = 10
MAX_ITEMS = 1000
_MAX_KEY_CHARS = 256
_SPARE_CHARS = 8192
_CONTAINERS = (dict, list, tuple)
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1


class Budget:
    """How much of its values one line still shows: characters of text, and items of containers."""

    __slots__ = ("chars", "items")

    def __init__(self, chars: int) -> None:
        self.chars: int = chars
        self.items: int = MAX_ITEMS


def clean_text(text: str, budget: Budget) -> str:
    """Return the text masked, cut to the budget, and without lone surrogates, which UTF-8 cannot carry."""
    whole = len(text)
    if whole <= budget.chars and text.isascii():  # nearly always
        budget.chars -= whole
        return mask_text(text)
    if whole > budget.chars + _SPARE_CHARS:  # a secret that is cut in two could not be found: mask a bit beyond the cut
        text = text[: budget.chars + _SPARE_CHARS]
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    text = mask_text(text)
    if len(text) > budget.chars:
        text = text[: budget.chars] + f"…[{whole} characters]"
        budget.chars = 0
    else:
        budget.chars -= len(text)
    return text


def fill(text: str, args: Any) -> str:
    """Return the text with its `%` arguments filled in, containers masked by their keys; what does not fit is shown."""
    try:
        if isinstance(args, tuple):
            return text % tuple(_masked(arg) for arg in args)
        return str(text % mask(args))
    except Exception:  # noqa: BLE001 (wrong arguments, or a `__str__` that fails)
        return f"{text} {clean(args, Budget(_MAX_KEY_CHARS))}"


def _masked(arg: Any) -> Any:
    if isinstance(arg, BaseException):
        return error_text(arg)
    return mask(arg) if isinstance(arg, _CONTAINERS) else arg


def error_text(error: BaseException) -> str:
    """Return an exception's message, the containers among its arguments masked by their keys.

    Raises:
        Exception: whatever the exception's own code raises.
    """
    if type(error).__str__ is BaseException.__str__ and any(isinstance(one, _CONTAINERS) for one in error.args):
        args = mask(error.args)
        return str(args[0] if len(args) == 1 else args)
    return str(error)


def clean_key(key: Any) -> str:
    """Return a mapping's key as text."""
    if type(key) is str and len(key) <= _MAX_KEY_CHARS and key.isascii():  # nearly always
        return mask_text(key)
    return str(clean(key, Budget(_MAX_KEY_CHARS)))


def clean_named(key: str, value: Any, budget: Budget, depth: int = 0) -> Any:
    """Return the value of this name: masked if the name sounds secret, unless it only says whether there is one."""
    if value is None or type(value) is bool:  # not isinstance: a value's own `__class__` can raise anything
        return value
    return MASK if is_secret_name(key) else clean(value, budget, depth)


def clean(value: Any, budget: Budget, depth: int = 0) -> Any:
    """Return the value in JSON's own types; what has none is shown by its repr."""
    kind = type(value)
    if kind is str:
        return clean_text(value, budget)
    if kind is bool or value is None or (kind is int and _INT_MIN <= value <= _INT_MAX):
        return value
    if kind is float and value - value == 0.0:  # finite
        return value
    try:
        return _clean(value, budget, depth)
    except Exception as error:  # noqa: BLE001 (a value's own code can raise anything; a line must be written)
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def _clean(value: Any, budget: Budget, depth: int) -> Any:
    match value:
        case None | bool():
            return value
        case Secret():
            return MASK
        case str():
            return clean_text(str.__str__(value), budget)
        case enum.Enum():
            return clean(value.value, budget, depth)
        case int():
            return _clean_int(value)
        case float():
            return float(value) if math.isfinite(value) else float.__repr__(value)
        case bytes() | bytearray() | memoryview():
            return _clean_bytes(bytes(value[: budget.chars + _SPARE_CHARS]), len(value), budget)
        case Mapping() | Sequence() | AbstractSet() | deque():
            return _clean_container(value, budget, depth)
    if (named := _fields_of(value)) is not None:
        return _clean_container(named, budget, depth)
    return clean_text(_text_of(value), budget)


def _fields_of(value: Any) -> dict[str, Any] | None:
    """Return what a dataclass's or a msgspec struct's own repr would show, by name."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value) if field.repr}
    names = getattr(type(value), "__struct_fields__", None)
    return {name: getattr(value, name) for name in names} if isinstance(names, tuple) else None


def _text_of(value: Any) -> str:
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (Decimal, PurePath, UUID)):
        return str(value)
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {error_text(value)}"
    return _shown(value)


def _clean_int(value: int) -> Any:
    if _INT_MIN <= value <= _INT_MAX:
        return int(value)
    return str(int(value)) if value.bit_length() < 4096 else f"<int of {value.bit_length()} bits>"


def _clean_bytes(start: bytes, whole: int, budget: Budget) -> str:
    text = clean_text(start.decode("utf-8", "backslashreplace"), budget)
    return text if whole == len(start) else f"{text}…[{whole} bytes]"


def _clean_container(value: Any, budget: Budget, depth: int) -> Any:
    if depth >= _MAX_DEPTH:
        return f"<{type(value).__name__} that is too deep>"
    if isinstance(value, Mapping):
        named: dict[str, Any] = {}
        for key, item in value.items():
            if budget.items <= 0:
                named["…"] = f"[{len(value)} items]"
                break
            budget.items -= 1
            text = clean_key(key)
            named[text] = clean_named(text, item, budget, depth + 1)
        return named
    names = getattr(value, "_fields", None)  # a named tuple, such as a database's row
    if isinstance(value, tuple) and isinstance(names, tuple) and len(names) == len(value):
        return [clean_named(str(name), item, budget, depth + 1) for name, item in zip(names, value, strict=True)]
    if is_secret_pair(value) and value[1] is not None and not isinstance(value[1], bool):
        return [clean(value[0], budget, depth + 1), MASK]
    items: list[Any] = []
    for item in value:
        if budget.items <= 0:
            items.append(f"…[{len(value)} items]")
            break
        budget.items -= 1
        items.append(clean(item, budget, depth + 1))
    return items


class _Busy(threading.local):
    is_showing = False


_busy = _Busy()


def _shown(value: Any) -> str:
    if _busy.is_showing:  # a `__repr__` that logs the very value would never end
        return f"<{type(value).__name__}>"
    _busy.is_showing = True
    try:
        return repr(value)
    finally:
        _busy.is_showing = False
