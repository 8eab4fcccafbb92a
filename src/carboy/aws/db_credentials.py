"""Database credentials: an RDS secret that rotates, or tokens of RDS IAM authentication.

Both classes satisfy the protocol `carboy.db.Credentials`.
"""

import re
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from carboy.aws.batching import Client
from carboy.aws.secrets import PENDING, SecretCache, SecretValue
from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import CarboyError, ConfigurationError
from carboy.redact import register_secret

_TOKEN_S = 600.0  # a token is good for 15 minutes


@dataclass(frozen=True, slots=True)
class DatabaseLogin:
    """User, password and address of a database.

    Attributes:
        version: differs from that of the login before and after.
        source: where it is from, for messages.
        engine: as RDS calls it, such as `mariadb`; empty where unknown.
    """

    version: str
    user: str
    password: str = field(repr=False)
    source: str = ""
    engine: str = ""
    host: str | None = None
    port: int | None = None
    database: str | None = None


class SecretLogins:
    """Logins from an RDS secret: `username`, `password`, `host`, `port`, `dbname`, `engine`.

    Args:
        secrets: the cache to read from.
        name: the secret's name, or a function that returns it: a setting may change.
    """

    def __init__(self, secrets: SecretCache, name: Callable[[], str] | str) -> None:
        self._secrets = secrets
        self._name: Callable[[], str] = (lambda: name) if isinstance(name, str) else name

    def newest(self) -> DatabaseLogin:
        """Return the cached current login.

        Raises:
            UpstreamError: it could not be fetched.
            ConfigurationError: the secret does not have the format of RDS.
        """
        return _login(self._secrets.get(self._name()))

    def refreshed(self, refused: Collection[str], timeout_s: float) -> DatabaseLogin:
        """Return the current login, fetched again where the cached one is among the refused versions.

        Raises:
            UpstreamError: it could not be fetched.
        """
        return _login(self._secrets.refresh(self._name(), unless=refused, timeout_s=timeout_s))

    def pending(self, timeout_s: float) -> DatabaseLogin | None:
        """Return the login that a rotation is about to make current; None where it cannot be read."""
        try:
            return _login(self._secrets.refresh(self._name(), stage=PENDING, timeout_s=timeout_s, even_if_recent=False))
        except CarboyError:
            return None  # missing, refused or unavailable: the current one is used


class IamLogins:
    """Logins with tokens of RDS IAM authentication, signed locally with the role's own credentials.

    Args:
        address: returns host, port and user; a setting may change.
        sign: makes a token for them; by default boto3's `generate_db_auth_token`.
        min_interval_s: the least time between two tokens after a refusal.
        clock: measures the age of a token.
    """

    def __init__(
        self,
        address: Callable[[], tuple[str, int, str]],
        *,
        sign: Callable[[str, int, str], str] | None = None,
        min_interval_s: float = 5.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._address, self._sign = address, sign or make_token
        self._min_interval_s, self._clock = min_interval_s, clock
        self._lock = threading.Lock()
        self._cached: tuple[tuple[str, int, str], DatabaseLogin, float] | None = None
        self._count = 0

    def newest(self) -> DatabaseLogin:
        """Return a login whose token is good for five minutes at least.

        Raises:
            UpstreamError: the role has no credentials.
        """
        return self._get(max_age_s=_TOKEN_S)

    def refreshed(self, refused: Collection[str], timeout_s: float) -> DatabaseLogin:
        """Return a login with a new token where the cached one was refused."""
        is_refused = self._cached is not None and self._cached[1].version in refused
        return self._get(max_age_s=self._min_interval_s if is_refused else _TOKEN_S)

    def pending(self, timeout_s: float) -> None:
        """Return nothing: tokens do not rotate."""

    def _get(self, max_age_s: float) -> DatabaseLogin:
        address = self._address()
        with self._lock:
            now_s = self._clock.monotonic_s()
            if self._cached is None or self._cached[0] != address or now_s - self._cached[2] >= max_age_s:
                token = self._sign(*address)
                register_secret(token)
                self._count += 1
                login = DatabaseLogin(f"token {self._count}", address[2], token, "RDS IAM authentication")
                self._cached = (address, login, now_s)
            return self._cached[1]


def make_token(host: str, port: int, user: str) -> str:
    """Return a token of RDS IAM authentication, good for 15 minutes, made from the role's credentials."""
    token: str = Client("rds").call("generate_db_auth_token", DBHostname=host, Port=port, DBUsername=user)
    return token


_HOST = re.compile(r"[^\s/@:]+|\[?[0-9A-Fa-f:.]+\]?(?:%\w+)?")


def _login(secret: SecretValue) -> DatabaseLogin:
    def part(name: str) -> Any:
        return secret.get(name) or None

    user, password = part("username"), secret.get("password")
    if type(password) is int:  # digits that were written without quotes
        password = str(password)
    port, host = str(part("port") or ""), part("host")
    if not user or not isinstance(password, str):
        why = "it is not a JSON object with `username` and `password`, both text"
    elif port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        why = "its `port` is not a number from 1 to 65535"
    elif host is not None and not (isinstance(host, str) and _HOST.fullmatch(host)):
        why = "its `host` is not a host name: a port, a scheme or a blank do not belong there"
    else:
        why = ""
    if why or not isinstance(password, str):
        raise ConfigurationError(
            f"the secret `{secret.name}` cannot be used for a database",
            why,
            "see the format of RDS secrets, or correct DB_SECRET_NAME",
        )
    return DatabaseLogin(
        version=secret.version,
        user=str(user),
        password=password,
        source=f"the secret `{secret.name}`",
        engine=str(part("engine") or ""),
        host=host,
        port=int(port) if port else None,
        database=part("dbname"),
    )
