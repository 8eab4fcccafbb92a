"""The settings of the database."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from carboy.config import Derived, Profile, setting
from carboy.errors import Fault


def _sqlite(get: Callable[[str], Any]) -> str:
    return f"sqlite:///{get('INSTANCE_PATH')}/carboy.db"


def _place_sqlite(url: str, folder: Path) -> str:
    found = re.fullmatch(r"(sqlite(?:\+\w+)?:///)(?!/|:memory:|file:)([^?]+)(\?.*)?", url)
    return f"{found[1]}{folder / found[2]}{found[3] or ''}" if found else url


def _fault_of_url(url: str) -> str | None:
    """Return what is wrong with a database's URL, without a word of it: it may hold a password."""
    if url != url.strip():
        return "there is white space before or after it"
    found = re.match(r"(\w+)(?:\+(\w+))?://", url)
    if found is None:
        return "it is not a valid URL, such as postgresql://user:password@host/name or sqlite:///file.db"
    if found[1] not in _KINDS:
        return f"`{found[1]}` is not one of {', '.join(_KINDS)}"
    if found[2] is not None and not _is_installed(found[2]):
        return f"its driver `{found[2]}` is not installed; without one, `{found[1]}://…`, Carboy's own is taken"
    login = _LOGIN.match(url, found.end())
    host = re.split(r"[/?]", url[login.end() if login else found.end() :], maxsplit=1)[0]
    if "@" in host or (login and "@" in login[0][:-1]):
        return "an `@` in its user or password must be written as %40"
    hosts = host.split(",") if found[1].startswith("postgres") else [host]
    return next((wrong for each in hosts if (wrong := _fault_of_host(each))), None)


def _fault_of_host(host: str) -> str | None:
    named = re.fullmatch(r"(?:\[[^\]]*\]|[^:,]*)(?::(\d*))?", host, re.ASCII)
    if named is None and host.count(":") > 1:
        return "an IPv6 address is written in brackets, such as [::1]"
    if named is None:
        return "several hosts are for PostgreSQL alone" if "," in host else "its port is not a number"
    return "its port is not from 1 to 65535" if named[1] and not 1 <= int(named[1][:6]) <= _MAX_PORT else None


def _is_installed(driver: str) -> bool:
    """Return whether a driver can be imported; one whose module is not known here is left to SQLAlchemy."""
    return find_spec(_MODULES.get(driver, "sqlalchemy")) is not None


_MODULES = {
    **{
        name: name
        for name in ("psycopg", "psycopg2", "pg8000", "asyncpg", "pymysql", "asyncmy", "aiomysql", "aiosqlite")
    },
    "mysqldb": "MySQLdb",
    "mysqlconnector": "mysql",
    "mariadbconnector": "mariadb",
}
_HOST = re.compile(r"/.+|[^\s/@:]+|\[?[0-9A-Fa-f.]*(?::[0-9A-Fa-f.]*){2,}(?:%\w+)?\]?")  # or a socket's folder
_LOGIN = re.compile(r"[^:/]*(?::[^@]*)?@")  # as SQLAlchemy reads it: a password may hold `/`, `?` and `#`
_MAX_PORT = 65_535
_KINDS = ("sqlite", "postgresql", "postgres", "mysql", "mariadb")


@dataclass(frozen=True, slots=True)
class DbSettings:
    """The database, its login, and the limits of connections and writes."""

    database_url: str = setting(
        Derived(_sqlite, "sqlite:///<instance>/carboy.db"),
        "the database, as a SQLAlchemy URL",
        secret=True,
        place=_place_sqlite,
    )
    db_secret_name: str | None = setting(
        None, "the RDS secret in Secrets Manager that holds the login; it may rotate while the service runs"
    )
    db_host: str | None = setting(None, "the database's host; overrides the secret and the URL")
    db_port: int | None = setting(
        None, "the database's port; overrides the secret and the URL", least=1, most=_MAX_PORT
    )
    db_name: str | None = setting(None, "the database's name; overrides the secret and the URL")
    db_auth: Literal["password", "iam"] = setting("password", "`iam`: log in with tokens of RDS IAM authentication")
    db_tls_ca: Path | None = setting(
        None, "PEM file of the certificate authorities that verify the server; RDS hosts are always verified"
    )
    db_heal_s: float = setting(10.0, "how long connecting waits for a working login during a rotation", unit="s")
    db_connect_budget_s: float = setting(
        30.0, "how long connecting is retried while the server is unavailable", unit="s"
    )
    db_request_budget_s: float = setting(3.0, "the same for a request, or a write that requests wait for", unit="s")
    db_probe_s: float = setting(
        1.0, "how often one request tests an unavailable server while the others fail fast", unit="s"
    )
    db_connect_timeout_s: float = setting(5.0, "how long one attempt to connect may take", unit="s")
    db_silence_s: float = setting(
        20.0, "how long a server may acknowledge no packet before its connection is closed", unit="s"
    )
    db_idle_write_s: float = setting(
        60.0, "how long a write may be idle, with rows locked, before the server ends it; 0 for no limit", unit="s"
    )
    db_pool_size: int = setting(10, "connections kept open per process", least=1)
    db_pool_overflow: int = setting(20, "further connections opened under load", least=0)
    db_leaders: int = setting(1, "concurrent group commits; always 1 with SQLite", least=1)
    db_busy_s: float = setting(5.0, "how long a write waits for another process's lock on SQLite", unit="s")
    sqlalchemy_engine_options: dict[str, Any] = setting(
        {}, "options that are passed to SQLAlchemy's create_engine unchanged"
    )

    @property
    def is_embedded(self) -> bool:
        """Whether the database is a file of this service's own."""
        return self.database_url.startswith("sqlite") and not self.db_secret_name

    def faults(self, _profile: Profile) -> Iterator[Fault]:
        """Yield the faults of these settings."""
        wrong = _fault_of_url(self.database_url)
        if wrong is not None:
            yield Fault("DATABASE_URL", wrong)
        if self.db_secret_name == "":
            yield Fault("DB_SECRET_NAME", "it cannot be empty")
        if self.db_auth == "iam" and self.db_secret_name:
            yield Fault("DB_AUTH", "with `iam` there is no password: leave DB_SECRET_NAME out, the user is in the URL")
        if self.db_auth == "iam" and self.database_url.startswith("sqlite"):
            yield Fault("DB_AUTH", "with `iam` DATABASE_URL must name the user: mysql://user@host/name")
        if self.db_tls_ca is not None and not self.db_tls_ca.is_file():
            yield Fault("DB_TLS_CA", "there is no such file")
        if self.db_host is not None and not _HOST.fullmatch(self.db_host):
            yield Fault("DB_HOST", "it must be a host's name or address alone, without scheme, port or blanks")
