"""The one tree of errors: what happened, why, and what to do.

Classes are split by what a caller would do differently. No message holds a secret or a raw setting value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = [
    "CarboyError",
    "ConfigurationError",
    "Degraded",
    "Fault",
    "InvalidInput",
    "Missing",
    "MissingExtra",
    "Refused",
    "Throttled",
    "Unreachable",
    "UpstreamError",
    "UsageError",
]


class CarboyError(Exception):
    """Base of every error raised here on purpose; its text never holds a secret."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, why: str, hint: str) -> None:
        super().__init__(what, why, hint)  # all three in args: errors survive pickling
        self.what: str = what
        self.why: str = why
        self.hint: str = hint
        if hint:
            self.add_note(f"hint: {hint}")  # shown below the error where it is not caught, in a script or a notebook

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


class UsageError(CarboyError):
    """A command or a function was called in a way that cannot mean anything."""

    exit_code = 2


class MissingExtra(CarboyError):
    """A library of an optional part is not installed; the hint is the command that installs it."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an input, and where.

    Attributes:
        pointer: the place: a JSON pointer (RFC 6901) in a body, or the name of a setting or parameter.
        detail: what is wrong there, in words for the person who sent it.
    """

    pointer: str
    detail: str


class ConfigurationError(CarboyError):
    """The configuration is wrong; `faults` lists every bad setting at once."""

    exit_code = 3

    def __init__(self, what: str, why: str, hint: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(what, why, hint)
        self.faults: tuple[Fault, ...] = tuple(faults)
        self.args: tuple[Any, ...] = (what, why, hint, self.faults)


class InvalidInput(CarboyError):
    """Input was read but is not what it must be; `faults` lists all that is wrong with it."""

    exit_code = 2

    def __init__(self, what: str, why: str, hint: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(what, why, hint)
        self.faults: tuple[Fault, ...] = tuple(faults)
        self.args: tuple[Any, ...] = (what, why, hint, self.faults)


class Degraded(CarboyError):
    """A part does what is asked of it, but not as well as it should; found by a check."""

    exit_code = 4


class UpstreamError(CarboyError):
    """A service that we call did not do what was asked.

    Attributes:
        is_outage: whether it may pass by itself: a request is answered 503 then, otherwise 500.
    """

    exit_code = 4
    is_outage: bool = True


class Refused(UpstreamError):
    """The upstream knows us or what we ask for, and says no: permissions or credentials must change."""


class Missing(UpstreamError):
    """What was asked for does not exist there."""


class Throttled(UpstreamError):
    """The upstream asks us to come back later.

    Attributes:
        retry_after_s: how long it asked us to wait; 0 when it did not say.
    """

    def __init__(self, what: str, why: str, hint: str, retry_after_s: float = 0.0) -> None:
        super().__init__(what, why, hint)
        self.retry_after_s = retry_after_s
        self.args: tuple[Any, ...] = (what, why, hint, retry_after_s)


class Unreachable(UpstreamError):
    """No answer, or none that can be read: try again later."""
