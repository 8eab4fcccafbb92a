"""Errors of the database that are both Carboy's and SQLAlchemy's, so that callers can catch either."""

from typing import Any

from carboy.errors import Missing, Refused, Unreachable, UpstreamError
from carboy.extras import extra

with extra("db"):
    from sqlalchemy.exc import OperationalError


class _Both(UpstreamError, OperationalError):
    """An `UpstreamError` that is an `OperationalError`.

    Attributes:
        orig: the driver's last exception.
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
    """The database refused every login, or its certificate is not trusted."""


class DatabaseUnreachable(_Both, Unreachable):
    """The database did not answer for as long as a connect may take."""


class TablesMissing(_Both, Missing):
    """Carboy's own tables are not in the database."""

    is_outage: bool = False
