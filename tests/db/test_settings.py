"""What is wrong with the settings of the database is told with all other faults, before anything connects."""

import pytest

from carboy.config import load, read_sources
from carboy.db import DbSettings
from carboy.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "it is no URL"),
        ("hunter2", "it is no URL"),
        ("mysql:/app:hunter2@host/orders", "it is no URL"),
        ("oracle://app:hunter2@host/orders", "`oracle` is none of sqlite, postgresql"),
        ("postgresql://app:hunter2@host:port/orders", "its port is no number"),
    ],
)
def test_a_url_that_is_none_is_a_fault_and_is_not_repeated(url: str, why: str) -> None:
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
    ],
)
def test_urls_of_the_databases_that_are_known_are_taken(url: str) -> None:
    """With drivers, sockets, addresses and options of all kinds."""
    assert load([DbSettings], read_sources(environ={"DATABASE_URL": url})).part(DbSettings).database_url == url
