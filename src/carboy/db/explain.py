"""Errors of connecting: ours, and SQLAlchemy's at the same time, so that either is caught by its own name."""

from typing import Any

from carboy.errors import Refused, Unreachable, UpstreamError
from carboy.extras import extra

with extra("db"):
    from sqlalchemy.exc import OperationalError

__all__ = ["DatabaseRefused", "DatabaseUnreachable"]


class _Both(UpstreamError, OperationalError):
    """What both kinds share.

    Attributes:
        orig: what the driver raised last.
    """

    def __init__(self, what: str, why: str, hint: str, orig: BaseException | None = None) -> None:
        OperationalError.__init__(self, None, None, orig or Exception(why))
        self.what: str = what
        self.why: str = why
        self.hint: str = hint
        self.args: tuple[Any, ...] = (what, why, hint)

    def __str__(self) -> str:
        return UpstreamError.__str__(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, self.why, self.hint)


class DatabaseRefused(_Both, Refused):
    """The database refused every login that there is, or its certificate is not to be trusted."""


class DatabaseUnreachable(_Both, Unreachable):
    """The database did not answer for as long as a connect may take."""
