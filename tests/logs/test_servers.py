"""Gunicorn's own lines have Carboy's form."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

APP = """
from flask import Flask
from carboy import logs

log = logs.get_logger("hello")
app = Flask("hello")

@app.get("/hello")
def hello():
    logs.setup("INFO", "json")
    with logs.request_context("r-1"):
        log.info("viewed")
    return "ok", 200, {"X-Request-Id": "r-1"}
"""

LAST = {"on": "request", "off": "viewed"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hello.py").write_text(APP)
    return tmp_path


@contextlib.contextmanager
def serving(folder: Path, port: int, *command: str) -> Iterator[None]:
    environ = {**os.environ, "PYTHONPATH": str(folder), "HOME": str(folder)}
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        server = subprocess.Popen([sys.executable, *command], cwd=folder, stdout=out, stderr=err, env=environ)
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            yield
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def lines_after_a_request(folder: Path, port: int, *command: str, until: str) -> list[dict[str, Any]]:
    with serving(folder, port, *command):
        address = f"http://127.0.0.1:{port}/hello?token=abc"
        assert urllib.request.urlopen(address, timeout=10).read() == b"ok"
        for _ in range(200):  # an access line is written after the answer was sent
            if f'"{until}"' in (folder / "out").read_text():
                break
            time.sleep(0.05)
    assert (folder / "err").read_text() == ""
    return [json.loads(line) for line in (folder / "out").read_text().splitlines()]


def the(event: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
    (one,) = [line for line in lines if line["event"] == event]
    return one


@pytest.mark.parametrize("access", ["on", "off"])
def test_gunicorn_s_lines_have_our_form(folder: Path, access: str) -> None:
    """Master and workers; access lines, when they are on, with the request id of the answer."""
    port = free_port()
    options = ["--bind", f"127.0.0.1:{port}", "--logger-class", "carboy.logs.GunicornLogger"]
    if access == "on":
        options += ["--access-logfile", "-"]
    lines = lines_after_a_request(folder, port, "-m", "gunicorn", *options, "hello:app", until=LAST[access])

    assert all(list(line)[:4] == ["ts", "level", "logger", "event"] for line in lines)
    assert any(line["event"].startswith("Booting worker") for line in lines)
    assert the("viewed", lines)["request_id"] == "r-1"
    if access == "on":
        request = the("request", lines)
        assert request == request | {"request_id": "r-1", "method": "GET", "path": "/hello", "status": 200, "bytes": 2}
        assert request["duration_ms"] > 0
    else:
        assert not [line for line in lines if line["event"] == "request"]


def test_gunicorn_s_level_is_not_that_of_the_application(folder: Path) -> None:
    """Its loggers alone are changed: the root logger is as the application has it, and Carboy's lines are shown."""
    app = APP.replace('    logs.setup("INFO", "json")\n', "").replace(
        '"viewed"', '"viewed", root=[logging.root.level, len(logging.root.handlers)]'
    )
    (folder / "hello.py").write_text(f"import logging\n{app}")
    port = free_port()
    options = ["--bind", f"127.0.0.1:{port}", "--logger-class", "carboy.logs.GunicornLogger", "--log-level", "warning"]
    lines = lines_after_a_request(folder, port, "-m", "gunicorn", *options, "hello:app", until="viewed")

    assert the("viewed", lines)["root"] == [30, 0]
    assert not [line for line in lines if line["event"].startswith("Booting worker")]


def test_importing_the_logs_loads_nothing_heavy() -> None:
    """No server, no AWS, no Flask; a CLI that only logs starts at once."""
    code = "import sys, carboy.logs; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"flask", "werkzeug", "gunicorn", "boto3", "requests", "msgspec"} & set(done.stdout.split())
