"""A folder, a key service and the command, for the tests of `carboy config` and `carboy run`."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
from tests.config.closed.conftest import OPEN

from carboy.cli.main import cli
from carboy.errors import CarboyError
from carboy.testing.keys import KeyServer

__all__ = ["OPEN", "Shop"]

_KEPT = ("PATH", "HOME", "LANG", "SYSTEMROOT")


@dataclass
class Shop:
    """A person's working folder.

    Attributes:
        folder: where commands run.
        environ: their environment variables, and no others.
    """

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        home = self.folder.parent / "home"
        home.mkdir(exist_ok=True)
        self.environ = {**kept, "HOME": str(home), "PYTHONWARNINGS": "error", **self.environ}

    @property
    def config(self) -> Path:
        return self.folder / "config.yml"

    @property
    def cache(self) -> Path:
        return Path(self.environ["HOME"], ".cache", "carboy")

    def use(self, keys: KeyServer) -> None:
        """Let the commands find a key service."""
        self.environ.update(keys.environment)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "carboy", *words]

    def run(
        self, *words: str, stdin: str | bytes = "", code: int = 0, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `carboy` and check its exit code."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            self.command(*words), input=data, cwd=self.folder, env={**self.environ, **(environ or {})},
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        out, err = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == code, f"exit {done.returncode}: {out}{err}"
        assert "Traceback" not in err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def refusal(self, *words: str) -> int:
        """Return the exit code of a command that is refused before it does anything, without a process of its own."""
        with pytest.raises((CarboyError, click.UsageError)) as caught, contextlib.chdir(self.folder):
            cli.main(list(words), standalone_mode=False)
        return int(caught.value.exit_code)  # type: ignore[attr-defined]

    def everything_written(self, *more: Path) -> dict[Path, bytes]:
        """Return every file in the working folder, the home, and other folders."""
        folders = (self.folder, Path(self.environ["HOME"]), *more)
        return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}
