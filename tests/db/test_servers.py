"""MariaDB and PostgreSQL as a service uses them: TLS, migrations of its own and of a project, from file to server."""

import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, inspect, text

from carboy.db import DbSettings, GroupCommit, engine, upgrade
from carboy.db.tls import Tls
from carboy.errors import ConfigurationError, Refused
from carboy.testing import make_ca
from carboy.testing.processes import DatabaseServer, mariadb, postgres, require


@pytest.fixture(params=["mariadb_server", "postgres_server"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    """A real database, each in turn."""
    found: DatabaseServer = request.getfixturevalue(request.param)
    return found


def _plain(server: DatabaseServer, database: str = "") -> str:
    login, place = f"{server.user}:{server.password}", f"{server.host}:{server.port}"
    return f"{'mysql' if server.dialect == 'mysql' else 'postgres'}://{login}@{place}/{database or server.database}"


@pytest.fixture
def settings(server: DatabaseServer) -> DbSettings:
    """The server, verified."""
    return DbSettings(database_url=_plain(server), db_tls_ca=server.ca_path)


@pytest.fixture
def made() -> Iterator[list[Engine]]:
    """Engines that are closed at the end."""
    found: list[Engine] = []
    yield found
    for one in found:
        one.dispose()


def _cipher(one: Engine) -> str:
    query = "SHOW STATUS LIKE 'Ssl_cipher'"
    if one.dialect.name == "postgresql":
        query = "SELECT pid, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    with one.connect() as connection:
        return str(connection.exec_driver_sql(query).one()[1])


def test_with_an_authority_every_connection_is_verified(settings: DbSettings, made: list[Engine]) -> None:
    """And encrypted; by its host's name too."""
    made.append(engine(settings))
    assert _cipher(made[0])


def test_it_reports_how_a_connection_is_verified_and_until_when(settings: DbSettings, made: list[Engine]) -> None:
    """As `carboy doctor` shows it."""
    made += [engine(one) for one in (settings, replace(settings, db_tls_ca=None))]
    first, second = (vars(one)["carboy_connector"].describe_tls(one) for one in made)

    assert re.fullmatch(r"TLSv1\.3, verified, its authorities until \d{4}-\d\d-\d\d", first)
    assert second == "TLSv1.3, not verified"


def test_a_certificate_of_another_authority_is_refused(
    settings: DbSettings, made: list[Engine], tmp_path: Path
) -> None:
    """At once, with what to do."""
    made.append(engine(replace(settings, db_tls_ca=make_ca(tmp_path).path)))
    with pytest.raises(Refused, match="certificate") as caught:
        made[0].connect()
    assert "DB_TLS_CA" in caught.value.hint


@pytest.mark.parametrize("starter", [mariadb, postgres])
def test_a_certificate_for_another_name_is_refused(starter: Any, made: list[Engine]) -> None:
    """Its authority is right, but it is for another host."""
    with require(starter, tls="db.example") as other:
        made.append(engine(DbSettings(database_url=_plain(other), db_tls_ca=other.ca_path)))
        with pytest.raises(Refused, match="certificate"):
            made[0].connect()


def test_the_authorities_are_loaded_once(settings: DbSettings) -> None:
    """PyMySQL by itself does so for each connection."""
    tls = Tls(settings.db_tls_ca)
    assert tls.context is tls.context
    assert tls.ends_at is not None
    assert Tls(None).ends_at is None


def test_a_token_is_not_sent_to_whom_is_not_verified(settings: DbSettings, made: list[Engine]) -> None:
    """An intermediary could read it."""
    from carboy.aws import IamLogins

    logins = IamLogins(lambda: ("h", 1, "u"), sign=lambda *_: "token")
    made.append(engine(replace(settings, db_tls_ca=None, db_auth="iam"), logins))
    with pytest.raises(ConfigurationError, match="not be verified"):
        made[0].connect()


def test_a_wrong_password_in_the_url_is_reported_at_once(server: DatabaseServer, made: list[Engine]) -> None:
    """There is no vault to ask."""
    url = _plain(server).replace(server.password, "wrong")
    made.append(engine(DbSettings(database_url=url, db_tls_ca=server.ca_path)))
    with pytest.raises(Exception, match=r"(?i)denied|authentication failed"):
        made[0].connect()


def _upgrade(url: str, ca: str, barrier: Any, answers: Any) -> None:
    made = engine(DbSettings(database_url=url, db_tls_ca=Path(ca)))
    barrier.wait()
    answers.put(upgrade(made))
    made.dispose()


def test_of_ten_processes_that_upgrade_at_once_one_migrates(server: DatabaseServer, made: list[Engine]) -> None:
    """Ten containers start together."""
    url, ca = _plain(server, database=server.create_database()), str(server.ca_path)
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(10), context.Queue()
    workers = [context.Process(target=_upgrade, args=(url, ca, barrier, answers)) for _ in range(10)]
    for worker in workers:
        worker.start()
    found = [answers.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()

    assert sorted(found) == [False] * 9 + [True]
    made.append(engine(DbSettings(database_url=url, db_tls_ca=server.ca_path)))
    assert "carboy_jobs" in inspect(made[0]).get_table_names()


def test_several_leaders_commit_at_the_same_time(settings: DbSettings, made: list[Engine]) -> None:
    """What SQLite cannot do."""
    made.append(engine(settings))
    with made[0].begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS words (word VARCHAR(20))"))
    writer = GroupCommit(made[0], leaders=3)

    def add(connection: Any, words: Any) -> list[None]:
        connection.execute(text("INSERT INTO words VALUES (:word)"), [{"word": word} for word in words])
        return [None] * len(words)

    for number in range(10):
        writer.run(add, f"word {number}")
    with made[0].begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM words")).scalar_one() == 10
        connection.execute(text("DROP TABLE words"))


_APP = """
from flask import Flask
from carboy.db import db
from carboy.web import init_app

class Order(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(40), unique=True, nullable=False)
    {more}

app = Flask(__name__)
init_app(app)
"""


def _carboy(folder: Path, *arguments: str, **environ: str) -> str:
    command = [sys.executable, "-m", "carboy", "--app", "shop:app", *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["sqlite", "mariadb_server", "postgres_server"])
def test_a_projects_models_are_migrated_on_every_database(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A column is added in batch mode; the services' own tables have a line of their own; the setting alone differs."""
    environ = {"INSTANCE_PATH": str(tmp_path / "instance"), "FLASK_PROFILE": "local"}
    url = f"sqlite:///{tmp_path / 'instance' / 'carboy.db'}"
    if kind != "sqlite":
        server: DatabaseServer = request.getfixturevalue(kind)
        url = environ["DATABASE_URL"] = _plain(server, database=server.create_database())
        environ["DB_TLS_CA"] = str(server.ca_path)
    (tmp_path / "shop.py").write_text(_APP.format(more=""), "utf-8")
    _carboy(tmp_path, "db", "init", **environ)
    _carboy(tmp_path, "db", "migrate", "-m", "orders", **environ)
    _carboy(tmp_path, "db", "upgrade", **environ)
    (tmp_path / "shop.py").write_text(_APP.format(more="due = db.Column(db.Date, index=True)"), "utf-8")
    _carboy(tmp_path, "db", "migrate", "-m", "due", **environ)
    _carboy(tmp_path, "db", "upgrade", **environ)
    _carboy(tmp_path, "db", "check", **environ)

    made = create_engine(url) if kind == "sqlite" else engine(DbSettings(database_url=url))
    names = set(inspect(made).get_table_names())
    assert {"order", "alembic_version", "carboy_version", "carboy_jobs"} <= names
    assert {one["name"] for one in inspect(made).get_columns("order")} == {"id", "name", "due"}
    made.dispose()
