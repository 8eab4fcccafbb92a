"""Protocols of a credentials provider for the database."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol


class Login(Protocol):
    """User, password and address of a database, as a vault returns them.

    Attributes:
        version: differs from that of the login before and after.
        user: the name.
        password: never shown.
        source: where it is from, for messages.
        engine: the kind of database, as RDS calls it; empty where unknown.
        host: None where unknown; likewise `port` and `database`.
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
    """A source of logins, and of newer ones after a refusal."""

    def newest(self) -> Login:
        """Return the cached current login; called at every connect, so it must be quick."""
        ...

    def refreshed(self, refused: Collection[str], timeout_s: float) -> Login:
        """Return the current login; fetch it again where the cached one is among the refused versions."""
        ...

    def pending(self, timeout_s: float) -> Login | None:
        """Return the pending login of a rotation; None without one."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a database in the settings; None leaves a part to the login or the URL."""

    host: str | None = None
    port: int | None = None
    database: str | None = None


Where = Callable[[], Address]
"""Returns the address at every connect: settings may change while the process runs."""
