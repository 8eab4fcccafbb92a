"""A small project, and the command as a process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

MODULE = """
from carboy.db import db
from carboy.jobs import enqueue, job


@job("orders.ship", attempts=1)
def ship(order):
    raise RuntimeError(f"order {order} is lost")


def register(app):
    @app.post("/api/v1/s3/alert")
    def alert():
        enqueue(ship, "17")
        db.session.commit()
        return {"accepted": 1}, 202


jobs = [ship]
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Carboy = Callable[..., Ended]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with one module, and nothing of this process's settings."""
    (tmp_path / "orders.py").write_text(MODULE)
    (tmp_path / ".env").write_text("MODULES=orders\n")
    return tmp_path


@pytest.fixture
def carboy(project: Path) -> Carboy:
    """Runs `carboy` in the project's folder, to its end."""

    def run(*arguments: str, **environ: str) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "carboy", *arguments],
            cwd=project,
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run
