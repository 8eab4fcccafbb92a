"""A running service reads its settings again when it is asked to, and goes on serving."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from carboy.testing.ports import free_port
from carboy.testing.processes import ServerProcess, run_process

_APP = """
import os
from flask import Flask
from carboy.web import init_app
app = Flask(__name__)
held = init_app(app)

@app.get("/name")
def name():
    return {"live": held.settings.live("SHOP_NAME"), "pid": os.getpid()}
"""


def _ask(port: int) -> dict[str, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/name")
        told: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return told


def _until(port: int, name: str) -> None:
    end = monotonic() + 90
    while _ask(port)["live"] != name:
        assert monotonic() < end
        sleep(0.02)


def _until_logged(process: ServerProcess, text: str, times: int = 1) -> None:
    end = monotonic() + 90
    while process.log.count(text) < times:
        assert monotonic() < end
        sleep(0.02)


def _write(folder: Path, name: str) -> None:
    (folder / "carboy.toml").write_text(f'app = "shop:app"\n[default]\nshop_name = "{name}"\n', "utf-8")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[ServerProcess, int]]:
    """A service in a process of its own."""
    (tmp_path / "shop.py").write_text(_APP, "utf-8")
    _write(tmp_path, "corner")
    port = free_port()
    command = [sys.executable, "-m", "carboy", "serve", "--port", str(port)]
    with run_process(command, ready=port, folder=tmp_path) as process:
        yield process, port


def test_a_hang_up_signal_and_the_command_refresh_a_running_service(shop: tuple[ServerProcess, int]) -> None:
    """A file that cannot be read changes nothing; no worker is restarted."""
    process, port = shop
    assert _ask(port)["live"] == "corner"
    serving = _ask(port)["pid"]
    _write(process.folder, "market")
    os.kill(process.pid, signal.SIGHUP)
    _until(port, "market")

    (process.folder / "carboy.toml").write_text("no toml", "utf-8")
    os.kill(process.pid, signal.SIGHUP)
    _until_logged(process, "settings_refused")
    assert _ask(port)["live"] == "market"

    _write(process.folder, "fair")
    command = [sys.executable, "-m", "carboy", "settings", "refresh", "--json"]
    done = subprocess.run(command, cwd=process.folder, capture_output=True, check=True)
    assert json.loads(done.stdout) == {"asked": [serving]}
    _until(port, "fair")
    assert _ask(port)["pid"] == serving
    changed = '"event":"settings_changed","added":[],"changed":["SHOP_NAME"],"removed":[]'
    _until_logged(process, changed, 2)
    assert process.log.count(changed) == 2


def test_without_a_server_no_request_is_sent(tmp_path: Path) -> None:
    """A file that a killed process left is not believed."""
    (tmp_path / "instance" / "running").mkdir(parents=True)
    (tmp_path / "instance" / "running" / str(os.getpid())).touch()
    command = [sys.executable, "-m", "carboy", "settings", "refresh"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "no process serves from this instance folder" in done.stderr
