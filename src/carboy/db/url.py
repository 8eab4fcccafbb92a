"""Choose the driver of a database's URL, and build the URL where only a secret says what kind it is."""

import re
from typing import TYPE_CHECKING

from carboy.db.credentials import Credentials
from carboy.db.settings import DbSettings
from carboy.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import URL

_DRIVERS = {
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",  # SQLAlchemy detects MariaDB by itself
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}
_SEVERAL_HOSTS = re.compile(r"([^:/@]*(?::[^@]*)?@)?([^/?@]*,[^/?@]*)(/[^?]*)?(?:\?(.*))?")
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(?::(\d*))?")
_BY_PORT = {3306: "mysql", 5432: "postgresql"}


def choose_driver(url: str) -> str:
    """Return a URL with the driver that Carboy brings, where it names none: `postgres://` means psycopg.

    Several hosts, as libpq writes them (`postgresql://one:5432,two:5432/name`), become those of SQLAlchemy's form.

    Sources: PostgreSQL, "Connection URIs"; SQLAlchemy, "Specifying multiple fallback hosts".
    """
    scheme, colon, rest = url.partition("://")
    several = _SEVERAL_HOSTS.fullmatch(rest) if scheme.startswith("postgres") else None
    if several:
        login, hosts, database, query = several.groups(default="")
        pairs = [_HOST.fullmatch(host) for host in hosts.split(",")]
        listed = ",".join(pair[1].strip("[]") for pair in pairs if pair)
        ports = ",".join(pair[2] or "5432" for pair in pairs if pair)
        rest = f"{login}{database or '/'}?host={listed}&port={ports}{'&' if query else ''}{query}"
    return f"{_DRIVERS.get(scheme, scheme)}{colon}{rest}"


def url_of(settings: DbSettings, credentials: Credentials | None) -> "str | URL":
    """Return the URL for `create_engine`: the one given, else what the secret says, without its user and password.

    Raises:
        ConfigurationError: a login is configured without credentials, or it does not name the kind of database.
        UpstreamError: the secret could not be fetched.
    """
    if credentials is None and (settings.db_secret_name or settings.db_auth == "iam"):
        raise ConfigurationError(
            "the database has no credentials",
            f"`{'DB_SECRET_NAME' if settings.db_secret_name else 'DB_AUTH'}` is set, and no `credentials` were given",
            "give `credentials`, such as `carboy.aws.SecretLogins`; `create_app` does so",
        )
    if credentials is None or not settings.database_url.startswith("sqlite"):
        return choose_driver(settings.database_url)
    from sqlalchemy import URL

    login = credentials.newest()
    kind = login.engine.removeprefix("aurora-") or _BY_PORT.get(settings.db_port or login.port or 0, "")
    driver = _DRIVERS.get("mysql" if kind == "aurora" else kind)
    if driver is None:
        raise ConfigurationError(
            f"{login.source} does not say which database it is for",
            "its `engine` is not mysql, mariadb or postgres",
            "correct the secret, or give DATABASE_URL without a password, such as mysql://host/name",
        )
    return URL.create(
        driver,
        host=settings.db_host or login.host,
        port=settings.db_port or login.port,
        database=settings.db_name or login.database,
    )


def endpoint_of(settings: DbSettings, host: str | None = None, port: int | None = None) -> tuple[str, int, str]:
    """Return host, port and user of a database, as tokens of RDS IAM authentication are made for them.

    Args:
        settings: of the database.
        host: overrides that of the URL.
        port: likewise.
    """
    from sqlalchemy import make_url

    url = make_url(choose_driver(settings.database_url))
    usual = 5432 if url.get_backend_name() == "postgresql" else 3306
    return host or url.host or "localhost", port or url.port or usual, url.username or ""
