"""The password rotates under an engine that the application made: of its own `SQLAlchemy()`, or by itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL, create_engine, text
from sqlalchemy.pool import NullPool
from tests.lab.rotation import RotatingSecret

from carboy.testing.processes import AwsServer, DatabaseServer
from carboy.web import init_app, runtime


@pytest.fixture(params=["mariadb_server", "postgres_server"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    """A real database, each in turn."""
    found: DatabaseServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def secret(server: DatabaseServer, moto: AwsServer, monkeypatch: pytest.MonkeyPatch) -> RotatingSecret:
    """A user of this test's own, its secret, and AWS's variables."""
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    return RotatingSecret(server, moto)


@pytest.fixture
def address(server: DatabaseServer) -> URL:
    """The address as a project's own configuration says it: with a login that was right once."""
    driver = "mysql+pymysql" if server.dialect == "mysql" else "postgresql+psycopg"
    return URL.create(driver, "root", "long-since-rotated", server.host, server.port, server.database)


@pytest.fixture
def app(secret: RotatingSecret, tmp_path: Path) -> Iterator[Flask]:
    """An ordinary application, its parts not added yet."""
    app = Flask("shop", root_path=str(tmp_path))
    app.config.update(
        SECRET_KEY="x",
        INSTANCE_PATH=str(tmp_path),
        DB_SECRET_NAME=secret.name,
        DB_TLS_CA=str(secret.server.ca_path),
        SECRET_MIN_INTERVAL_S=0.2,
        SQLALCHEMY_ENGINE_OPTIONS={"poolclass": NullPool},  # each request logs in
    )
    yield app
    runtime(app).close()


@pytest.mark.parametrize("ours_first", [False, True])
def test_under_the_applications_own_sqlalchemy(
    app: Flask, secret: RotatingSecret, address: URL, ours_first: bool, tmp_path: Path
) -> None:
    """Whichever is initialised first, and without another line."""
    own = SQLAlchemy()
    app.config["SQLALCHEMY_DATABASE_URI"] = address

    @app.get("/who")
    def who() -> str:
        return str(own.session.execute(text("SELECT current_user")).scalar())

    for step in (lambda: init_app(app, folder=tmp_path), lambda: own.init_app(app))[:: 1 if ours_first else -1]:
        step()
    client = app.test_client()
    for _ in range(3):
        answer = client.get("/who")
        assert answer.status_code == 200, answer.text
        assert answer.text.startswith(secret.user)
        secret.rotate()
    assert client.get("/readyz").get_json()["checks"]["database"]["ok"] is True


def test_under_an_engine_made_by_hand(app: Flask, secret: RotatingSecret, address: URL, tmp_path: Path) -> None:
    """By one line, `runtime(app).prepare(engine)`."""
    init_app(app, folder=tmp_path)
    engine = runtime(app).prepare(create_engine(address, poolclass=NullPool))
    for _ in range(3):
        with engine.connect() as connection:
            assert str(connection.exec_driver_sql("SELECT current_user").scalar()).startswith(secret.user)
        secret.rotate()
    engine.dispose()


@pytest.mark.parametrize(
    ("config", "is_told"),
    [({"ALCHEMICAL_DATABASE_URL": "mysql://x"}, True), ({"SQLALCHEMY_DATABASE_URI": "sqlite://"}, False), ({}, False)],
)
def test_a_start_that_finds_another_engines_address_says_what_to_do(
    app: Flask, config: dict[str, Any], is_told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """That engine would keep its own login."""
    app.config.update(config)

    init_app(app, folder=tmp_path)

    told = [record for record in caplog.records if record.getMessage() == "other_engine"]
    assert bool(told) is is_told
