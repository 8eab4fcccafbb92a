"""Where Carboy's tables are not made yet, the error says which command makes them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

import carboy
from carboy.db.connection_errors import TablesMissing
from carboy.db.own_tables import find_missing_table
from carboy.errors import Missing
from carboy.jobs.tables import JOBS
from carboy.testing.processes import DatabaseServer
from carboy.web import Runtime, require, runtime
from carboy.web.auth.api_keys import make_key


@pytest.fixture(params=["mariadb_server", "postgres_server"])
def url(request: pytest.FixtureRequest) -> str:
    """A database of the application's own, as `flask db upgrade` leaves it: without any table of Carboy's."""
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server.url(database=server.create_database())


@pytest.fixture
def adopted(url: str, tmp_path: Path) -> Iterator[Flask]:
    """An application with the one line, and a view for callers with a key."""
    app = Flask("shop")
    app.config |= {"DATABASE_URL": url, "SECRET_KEY": "x", "INSTANCE_PATH": str(tmp_path)}
    carboy.init_app(app, folder=tmp_path)

    @app.get("/orders")
    @require("orders:read")
    def orders() -> dict[str, bool]:
        return {}

    @app.get("/")
    def index() -> str:
        return "hello"

    yield app
    runtime(app).close()


def test_the_application_serves_what_needs_no_table(adopted: Flask) -> None:
    assert adopted.test_client().get("/").status_code == 200


def test_a_request_with_a_key_is_an_error_of_the_service(adopted: Flask) -> None:
    """Its client is not asked to repeat it: the tables do not appear by themselves."""
    answer = adopted.test_client().get("/orders", headers={"Authorization": f"Bearer {make_key()[1]}"})

    assert answer.status_code == 500
    assert "Retry-After" not in answer.headers


def test_readiness_is_degraded_and_has_the_command(adopted: Flask) -> None:
    """What needs no table goes on, so the load balancer keeps the instance."""
    answer = adopted.test_client().get("/readyz")

    assert (answer.status_code, answer.get_json()["status"]) == (200, "degraded")
    assert "carboy db upgrade" in answer.get_json()["checks"]["database"]["why"]


def test_without_parts_that_keep_anything_the_tables_are_not_asked_for(url: str, tmp_path: Path) -> None:
    app = Flask("shop")
    app.config |= {"DATABASE_URL": url, "SECRET_KEY": "x", "INSTANCE_PATH": str(tmp_path)}
    found: Runtime = carboy.init_app(app, parts=["health", "db", "limits"], folder=tmp_path)
    try:
        assert app.test_client().get("/readyz").get_json()["status"] == "ready"
    finally:
        found.close()


def test_the_error_is_sqlalchemys_and_carboys(adopted: Flask) -> None:
    """So who catches either by its own name catches it."""
    with runtime(adopted).engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(select(JOBS.c.id))

    assert isinstance(caught.value, TablesMissing)
    assert isinstance(caught.value, Missing)
    assert "carboy_jobs" in str(caught.value)
    assert "carboy db upgrade" in caught.value.hint


def test_a_table_of_the_applications_own_is_its_own_affair(adopted: Flask) -> None:
    with runtime(adopted).engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text("SELECT * FROM shop_orders"))

    assert not isinstance(caught.value, TablesMissing)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("no such table: carboy_jobs", "carboy_jobs"),
        ("no such table: main.sms_messages", "sms_messages"),
        ("no such table: orders", None),
        ("no such table: carboy_jobs_of_mine", None),
        ("no such column: carboy_jobs.colour", None),
    ],
)
def test_sqlite_says_it_in_words(message: str, expected: str | None) -> None:
    assert find_missing_table(Exception(message)) == expected
