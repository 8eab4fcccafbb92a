"""`carboy console`, `carboy tail`, and the console on an address of its own, as processes and over sockets."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert
from tests.console.kit import HTML, MODULES, MakeApp, Person, make_key

from carboy.jobs import job, row_of
from carboy.jobs.tables import JOBS
from carboy.testing.clock import ManualClock
from carboy.web import runtime
from carboy.web.console.listener import ConsoleListener

Run = Callable[..., subprocess.CompletedProcess[str]]


@job("demo.import")
def demo(number: int) -> None:
    """Stand for a job."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `carboy` in a folder with a service that has nothing but a database."""
    (tmp_path / ".env").write_text("MODULES=\nINSTANCE_PATH=instance\n")

    def start(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "carboy", *arguments], cwd=tmp_path, env={**os.environ, **environ},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    return start


def test_the_command_prints_an_address_that_logs_in_once(run: Run, make_app: MakeApp, tmp_path: Path) -> None:
    """It is used up by the first visit, and good for an hour."""
    assert run("db", "upgrade").returncode == 0
    done = run("console", "--no-open", "--url", "http://console.test:1/")
    again = run("console", "--no-open", CONSOLE_BIND="127.0.0.1:8123")

    ports = ({"PORT": "8125"}, {"PORT": "tcp://10.0.0.1:80"}, {"PORT": "8125", "CONSOLE_BIND": "127.0.0.1:8126"})
    found = [run("console", "--no-open", **environ).stdout.partition("/login/")[0] for environ in ports]

    assert found == ["http://127.0.0.1:8125", "http://127.0.0.1:8000", "http://127.0.0.1:8126"]
    assert run("console", "--no-open", "-p", "8127", PORT="8125", CONSOLE_BIND=":1").stdout.startswith(
        "http://127.0.0.1:8127/login/"
    )
    assert done.stdout.startswith("http://console.test:1/login/")
    assert again.stdout.startswith("http://127.0.0.1:8123/login/")
    clock = ManualClock()
    [database] = (tmp_path / "instance").glob("*.db")
    app = make_app(database_url=f"sqlite:///{database}")
    path = done.stdout.strip().removeprefix("http://console.test:1")
    first, second = Person(app.test_client()), Person(app.test_client())
    assert first.get(path).status_code == 303
    assert first.get("/console/keys").status_code == 200
    assert second.get(path).status_code == 401
    late = make_app(database_url=f"sqlite:///{database}", clock=clock)
    clock.advance(runtime(app).clock.now_ms() / 1000 - clock.now_ms() / 1000 + 3601)
    path = again.stdout.strip().removeprefix("http://127.0.0.1:8123")
    assert Person(late.test_client()).get(path).status_code == 401


def test_the_command_is_for_the_profile_local(run: Run) -> None:
    """Elsewhere it says how to log in; without a console, how to have one."""
    assert run("db", "upgrade").returncode == 0
    elsewhere, off = run("-e", "test", "console", "--no-open"), run("console", "--no-open", CONSOLE="off")

    assert (elsewhere.returncode, off.returncode) == (2, 2)
    assert "/login and enter a key" in elsewhere.stderr
    assert "set CONSOLE=on" in off.stderr
    assert elsewhere.stdout + off.stdout == ""


def _add_jobs(database: Path, numbers: range) -> None:
    engine = create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        rows = [row_of(demo, (number,), now_ms=1_800_000_000_000 + number) for number in numbers]
        connection.execute(insert(JOBS), rows)
    engine.dispose()


def test_tail_shows_what_there_is_and_what_comes(run: Run, tmp_path: Path) -> None:
    """The newest lines first seen, each once, also when more come at once than one look reads; Ctrl-C ends it."""
    assert run("db", "upgrade").returncode == 0
    [database] = (tmp_path / "instance").glob("*.db")
    _add_jobs(database, range(5))

    ended = run("tail", "--once", "-n", "3")
    assert [line.split()[-1] for line in ended.stdout.splitlines()] == ["2", "3", "4"]

    with subprocess.Popen(
        [sys.executable, "-m", "carboy", "tail", "-n", "1", "--every", "0.1"], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as tail:  # fmt: skip
        try:
            assert tail.stdout is not None
            assert tail.stdout.readline().split()[-1] == "4"
            _add_jobs(database, range(5, 505))
            seen = [int(tail.stdout.readline().split()[-1]) for _ in range(500)]
        finally:
            tail.send_signal(signal.SIGINT)
        code = tail.wait(30)

    assert seen == list(range(5, 505))
    assert code == 130


@pytest.fixture
def bound(make_app: MakeApp) -> Iterator[tuple[object, ConsoleListener]]:
    """Return a service whose console has an address of its own."""
    app = make_app(console_bind="127.0.0.1:0", modules=MODULES, sms_provider=("outbox",))
    listener = ConsoleListener(runtime(app))
    listener.start()
    yield app, listener
    listener.stop()


def _ask(port: int, method: str, path: str, body: str = "", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(
        method, path, body or None, {**HTML, **{name.replace("_", "-"): value for name, value in headers.items()}}
    )
    return connection.getresponse()


def test_the_console_has_an_address_of_its_own(bound: tuple[object, ConsoleListener]) -> None:
    """It is served there, with its assets, and not at the service's; that one serves nothing there but the console."""
    app, listener = bound
    client, port = app.test_client(), listener.port  # type: ignore[attr-defined]
    key = make_key(app)[1]  # type: ignore[arg-type]

    assert _ask(port, "GET", "/").getheader("Location") == "/login?next=/"
    page = _ask(port, "GET", "/login")
    text = page.read().decode()
    style = text.split('rel="stylesheet" href="')[1].split('"')[0]
    assert _ask(port, "GET", style).status == 200
    shown = _ask(port, "GET", "/console/sources/threatstack", Authorization=f"Bearer {key}")
    assert (shown.status, shown.getheader("X-Frame-Options")) == (200, "DENY")
    listed = shown.read().decode()
    assert "https://YOUR-HOST/api/v1/s3/alert" in listed
    assert "/docs" not in listed
    assert _ask(port, "POST", "/api/v1/s3/alert", '{"alerts":[]}').status == 404
    for path in ("/", "/login", "/console/jobs", style):
        assert client.get(path, headers=HTML).status_code == 404
    assert client.get("/livez").status_code == 200


def test_a_person_logs_in_at_that_address(bound: tuple[object, ConsoleListener]) -> None:
    """By a form, with its token; the request is in the log, with its id."""
    app, listener = bound
    page = _ask(listener.port, "GET", "/login")
    cookie = str(page.getheader("Set-Cookie")).partition(";")[0]
    token = page.read().decode().split('name="csrf_token" value="')[1].split('"')[0]
    form = f"csrf_token={token}&key={make_key(app)[1]}&next=/console/jobs"  # type: ignore[arg-type]

    kind = "application/x-www-form-urlencoded"
    done = _ask(listener.port, "POST", "/login", form, Cookie=cookie, Content_Type=kind)

    assert (done.status, done.getheader("Location")) == (303, "/console/jobs")
    session = next(one for one in done.headers.get_all("Set-Cookie", []) if one.startswith("carboy_session="))
    shown = _ask(listener.port, "GET", "/console/jobs", Cookie=session.partition(";")[0])
    assert shown.status == 200
    assert shown.getheader("X-Request-Id")


def test_an_address_that_is_taken_is_no_end_of_the_service(
    bound: tuple[object, ConsoleListener], make_app: MakeApp, capfd: pytest.CaptureFixture[str]
) -> None:
    """The other workers of a server find it served by the first."""
    other = make_app(console_bind=f"127.0.0.1:{bound[1].port}", log_level="INFO")
    second = ConsoleListener(runtime(other))

    second.start()
    second.stop()

    assert second.port == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if "console_not_served" in line]
    assert [line["bind"] for line in lines] == [f"127.0.0.1:{bound[1].port}"]
