"""Open connections for SQLAlchemy's pool: with the current login, verified, and with retries while the server restarts.

Attached to an engine by the event `do_connect`, so that pool, sessions and pandas work as they are.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from carboy.circuit_breaker import CircuitBreaker
from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.db.credentials import Address, Credentials, Login, Where
from carboy.db.disconnects import kind_of
from carboy.db.frozen_server import FrozenServer
from carboy.db.keepalive import libpq_keepalive, set_keepalive
from carboy.db.login_recovery import LoginRecovery, LoginRefused
from carboy.db.settings import DbSettings
from carboy.db.tls import Tls, bundle_hint
from carboy.db.watchdog import must_fail_fast, seconds_left, watch
from carboy.errors import CarboyError, ConfigurationError
from carboy.logs import BoundLogger, get_logger
from carboy.retry import Failure, GiveUp, Retry, next_step

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import Dialect

    from carboy.db.connection_errors import DatabaseRefused, DatabaseUnreachable

log: BoundLogger = get_logger(__name__)

_MOST = 0.8  # of a time: drivers round theirs


class Connector:
    """Opens connections to a database server.

    Args:
        settings: of the database.
        credentials: the vault; None where the URL has the login.
        where: returns the address that overrides those of the login and the URL.
        on_unavailable: called when the server does not answer: its address may have changed.
        probe_s: the least time between two tries of refused credentials.
        clock: the time.
    """

    def __init__(
        self,
        settings: DbSettings,
        credentials: Credentials | None = None,
        *,
        where: Where | None = None,
        on_unavailable: Callable[[], object] = lambda: None,
        probe_s: float = 5.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._settings, self._on_unavailable, self._clock = settings, on_unavailable, clock
        self._where = where or (lambda: Address(settings.db_host, settings.db_port, settings.db_name))
        self.tls: Tls = Tls(settings.db_tls_ca)
        self._recovery = (
            LoginRecovery(credentials, heal_s=settings.db_heal_s, probe_s=probe_s, clock=clock) if credentials else None
        )
        self.circuit: CircuitBreaker = CircuitBreaker(settings.db_probe_s, settings.db_request_budget_s, clock)
        self._last: tuple[Dialect, list[Any], dict[str, Any]] | None = None  # arguments of the last connection

    def describe_tls(self, engine: "Engine") -> str:
        """Return a description of the TLS of an engine's connections: version, verification, expiry of the CA.

        Raises:
            DBAPIError: the database does not answer.
        """
        query = "SHOW STATUS LIKE 'Ssl_version'"
        if engine.dialect.name == "postgresql":
            query = "SELECT pid, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        with engine.connect() as connection:
            row = connection.exec_driver_sql(query).first()
        version = row[1] if row is not None else None
        if not version:
            return "not encrypted"
        host = self._where().host or engine.url.host or ""
        if not self.tls.verifies(host):
            return f"{version}, not verified"
        ends_at = self.tls.ends_at
        return f"{version}, verified" + (f", its authorities until {ends_at:%Y-%m-%d}" if ends_at else "")

    def install(self, engine: "Engine") -> None:
        """Attach this connector to an engine: it opens and pings its connections."""
        from sqlalchemy import event

        event.listen(engine, "do_connect", self._do_connect)
        vars(engine.dialect)["do_ping"] = self._guarded(engine.dialect.do_ping)
        FrozenServer(self._settings.db_request_budget_s, self._probe, self.circuit.open).install(engine)

    def _probe(self, within_s: float) -> Exception | None:
        """Return the error of a server that does not answer a new connection in time; None where it does anything."""
        if self._last is None:
            return None
        dialect, arguments, named = self._last
        began_s = time.monotonic()
        try:
            self._connect(dialect, arguments, named, within_s).close()
        except dialect.loaded_dbapi.Error as error:
            return error if time.monotonic() - began_s >= within_s * _MOST else None
        except Exception:  # noqa: BLE001 (the credentials, or their vault: the server may be well)
            return None
        return None

    def _guarded(self, ping: Callable[[Any], bool]) -> Callable[[Any], bool]:
        """Return the pool's ping with a deadline, as a server that is frozen accepts a ping and never answers it."""

        def do_ping(connection: Any) -> bool:
            if not must_fail_fast():
                with watch(connection, self._settings.db_connect_budget_s):
                    return ping(connection)
            if self.circuit.error is not None:
                return False  # the pool then opens a new connection, which is where the circuit is probed
            with watch(connection, seconds_left(self._settings.db_request_budget_s)) as watched:
                try:
                    return ping(connection)
                except Exception as error:
                    if watched is not None and watched.has_fired:
                        self.circuit.open(error)
                    raise

        return do_ping

    def _do_connect(self, dialect: "Dialect", _record: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Connect, with retries while the server is unreachable, within the budget of the caller."""
        self._last = dialect, arguments, named
        fails_fast, settings, now_s = must_fail_fast(), self._settings, self._clock.monotonic_s
        budget_s = seconds_left(settings.db_request_budget_s) if fails_fast else settings.db_connect_budget_s
        state = self.circuit.ask() if fails_fast else "closed"
        if state == "open":
            why = "it did not a moment ago, and is asked again soon"
            raise self._unreachable(named, why, self.circuit.error)
        retry = Retry(attempts=1 if state == "probe" else 1_000_000, base_s=0.05, cap_s=2.0, total_s=budget_s)
        began_s, tries = now_s(), 0
        while True:
            tries, tried_s = tries + 1, now_s()
            left_s = budget_s - (tried_s - began_s)
            try:
                opened = self._connect(dialect, arguments, named, left_s if fails_fast else None)
            except TypeError as error:
                raise ConfigurationError(
                    "the database's URL has an option that its driver does not know", str(error), "see DATABASE_URL"
                ) from error
            except dialect.loaded_dbapi.Error as error:
                self._raise_unless_unavailable(dialect, named, error)
                took_s = now_s() - tried_s if fails_fast else 0.0  # a further try may take as long
                step = next_step(retry, tries, Failure(is_transient=True), now_s() - began_s + took_s)
                if fails_fast and state == "closed" and self.circuit.is_open:
                    step = GiveUp("another request has waited for the whole budget")
                if isinstance(step, GiveUp):
                    self.circuit.open(error)
                    why = (
                        f"{_message_of(error)}, {tries} {'try' if tries == 1 else 'tries'} in {now_s() - began_s:.1f} s"
                    )
                    raise self._unreachable(named, why, error) from error
                if tries == 1:
                    log.warning("database_unavailable", why=_message_of(error), retried_for_s=round(budget_s, 1))
                with suppress(CarboyError):
                    self._on_unavailable()
                self._clock.sleep(step.seconds)
            else:
                self.circuit.close()
                return opened

    def _raise_unless_unavailable(self, dialect: "Dialect", named: dict[str, Any], error: Exception) -> None:
        kind = kind_of(dialect.name, error)
        if kind == "certificate":
            raise self._untrusted(named, error) from error
        if kind != "unavailable":
            from carboy.db.connection_errors import DatabaseRefused

            hint = "see DATABASE_URL, DB_HOST and DB_NAME: host, database, options, and what the user may do"
            raise DatabaseRefused(
                f"the database at `{self._host(named)}` refused the connection", _message_of(error), hint, error
            ) from error

    def _connect(self, dialect: "Dialect", arguments: list[Any], named: dict[str, Any], left_s: float | None) -> Any:
        def connect(login: Login | None) -> Any:
            made = _open(dialect, arguments, self._named(dialect.name, named, login, left_s))
            if dialect.name != "postgresql":
                set_keepalive(getattr(made, "_sock", None), self._settings.db_silence_s)
            return made

        if self._recovery is None:
            return connect(None)

        def open_(login: Login) -> Any:
            try:
                return connect(login)
            except dialect.loaded_dbapi.Error as error:
                kind = kind_of(dialect.name, error)
                if kind not in {"refused", "unsure"}:
                    raise
                raise LoginRefused(login, error, is_sure=kind == "refused") from error

        try:
            return self._recovery.connect(open_)
        except LoginRefused as refusal:
            if not refusal.is_sure:
                raise refusal.cause from None
            raise self._refused(refusal) from refusal.cause

    def _named(self, dialect: str, given: dict[str, Any], login: Login | None, left_s: float | None) -> dict[str, Any]:
        """Return the driver's arguments: settings override the login and the URL; a try ends within `left_s`."""
        where = self._where()
        named = dict(given)
        found: dict[str, Any] = {
            "host": where.host or (login.host if login else None),
            "port": where.port or (login.port if login else None),
            "dbname" if dialect == "postgresql" else "database": where.database or (login.database if login else None),
        }
        if login is not None:
            found |= {"user": login.user}
            found |= {"password": login.password if dialect == "postgresql" else login.password.encode()}
        named |= {name: value for name, value in found.items() if value is not None}
        if dialect == "postgresql":
            named = libpq_keepalive(self._settings.db_silence_s) | named
        try_s = float(named.get("connect_timeout", self._settings.db_connect_timeout_s))
        try_s = max(0.1, try_s if left_s is None else min(try_s, left_s))
        named["connect_timeout"] = max(2, round(try_s)) if dialect == "postgresql" else try_s
        host = str(named.get("host") or "")
        if self._settings.db_auth == "iam" and not self.tls.verifies(host):
            raise ConfigurationError(
                "the database gets no token",
                f"`{host}` would not be verified, and a token is sent as it is",
                bundle_hint(host),
            )
        return named | self.tls.arguments(dialect, host, named)

    def _refused(self, refusal: LoginRefused) -> "DatabaseRefused":
        from carboy.db.connection_errors import DatabaseRefused

        login = refusal.login
        return DatabaseRefused(
            f"the database refused the login of `{login.user}`",
            f"{_message_of(refusal.cause)}; {login.source}, version {login.version[:8]}, and no other version works",
            f"see whether the last rotation of {login.source} is complete, and correct its password",
            refusal.cause,
        )

    def _host(self, named: dict[str, Any]) -> str:
        return str(self._where().host or named.get("host") or "its host")

    def _unreachable(self, named: dict[str, Any], why: str, error: Exception | None) -> "DatabaseUnreachable":
        from carboy.db.connection_errors import DatabaseUnreachable

        return DatabaseUnreachable(
            f"the database at `{self._host(named)}` did not answer",
            why,
            "see whether the server is up, and DB_HOST, DB_PORT, security groups",
            error,
        )

    def _untrusted(self, named: dict[str, Any], error: Exception) -> "DatabaseRefused":
        from carboy.db.connection_errors import DatabaseRefused

        host = self._host(named)
        return DatabaseRefused(
            f"the certificate of the database at `{host}` is not trusted", _message_of(error), bundle_hint(host), error
        )


def _open(dialect: "Dialect", arguments: list[Any], named: dict[str, Any]) -> Any:
    """Connect within the driver's timeout; PyMySQL has none for a server that accepts and sends nothing."""
    if dialect.driver != "pymysql" or named.get("read_timeout"):
        return dialect.connect(*arguments, **named)
    opened = dialect.connect(*arguments, **{**named, "read_timeout": named["connect_timeout"]})
    opened._read_timeout = None  # a query may take its time
    return opened


def _message_of(error: BaseException) -> str:
    """Return a driver's message in one line; it names users and hosts, never a password."""
    text = error.args[1] if len(error.args) > 1 and isinstance(error.args[1], str) else str(error)
    code = f" ({error.args[0]})" if error.args and isinstance(error.args[0], int) else ""
    return " ".join(text.split()) + code
