"""A small project, and the command as a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.kit import MODULE, Carboy, Ended


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
