"""SIGTERM under load: no accepted request is cut, several times in a row."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import pytest
from tests.lab.load import Call, LoadReport, run_load

from carboy.testing import serve_process

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

KINDS: tuple[dict[str, str], ...] = ({}, {"Connection": "close"})  # kept connections, and a new one for each request
ROUNDS = 4


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")], ids=" ".join)
def test_a_stop_under_load_cuts_no_accepted_request(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Kept and new connections, fast and slow views: each is answered whole, or was refused before it was sent."""
    (tmp_path / "probe.py").write_text(APP)
    for number in range(ROUNDS):
        path = "/slow" if number % 2 else "/fast"
        with serve_process(tmp_path, "--app", "probe", *arguments) as server, ThreadPoolExecutor() as pool:
            loads = [pool.submit(load, server.url, Call("k", "POST", path, b"x" * 300, kind)) for kind in KINDS]
            time.sleep(0.3 + random.random() * 0.2)
            code = server.stop()
            reports = [one.result() for one in loads]

        errors = reports[0].errors + reports[1].errors
        assert code == 0
        assert set(errors) <= {"ConnectionRefusedError"}, f"round {number}: {errors}\n{server.said}"
        assert all(set(report.statuses) == {200} for report in reports)


def load(url: str, call: Call) -> LoadReport:
    return run_load(url, repeat(call), connections=16, seconds=0.9)
