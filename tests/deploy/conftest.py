"""Checkov has an environment of its own: `make test` makes it first, pytest alone makes it here."""

import fcntl
import subprocess
from pathlib import Path

import pytest
from tests.deploy.checks import ROOT


@pytest.fixture(scope="session")
def checkov_binary() -> Path:
    """The program, installed where it is not; two test processes do not install it at once."""
    with (ROOT / ".gitignore").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", ".venv-tools/.ready"], cwd=ROOT, check=True, capture_output=True, timeout=600)
    return ROOT / ".venv-tools" / "bin" / "checkov"
