"""Protocols of a credentials provider for the database."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Address", "Credentials", "Login", "Where"]


class Login(Protocol):
    """A user and a password, and what else the vault says.

    Attributes:
        version: tells this login from the one before and the one after.
        user: the name.
        password: never shown.
        source: where it is from, for people.
        engine: the kind of database, as RDS calls it; empty where it is not said.
        host: None where it is not said; likewise `port` and `database`.
    """

    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def user(self) -> str: ...  # noqa: D102
    @property
    def password(self) -> str: ...  # noqa: D102
    @property
    def source(self) -> str: ...  # noqa: D102
    @property
    def engine(self) -> str: ...  # noqa: D102
    @property
    def host(self) -> str | None: ...  # noqa: D102
    @property
    def port(self) -> int | None: ...  # noqa: D102
    @property
    def database(self) -> str | None: ...  # noqa: D102


class Credentials(Protocol):
    """Gives logins, and newer ones when the database refuses."""

    def newest(self) -> Login:
        """Return the current login, as it is kept: asked for at every connect, so it must be quick."""
        ...

    def refreshed(self, refused: Collection[str], timeout_s: float) -> Login:
        """Return the current login; fetch it again where the cached one is among the refused versions."""
        ...

    def pending(self, timeout_s: float) -> Login | None:
        """Return the pending login of a rotation; None if there is no such version."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is, as far as settings say; None leaves it to the login or the URL."""

    host: str | None = None
    port: int | None = None
    database: str | None = None


Where = Callable[[], Address]
"""Says the address at every connect: settings may change while the process runs."""
