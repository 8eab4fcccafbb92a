"""Keys, jobs, the database and the doctor, from a terminal."""

import json
import re
import runpy
import shlex
import stat
import time
import urllib.request
from pathlib import Path

import pytest
import requests
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from tests.cli.kit import Carboy

from carboy.db.failed_migration import record_failures
from carboy.testing import ServeProcess, serve_process


def test_a_key_is_printed_once_and_alone(carboy: Carboy) -> None:
    """A script can take stdout as the key; the list never shows it."""
    made = carboy("keys", "create", "sender", "--scope", "archive:write", "--scope", "archive:read")
    assert made.code == 0
    assert re.fullmatch(r"cby_[0-9a-z]{12}_[0-9A-Za-z]+\n", made.out)
    assert "instance/carboy.db; it is not shown again" in made.err, "who is in the wrong folder sees it"

    listed = carboy("keys", "list", "--json")
    (key,) = listed.json
    assert (key["name"], key["scopes"], key["revoked_at"]) == ("sender", ["archive:read", "archive:write"], None)
    assert made.out.strip() not in listed.out

    assert carboy("keys", "revoke", key["id"]).code == 0
    assert carboy("keys", "list", "--json").json[0]["revoked_at"]


def test_a_wrong_scope_and_an_unknown_key_are_errors_with_a_hint(carboy: Carboy) -> None:
    """The scopes that there are are named."""
    wrong, unknown = carboy("keys", "create", "me", "--scope", "archive:fly"), carboy("keys", "revoke", "nobody")

    assert (wrong.code, wrong.out) == (2, "")
    assert "archive:write" in wrong.err
    assert (unknown.code, unknown.out) == (4, "")
    assert "carboy keys list" in unknown.err


@pytest.mark.server
def test_the_line_that_serve_prints_works_when_pasted_and_after_a_restart(project: Path) -> None:
    """The key is kept for its owner alone, and stays the same."""
    with serve_process(project) as first:
        key = key_in(first)
        assert paste(curl_line(first)) == {"accepted": 1}
        assert first.stop() == 0
    kept = project / "instance" / "local-key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600

    with serve_process(project) as second:
        assert key_in(second) == key

    with serve_process(project, "-e", "prod", environ={"SECRET_KEY": "s" * 40}) as guarded:
        assert "cby_" not in guarded.said


def test_several_workers_on_sqlite_are_refused_with_the_reason(project: Path, carboy: Carboy) -> None:
    """Before anything is served; `--server granian` of earlier releases is accepted, and says what serves."""
    for server in ("granian", "gunicorn"):
        ended = carboy("serve", "--port", "0", "--workers", "2", "--server", server)
        assert ended.code == 3
        assert "SQLite" in ended.err
        assert ended.err.count("error: ") == 1
        assert ("granian is served by gunicorn" in ended.err) == (server == "granian")
        assert "Traceback" not in ended.err


def test_dead_jobs_are_listed_and_run_again(carboy: Carboy, project: Path) -> None:
    """`retry` gives a job all its tries back, `purge` asks with a dry run first."""
    with serve_process(project) as server:
        paste(curl_line(server))
        wait_for_dead(carboy)
    (job,) = carboy("jobs", "list", "--state", "dead", "--json").json
    assert (job["kind"], job["state"], job["args"]) == ("orders.ship", "dead", ["17"])
    assert "ERROR" in carboy("jobs", "list").out

    assert carboy("jobs", "retry", job["id"]).code == 0
    assert carboy("jobs", "list", "--json").json[0]["state"] == "queued"

    with serve_process(project, command=("worker", "--concurrency", "2")) as worker:
        wait_for_dead(carboy)
        assert worker.stop() == 0
    assert "1 dead jobs would" in carboy("jobs", "purge", "--state", "dead", "--dry-run").err
    assert "1 dead jobs deleted" in carboy("jobs", "purge", "--state", "dead").err
    assert carboy("jobs", "list", "--json").json == []


def test_the_database_is_brought_to_its_newest_and_the_doctor_sees_it(carboy: Carboy) -> None:
    """A database that is away: exit 4 and what to do. After `db upgrade`: well."""
    sick = carboy("doctor", "--json", DATABASE_URL="postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    assert (sick.code, sick.json["ok"]) == (4, False)
    assert "server is up" in next(check["hint"] for check in sick.json["checks"] if check["name"] == "database")

    assert carboy("db", "upgrade").code == 0
    versions = carboy("db", "current", "--json").json["carboy"]
    assert versions["current"] == versions["head"]
    assert carboy("db", "check").code == 0

    well = carboy("doctor")
    assert well.code == 0
    assert "FAIL" not in well.out


@pytest.mark.server
def test_the_first_steps_send_a_text_and_say_where_it_is(project: Path) -> None:
    """The line works when pasted, and the file has the text."""
    outbox = project / "instance" / "sms-outbox.jsonl"
    with serve_process(project, environ={"MODULES": "carboy.services.sms"}) as server:
        assert f"messages are written to {outbox}" in server.said
        answer = paste(curl_line(server))
        assert isinstance(answer, dict)
        assert answer["message"] == "accepted"
        [back] = re.findall(r"^  (curl http.*)$", server.said, re.MULTILINE)
        _, url, _, header = shlex.split(back)
        found = requests.get(url, headers=dict([header.split(": ")]), timeout=20)
        assert found.status_code == 200, found.text
        assert "+86138****0000" in found.text
        assert re.search(r"^API documentation: http://127.0.0.1:\d+/docs$", server.said, re.MULTILINE)
        for _ in range(400):
            if outbox.exists() and outbox.read_text().endswith("\n"):
                break
            time.sleep(0.05)
    assert json.loads(outbox.read_text().splitlines()[0])["params"] == {"code": "1234"}


def test_a_wrong_setting_is_the_doctors_first_finding(carboy: Carboy) -> None:
    """Every fault is a finding of its own."""
    sick = carboy("doctor", "--json", JOBS_LEASE_S="x", BODY_TIMEOUT_S="y")

    assert sick.code == 4
    assert [check["name"] for check in sick.json["checks"] if not check["ok"]] == ["settings", "settings"]


def test_asking_for_the_version_makes_no_database(carboy: Carboy, project: Path) -> None:
    """Neither its file nor its folder."""
    found = carboy("db", "current", "--json", DATABASE_URL="sqlite:///not/there/shop.db")

    assert found.code == 0, found.err
    assert found.json["carboy"]["current"] is None
    assert not (project / "not").exists()


def test_the_projects_own_migrations_go_through_flask_migrate(carboy: Carboy, project: Path) -> None:
    """`init`, `migrate`, `upgrade`, `check`, `downgrade` on the models of a module."""
    (project / "orders.py").write_text(
        "from carboy.db import db\n\n"
        "class Order(db.Model):\n    id = db.Column(db.Integer, primary_key=True)\n\n"
        "def register(app):\n    pass\n"
    )

    for arguments in (("init",), ("migrate", "-m", "orders"), ("upgrade",), ("check",), ("history",)):
        ended = carboy("db", *arguments)
        assert ended.code == 0, ended.err

    versions = carboy("db", "current", "--json").json["project"]
    assert versions["current"] == versions["head"] is not None
    assert carboy("db", "downgrade").code == 0
    assert carboy("db", "current", "--json").json["project"]["current"] is None


def test_a_migration_command_that_cannot_go_on_says_what_to_do(carboy: Carboy, project: Path) -> None:
    """In a folder without migrations, with models that are as they were, and with a database that is behind."""
    nowhere = carboy("db", "migrate", "-m", "orders")
    assert nowhere.code == 1
    assert "Path doesn't exist: migrations" in nowhere.err
    assert "hint: go to the project's folder; where there are no migrations yet: `carboy db init`" in nowhere.err

    (project / "orders.py").write_text(
        "from carboy.db import db\n\n"
        "class Order(db.Model):\n    id = db.Column(db.Integer, primary_key=True)\n\n"
        "def register(app):\n    pass\n"
    )
    assert carboy("db", "init").code == 0
    assert carboy("db", "migrate", "-m", "orders").code == 0

    behind = carboy("db", "migrate", "-m", "orders")
    assert (behind.code, behind.err.count("not up to date")) == (1, 1)
    assert "hint: run `carboy db upgrade` first" in behind.err

    assert carboy("db", "upgrade").code == 0
    assert "nothing to write" in carboy("db", "migrate", "-m", "orders").err


def test_a_migration_that_stopped_half_way_is_named_by_the_doctor(carboy: Carboy, project: Path) -> None:
    """With its file, the statement, and what to do."""
    assert carboy("db", "upgrade").code == 0
    made = create_engine(f"sqlite:///{project / 'instance' / 'carboy.db'}")
    versions = project / "versions"
    versions.mkdir()
    migration = versions / "0001_orders.py"
    migration.write_text("def upgrade(connection):\n    connection.exec_driver_sql('ALTER TABLE orders ADD x INT')\n")
    with pytest.raises(OperationalError), record_failures(made), made.connect() as connection:
        runpy.run_path(str(migration))["upgrade"](connection)
    made.dispose()

    sick = carboy("doctor", "--json")
    (found,) = [check for check in sick.json["checks"] if not check["ok"]]
    assert (sick.code, found["name"]) == (4, "migrations")
    assert found["detail"].startswith("`0001_orders.py` stopped half-way at `ALTER TABLE orders ADD x INT`: no such")
    assert "`carboy db upgrade`" in found["hint"]


def test_an_openapi_document_is_served_by_itself(carboy: Carboy, project: Path) -> None:
    """Its operations are found in the project's folder; what breaks the document is refused."""
    (project / "pets.py").write_text("def show(number):\n    return {'number': number}\n")
    operation = {
        "operationId": "pets.show",
        "parameters": [{"name": "number", "in": "path", "required": True, "type": "integer"}],
        "responses": {"200": {"description": "the pet"}},
    }
    document = {
        "swagger": "2.0",
        "info": {"title": "pets", "version": "1"},
        "paths": {"/pets/{number}": {"get": operation}},
    }
    (project / "swagger.yml").write_text(json.dumps(document))

    with serve_process(project, "--openapi", "swagger.yml") as server:
        assert requests.get(f"{server.url}/pets/7", timeout=20).json() == {"number": 7}
        assert requests.get(f"{server.url}/pets/7?x=1", timeout=20).status_code == 422
        assert "/pets/{number}" in requests.get(f"{server.url}/openapi.json", timeout=20).json()["paths"]
    ended = carboy("serve", "--openapi", "swagger.yml", "--app", "app")
    assert ended.code == 2
    assert carboy("serve", "--openapi", "nothing.yml").code == 2


def paste(line: str) -> object:
    """Send the request as curl does, where curl is not installed."""
    words = shlex.split(line)
    assert words[:3] == ["curl", "-X", "POST"]
    options = dict(zip(words[4::2], words[5::2], strict=True))
    headers = dict(word.split(": ") for flag, word in zip(words[4::2], words[5::2], strict=True) if flag == "-H")
    request = urllib.request.Request(words[3], options["-d"].encode(), headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        return json.loads(answer.read())


def curl_line(server: ServeProcess) -> str:
    return re.search(r"^  (curl .*)$", server.said, re.MULTILINE)[1]  # type: ignore[index]


def key_in(server: ServeProcess) -> str:
    return re.search(r"Bearer (cby_\w+)", server.said)[1]  # type: ignore[index]


def wait_for_dead(carboy: Carboy) -> None:
    for _ in range(30):
        if carboy("jobs", "list", "--state", "dead", "--json").json:
            return
    pytest.fail("the job did not end")


def test_a_scope_that_is_near_one_of_the_documents_is_noted(carboy: Carboy, project: Path) -> None:
    """A key for `order:write` opens nothing of a service whose operations ask for `orders:write`."""
    (project / "orders.yaml").write_text(
        "openapi: 3.1.0\ninfo: {title: Orders, version: '1'}\npaths:\n  /orders:\n    get:\n      operationId: index\n"
        "      security: [{key: ['orders:write']}]\n      responses: {'200': {description: all}}\n"
        "components: {securitySchemes: {key: {type: http, scheme: bearer}}}\n"
    )
    (project / "orders.py").write_text(
        "from carboy.web import add_api\n\n\ndef index():\n    return {}\n\n\n"
        "def register(app):\n    add_api(app, 'orders.yaml', {'index': index})\n"
    )
    (project / "carboy.toml").write_text('[default]\nmodules = ["orders"]\n')

    misspelt, right, other = (
        carboy("keys", "create", "me", "--scope", scope) for scope in ("order:write", "orders:write", "crates:read")
    )

    assert (misspelt.code, right.code, other.code) == (0, 0, 0)
    assert "did you mean `orders:write`?" in misspelt.err
    assert "did you mean" not in right.err + other.err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("archive", "list"), "archive"),
        (("archive", "refused"), "archive"),
        (("archive", "destinations", "list"), "archive"),
        (("sms", "templates"), "SMS gateway"),
    ],
)
def test_a_command_of_a_service_that_the_application_lacks_says_so(
    carboy: Carboy, arguments: tuple[str, ...], what: str
) -> None:
    ended = carboy(*arguments)

    assert ended.code == 2
    assert ended.err.splitlines()[-2].startswith(f"error: there is no {what}: MODULES does not name carboy.services.")
