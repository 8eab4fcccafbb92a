"""Errors in the database's settings are reported with all others, before anything connects."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from carboy.config import load, read_sources
from carboy.db import DbSettings, choose_driver, engine, upgrade
from carboy.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "not a valid URL"),
        ("hunter2", "not a valid URL"),
        ("mysql:/app:hunter2@host/orders", "not a valid URL"),
        ("oracle://app:hunter2@host/orders", "`oracle` is not one of sqlite, postgresql"),
        ("postgresql://app:hunter2@host:port/orders", "its port is not a number"),
        ("postgresql://app:hunter2@host:65536/orders", "its port is not from 1 to 65535"),
        ("mysql://app:hunter2@[::1]:0/orders", "its port is not from 1 to 65535"),
        ("mysql://app:hunter2@one,two/orders", "several hosts are for PostgreSQL alone"),
        ("postgresql://app:hunter2@one:5432,two:port/orders", "its port is not a number"),
        ("postgresql://app:hunter2@one:0,two/orders", "its port is not from 1 to 65535"),
        ("mysql://app:hunter2@host/orders\n", "there is white space before or after it"),
        ("postgresql+asyncpg://app:hunter2@host/orders", "its driver `asyncpg` is not installed"),
        ("mysql+mysqldb://app:hunter2@host/orders", "its driver `mysqldb` is not installed"),
        ("mysql://app:hunter2@::1/orders", "an IPv6 address is written in brackets"),
        ("mysql://app:hunter2@fe80::1/orders", "an IPv6 address is written in brackets"),
        ("mysql://app:hunter2/@x@host/orders", "an `@` in its user or password must be written as %40"),
    ],
)
def test_an_invalid_url_is_a_fault_and_is_not_repeated(url: str, why: str) -> None:
    """Its password would be in the message."""
    with pytest.raises(ConfigurationError) as refused:
        load([DbSettings], read_sources(environ={"DATABASE_URL": url}))

    [fault] = refused.value.faults
    assert fault.pointer == "DATABASE_URL"
    assert why in fault.detail
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:////data/a:b.db",
        "postgres://app:p%40ss:word@db.internal:5432/orders?options=-c%20a:b",
        "postgresql+psycopg:///orders?host=/run/postgresql",
        "mysql://app@[::1]:3306/orders",
        "mariadb://db.internal",
        "postgresql://app:secret@one.internal:5432,two.internal:5433/orders?target_session_attrs=read-write",
        "postgres://[::1]:5432,two.internal/orders",
        "mysql+aws_wrapper_mysqlconnector://db.internal/orders",
        "mysql://app:a/b@db.internal/orders",
        "mysql://app:a?b#c:d@db.internal:3306/orders",
        "postgresql://app:a/b?c@one:5432,two:5433/orders",
        "mysql://db.internal/orders?program_name=a@b",
    ],
)
def test_urls_of_the_databases_that_are_known_are_taken(url: str) -> None:
    """With drivers, sockets, addresses and options of all kinds."""
    assert load([DbSettings], read_sources(environ={"DATABASE_URL": url})).part(DbSettings).database_url == url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://u:first@REST@host/db"),
        ("DB_HOST", "db.example.org:3306"),
        ("DB_HOST", "mysql://db.example.org"),
        ("DB_HOST", "db example"),
        ("DB_PORT", "99999"),
        ("DB_PORT", "0"),
        ("DB_POOL_SIZE", "-1"),
        ("DB_POOL_SIZE", "0"),
        ("DB_POOL_OVERFLOW", "-1"),
        ("DB_HEAL_S", "nan"),
        ("DB_REQUEST_BUDGET_S", "inf"),
        ("DB_BUSY_S", "-1"),
    ],
)
def test_a_value_that_cannot_be_is_a_fault_of_its_setting(tmp_path: Path, name: str, value: str) -> None:
    """At the start, and without a word of a password."""
    with pytest.raises(ConfigurationError) as caught:
        load([DbSettings], read_sources(folder=tmp_path, environ={name: value}))
    assert [fault.pointer for fault in caught.value.faults] == [name]
    assert "REST" not in str(caught.value.faults)


@pytest.mark.parametrize("host", ["db", "db.example.org", "10.0.0.1", "::1", "fe80::1%eth0", "/run/postgresql"])
def test_a_host_is_a_name_or_an_address(tmp_path: Path, host: str) -> None:
    """Of either version."""
    found = load([DbSettings], read_sources(folder=tmp_path, environ={"DB_HOST": host})).part(DbSettings)
    assert found.db_host == host


def test_a_folder_that_cannot_be_made_is_named_with_the_cure(tmp_path: Path) -> None:
    """The message is not that of the application's own code."""
    (tmp_path / "file").write_text("")
    engine = sa.create_engine(f"sqlite:///{tmp_path}/file/instance/carboy.db")

    with pytest.raises(
        ConfigurationError, match=r"folder `.*instance` of the SQLite database cannot be made"
    ) as caught:
        upgrade(engine)

    assert "INSTANCE_PATH" in caught.value.hint


def test_a_folder_that_cannot_be_written_is_named_with_the_cure(tmp_path: Path) -> None:
    """It exists, and another user's: `/proc/self` is not even root's to write; by a connection and by a migration."""
    url = "sqlite:////proc/self/carboy.db"
    settings = load([DbSettings], read_sources(folder=tmp_path, environ={"DATABASE_URL": url})).part(DbSettings)

    why = "folder `/proc/self` of the SQLite database cannot be written"

    for use in (lambda: engine(settings).connect(), lambda: upgrade(engine(settings))):
        with pytest.raises(ConfigurationError, match=why) as caught:
            use()

        assert "INSTANCE_PATH" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "hosts", "ports"),
    [
        ("postgresql://app:p%40ss@one:5432,two:5433/orders?target_session_attrs=any", "one,two", "5432,5433"),
        ("postgres://app:p%40ss@one,two/orders?target_session_attrs=any", "one,two", "5432,5432"),
        ("postgresql+psycopg://app:p%40ss@one:5432,[::1]:5433/orders?target_session_attrs=any", "one,::1", "5432,5433"),
    ],
)
def test_several_hosts_of_postgresql_are_given_to_its_driver(url: str, hosts: str, ports: str) -> None:
    """As libpq's URL has them; the first that suits is taken by the driver."""
    made = sa.make_url(choose_driver(url))

    arguments = made.get_dialect()().create_connect_args(made)[1]

    assert made.password == "p@ss"
    assert made.database == "orders"
    assert (arguments["host"], arguments["port"]) == (hosts, ports)
    assert arguments["target_session_attrs"] == "any"


def test_a_service_link_of_kubernetes_is_no_port() -> None:
    """A service `db` sets it in every pod of its namespace; what a person writes is still checked."""
    linked = load([DbSettings], read_sources(environ={"DB_PORT": "tcp://10.0.0.1:5432"}))

    assert linked.part(DbSettings).db_port is None
    assert linked.warnings == (
        "`DB_PORT` is ignored, as Kubernetes sets it: it is not a valid number; expected a whole number",
    )
    with pytest.raises(ConfigurationError, match="DB_PORT"):
        load([DbSettings], read_sources(environ={"DB_PORT": "five"}))


def test_a_password_with_slashes_leaves_several_hosts_whole() -> None:
    """SQLAlchemy takes everything up to the `@` for the password."""
    made = sa.make_url(choose_driver("postgres://app:p/s?s%40@one,two:5433/orders"))
    assert (made.password, made.database) == ("p/s?s@", "orders")
    arguments = made.get_dialect()().create_connect_args(made)[1]
    assert (arguments["host"], arguments["port"]) == ("one,two", "5432,5433")
