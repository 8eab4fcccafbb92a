"""Defaults of calls: timeouts, and how often a call is tried."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from carboy.errors import UsageError

if TYPE_CHECKING:
    from urllib3 import Retry

CONNECT_S, READ_S, BUDGET_S = 5.0, 30.0, 60.0

Seconds: TypeAlias = float | None
Given: TypeAlias = "int | Mapping[str, Any] | Retry | None"


class InvalidDefault(UsageError, ValueError):
    """A default was given a value that cannot mean anything."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often something is tried again.

    Attributes:
        arguments: of urllib3's `Retry`.
        budget_s: the time for a call, with its waits and redirects; nothing is tried again that would exceed it.
    """

    arguments: Mapping[str, Any] = field(
        default_factory=lambda: {
            "total": 2,
            "backoff_factor": 0.5,
            "backoff_jitter": 0.5,
            "status_forcelist": (429, 503),
            "raise_on_status": False,  # without `retries` of the caller, the last response is returned
        }
    )
    budget_s: float = BUDGET_S


@dataclass(slots=True)
class _Defaults:
    connect_s: float = CONNECT_S
    read_s: float = READ_S
    retries: Retries = field(default_factory=Retries)


_defaults = _Defaults()


def set_default_timeout(timeout: Seconds = None, connect_timeout: Seconds = None, read_timeout: Seconds = None) -> None:
    """Set the default timeout of calls in the whole process; without arguments 5 s and 30 s.

    Args:
        timeout: seconds to connect, and between two reads.
        connect_timeout: seconds to connect; stronger than `timeout`.
        read_timeout: seconds between two reads; stronger than `timeout`.

    Raises:
        InvalidDefault: it is no number above 0.
    """
    for name, value in {"timeout": timeout, "connect_timeout": connect_timeout, "read_timeout": read_timeout}.items():
        if value is not None and not (_is_number(value) and 0 < value < math.inf):
            raise _wrong(name, "it is a number of seconds above 0")
    _defaults.connect_s = _first(connect_timeout, timeout, CONNECT_S)
    _defaults.read_s = _first(read_timeout, timeout, READ_S)


def set_default_retries(
    total: int | None = 5,
    *,
    backoff_factor: float = 1.0,
    status_forcelist: Collection[int] | None = (429, 503),
    budget_s: float = BUDGET_S,
    **more: Any,
) -> None:
    """Set the default retries of calls in the whole process.

    Args:
        total: repeats after the first try.
        backoff_factor: the waits are this many seconds times 2, 4, 8, …; the first repeat comes at once.
        status_forcelist: the statuses that are tried again.
        budget_s: the time for a call, with its waits and redirects.
        more: further arguments of urllib3's `Retry`, such as `allowed_methods`.

    Raises:
        InvalidDefault: an argument is not of its kind.
        TypeError: there is no such argument.
    """
    if total is not None and total is not False and not (type(total) is int and total >= 0):
        raise _wrong("total", "it is a whole number from 0")
    if not (_is_number(backoff_factor) and backoff_factor >= 0):
        raise _wrong("backoff_factor", "it is a number of seconds from 0")
    if not (_is_number(budget_s) and budget_s > 0):
        raise _wrong("budget_s", "it is a number of seconds above 0")
    statuses: Any = () if status_forcelist is None else status_forcelist
    if isinstance(statuses, str) or not isinstance(statuses, Collection) or not all(map(_is_status, statuses)):
        raise _wrong("status_forcelist", "it is a list of statuses, 100 to 599")
    arguments = {"total": total, "backoff_factor": backoff_factor, "status_forcelist": tuple(statuses), **more}
    _build(arguments)
    _defaults.retries = Retries(arguments, budget_s)


def default_retries() -> Retries:
    """Return the default retries of calls."""
    return _defaults.retries


def make_retry(retries: Given) -> "Retry":
    """Return urllib3's `Retry` for what a caller gave.

    Args:
        retries: None for the default; a number of repeats, which changes nothing else of the default; the arguments
            of a `Retry`; or one.

    Raises:
        InvalidDefault: it is anything else.
    """
    if retries is None:
        return _build(_defaults.retries.arguments)
    if isinstance(retries, int):
        arguments = {**_defaults.retries.arguments, "total": retries}
        if _defaults.retries == Retries():  # ours, for callers who ask for nothing; this one does
            arguments.pop("raise_on_status")
        return _build(arguments)
    if isinstance(retries, Mapping):
        return _build(retries)
    if not hasattr(retries, "increment"):
        why = f"it is a `{type(retries).__name__}`, neither a number of repeats nor the arguments of urllib3's `Retry`"
        raise InvalidDefault("`retries` cannot be used", why, "correct the argument")
    return retries


def fill_timeout(*given: Any) -> Any:
    """Return a complete timeout: the first given value counts, the default last.

    Args:
        given: each as in requests: seconds, a pair of them, urllib3's `Timeout`, or None.
    """
    connect_s = read_s = None
    for timeout in given:
        if isinstance(timeout, tuple):
            one, other = timeout
        elif timeout is None or _is_number(timeout):
            one = other = timeout
        else:
            return timeout  # urllib3's own, which has more fields
        connect_s = one if connect_s is None else connect_s
        read_s = other if read_s is None else read_s
    return _first(connect_s, _defaults.connect_s), _first(read_s, _defaults.read_s)


def _build(arguments: Mapping[str, Any]) -> "Retry":
    from urllib3 import Retry

    return Retry(**arguments)


def check_budget(budget_s: float | None) -> None:
    """Check that a call's own budget is a number; one that is spent already fails where the call begins.

    Raises:
        InvalidDefault: it is not a number.
    """
    if budget_s is not None and (not _is_number(budget_s) or math.isnan(budget_s)):
        raise InvalidDefault("`budget_s` cannot be used", "it is a number of seconds", "correct the argument")


def _wrong(name: str, why: str) -> InvalidDefault:
    return InvalidDefault(f"`{name}` cannot be the default", why, "correct the argument")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_status(value: object) -> bool:
    return isinstance(value, int) and 100 <= value <= 599


def _first(*values: Seconds) -> float:
    return next(value for value in values if value is not None)
