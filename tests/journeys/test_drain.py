"""SIGTERM under load: no accepted request is cut, ten times in a row on each server."""

import random
import threading
import time
from itertools import repeat
from pathlib import Path

import pytest

from carboy.testing import Call, run_load, serve_process
from carboy.testing.load import LoadReport

pytestmark = pytest.mark.journey

APP = """
import time
from flask import Flask, request

app = Flask("probe")

@app.post("/fast")
def fast():
    return request.get_data()

@app.post("/slow")
def slow():
    time.sleep(0.05)
    return request.get_data()
"""

KEPT: dict[str, str] = {}
NEW = {"Connection": "close"}
ROUNDS = 10


@pytest.mark.parametrize("arguments", [("granian",), ("granian", "--workers", "2"), ("gunicorn",)], ids=" ".join)
def test_a_stop_under_load_cuts_no_accepted_request(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Kept and new connections, fast and slow views: each is answered whole, or was refused before it was sent."""
    (tmp_path / "probe.py").write_text(APP)
    for number in range(ROUNDS):
        with serve_process(tmp_path, "--app", "probe", "--server", *arguments) as server:
            reports: list[LoadReport] = []
            lanes = [
                threading.Thread(target=lambda call=call, reports=reports: reports.append(load(server.url, call)))
                for call in (Call("kept", "POST", path_of(number), b"x" * 300, KEPT),
                             Call("new", "POST", path_of(number), b"x" * 300, NEW))
            ]  # fmt: skip
            for lane in lanes:
                lane.start()
            time.sleep(0.3 + random.random() * 0.2)
            assert server.stop() == 0
            for lane in lanes:
                lane.join()

        errors = sum((report.errors for report in reports), start=type(reports[0].errors)())
        answered = sum(report.statuses[200] for report in reports)
        assert set(errors) <= {"ConnectionRefusedError"}, f"round {number}: {errors}\n{server.said}"
        assert answered > 0
        assert all(set(report.statuses) == {200} for report in reports)


def path_of(number: int) -> str:
    return "/slow" if number % 2 else "/fast"


def load(url: str, call: Call) -> LoadReport:
    return run_load(url, repeat(call), connections=16, seconds=0.9)
