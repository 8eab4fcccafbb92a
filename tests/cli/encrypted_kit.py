"""A folder, a key service and the command, for the tests of `carboy config` and `carboy run`."""

import atexit
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import click
import pytest
from tests.config.encrypted.kit import OPEN
from tests.lab.signing_keys import KeyServer

from carboy.cli.main import cli
from carboy.errors import CarboyError

__all__ = ["OPEN", "Shop"]

_KEPT = ("PATH", "HOME", "LANG", "SYSTEMROOT")


_STARTER = """
import json, os, sys
import boto3, cryptography.hazmat.primitives.ciphers.aead, yaml
import carboy.cli, carboy.cli.config, carboy.cli.run

control, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
for line in control:
    told = json.loads(line)
    child = os.fork()
    if child == 0:
        for number, name in enumerate(told["files"]):
            os.dup2(os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.chdir(told["cwd"])
        os.environ.clear()
        os.environ.update(told["environ"])
        streams = [open(number, mode, encoding="utf-8", closefd=False) for number, mode in enumerate("rww")]
        sys.stdin, sys.stdout, sys.stderr = streams
        control.close(), answers.close()
        sys.argv = ["carboy", *told["words"]]
        carboy.cli.main()
    answers.write(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) + chr(10))
    answers.flush()
"""


@cache
def _starter() -> subprocess.Popen[str]:
    """Return a process that has imported everything and forks for each command: real processes, soon started."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(process.communicate)
    return process


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
        given, said, complained = (self.folder.parent / name for name in ("stdin", "stdout", "stderr"))
        given.write_bytes(stdin.encode() if isinstance(stdin, str) else stdin)
        files = [str(path) for path in (given, said, complained)]
        told = {"words": words, "cwd": str(self.folder), "environ": {**self.environ, **(environ or {})}, "files": files}
        starter = _starter()
        assert starter.stdin is not None
        assert starter.stdout is not None
        starter.stdin.write(json.dumps(told) + "\n")
        starter.stdin.flush()
        returncode = int(starter.stdout.readline())
        out, err = said.read_bytes().decode(), complained.read_bytes().decode()
        assert returncode == code, f"exit {returncode}: {out}{err}"
        assert "Traceback" not in err
        return subprocess.CompletedProcess(words, returncode, out, err)

    def refusal(self, *words: str) -> int:
        """Return the exit code of a command that is refused before it does anything, without a process of its own."""
        with pytest.raises((CarboyError, click.UsageError)) as caught, contextlib.chdir(self.folder):
            cli.main(list(words), standalone_mode=False)
        return int(caught.value.exit_code)  # type: ignore[attr-defined]

    def everything_written(self, *more: Path) -> dict[Path, bytes]:
        """Return every file in the working folder, the home, and other folders."""
        folders = (self.folder, Path(self.environ["HOME"]), *more)
        return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}
