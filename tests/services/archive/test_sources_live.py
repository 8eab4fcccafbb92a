"""Sources of a running service with two workers on a database server follow their settings, all or nothing."""

import hmac
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from carboy.testing.processes import DatabaseServer
from carboy.testing.serving import ServeProcess, serve_process

BODY = b'{"zen": "it"}'
BEFORE = '[default.archive.sources.repos]\npreset = "github"\nsecrets = ["old"]\n'
ASANA = '[default.archive.sources.tasks]\npreset = "asana"\ntokens = ["t0ken-of-tasks"]\n'


@dataclass
class Service:
    """A running service, its folder and its environment."""

    server: ServeProcess
    folder: Path
    environ: Mapping[str, str]

    def write(self, text: str) -> None:
        beside = self.folder / "carboy.toml.new"
        beside.write_text(text, "utf-8")
        beside.replace(self.folder / "carboy.toml")

    def command(self, *arguments: str) -> Any:
        command = [sys.executable, "-m", "carboy", *arguments, "--json"]
        done = subprocess.run(
            command, cwd=self.folder, env={**os.environ, **self.environ}, capture_output=True, check=True
        )
        return json.loads(done.stdout)

    def post(self, path: str, body: bytes = BODY, **headers: str) -> tuple[int, Mapping[str, str]]:
        """Send a request over a connection of its own, so that either worker may get it."""
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request("POST", f"/api/v1/webhooks/{path}", body, named)
            response = connection.getresponse()
            response.read()
            return response.status, {name.lower(): value for name, value in response.getheaders()}
        finally:
            connection.close()

    def github(self, source: str, secret: str) -> int:
        """Send a webhook as GitHub signs it; return the status."""
        signature = f"sha256={hmac.digest(secret.encode(), BODY, 'sha256').hex()}"
        return self.post(source, X_Hub_Signature_256=signature, X_GitHub_Delivery="d-1")[0]

    def statuses(self, source: str, secret: str) -> set[int]:
        """Return the statuses of requests to all workers."""
        with ThreadPoolExecutor(4) as pool:
            return {*pool.map(lambda _: self.github(source, secret), range(24))}


def eventually(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(params=["postgres_server", "mariadb_server"], scope="module")
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two workers for all tests, which leave the settings as they found them."""
    tmp_path = tmp_path_factory.mktemp("live")
    database: DatabaseServer = request.getfixturevalue(request.param)
    (tmp_path / "carboy.toml").write_text(BEFORE + ASANA)
    environ = {
        "MODULES": "carboy.services.archive",
        "FLASK_PROFILE": "test",
        "FLASK_SECRET_KEY": "k" * 40,
        "FLASK_ARCHIVE_URL": f"file://{tmp_path}/archive",
        "FLASK_THREATSTACK_RATE": "off",
        "DATABASE_URL": database.url(database=database.create_database()),
    }
    upgrade = [sys.executable, "-m", "carboy", "db", "upgrade"]
    subprocess.run(upgrade, cwd=tmp_path, env={**os.environ, **environ}, capture_output=True, check=True)
    with serve_process(tmp_path, "--workers", "2", environ=environ) as server:
        made = Service(server, tmp_path, environ)
        eventually(lambda: len(made.command("settings", "refresh")["asked"]) == 2)  # both have started
        yield made


def test_sources_follow_the_settings_all_or_nothing(service: Service) -> None:
    """By SIGHUP and by `carboy settings refresh`; one wrong table leaves all as they were, and is reported."""
    assert service.statuses("repos", "old") == {202}
    assert service.statuses("more", "new") == {404}

    service.write(ASANA + BEFORE.replace("old", "new") + BEFORE.replace("repos", "more").replace("old", "new"))
    os.kill(service.server.process.pid, signal.SIGHUP)
    eventually(lambda: service.server.said.count("settings_changed") == 2)  # one worker may answer all that follows
    assert service.statuses("more", "new") == {202}
    assert service.statuses("repos", "old") == {403}
    assert service.statuses("repos", "new") == {202}

    wrong = '[default.archive.sources.wrong]\npreset = "githup"\nsecrets = ["s"]\ntimeplate = "{body}"\n'
    service.write(ASANA + BEFORE + wrong)
    asked = service.command("settings", "refresh")["asked"]
    assert len(asked) == 2
    eventually(lambda: service.server.said.count("settings_refused") >= 2)
    assert "did you mean `github`?" in service.server.said
    assert service.statuses("repos", "new") == {202}
    assert service.statuses("more", "new") == {202}
    assert service.statuses("wrong", "s") == {404}

    service.write(BEFORE + ASANA)
    service.command("settings", "refresh")
    eventually(lambda: service.server.said.count("settings_changed") == 4)
    assert service.statuses("more", "new") == {404}
    assert service.statuses("repos", "old") == {202}
    assert service.server.process.poll() is None


def test_a_secret_that_is_exchanged_counts_at_every_worker_and_refusals_are_listed(service: Service) -> None:
    """A second exchange replaces the first at once, whichever worker gets what is signed with it."""
    for secret in ("first-of-asana", "second-of-asana"):
        status, headers = service.post("tasks/t0ken-of-tasks", b"", X_Hook_Secret=secret)
        assert (status, headers["x-hook-secret"]) == (200, secret)
        signature = hmac.digest(secret.encode(), BODY, "sha256").hex()
        time.sleep(0.6)  # what a worker read is believed for half a second after a wrong signature
        with ThreadPoolExecutor(4) as pool:
            sent = pool.map(lambda _: service.post("tasks/t0ken-of-tasks", X_Hook_Signature=signature)[0], range(24))  # noqa: B023
            assert {*sent} == {202}

    old = hmac.digest(b"first-of-asana", BODY, "sha256").hex()
    assert service.post("tasks/t0ken-of-tasks", X_Hook_Signature=old)[0] == 403
    assert service.post("tasks/another", X_Hook_Signature=signature)[0] == 403
    assert service.post("tasks", X_Hook_Secret="stranger")[0] == 403
    found = service.command("archive", "refused", "--source", "tasks")
    assert [(one["reason"], one["status"], one["detail"]) for one in found] == [
        ("handshake", 403, "a new secret needs the path token"),
        ("token", 403, "the path token is not one of the source's"),
        ("signature", 403, "no secret of the source matches"),
    ]
    assert all(one["address"] == "127.0.0.1" and one["request_id"] for one in found)
