"""The README of a new service runs as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.scaffold.kit import Run

BIN = Path(sys.executable).parent
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ELSEWHERE = ("python3 -m venv", ".venv/bin/pip", ". .venv/bin/activate", "carboy serve", "pytest", "mypy")
"""What is done for the tests already, or by others of them."""


@pytest.mark.timeout(300)
def test_every_line_of_it_runs(whole: Path, run: Run) -> None:
    """While the server that it starts is up; a failing line ends the script."""
    lines = [line for block in _BLOCK.findall((whole / "README.md").read_text()) for line in block.splitlines()]
    for start in _ELSEWHERE:
        assert any(line.startswith(start) for line in lines), start
    server = run("carboy", "serve", "--port", "0", folder=whole)
    server.wait_for("Ctrl-C stops")
    script = "\n".join(line for line in lines if not line.startswith(_ELSEWHERE)).replace(
        "http://127.0.0.1:8000", server.url
    )
    script = script.replace("curl ", "curl --fail-with-body --silent --show-error ")

    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=whole,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": ""},
        capture_output=True,
        text=True,
        timeout=270,
        check=False,
    )
    server.stop()

    assert done.returncode == 0, done.stderr[-4000:]
    assert "ship it" in done.stdout
    assert (whole / "instance" / "sms-outbox.jsonl").exists()
