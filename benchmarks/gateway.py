"""Start the gateway, or any Flask application, as `carboy serve` does, its log lines going to a file."""

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from carboy.testing import free_port


@dataclass(frozen=True)
class Gateway:
    url: str
    folder: Path
    pid: int

    @property
    def key(self) -> str:
        path = self.folder / "instance" / "local-key"
        deadline = time.monotonic() + 10
        while not (path.is_file() and path.read_text("ascii").strip()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return path.read_text("ascii").strip()

    @property
    def header(self) -> str:
        return f"Authorization: Bearer {self.key}"


@contextmanager
def gateway(*arguments: str, environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory(prefix="carboy-bench-") as made:
        home = folder or Path(made)
        port = free_port()
        settings = {"RATE_LIMIT": "off", "LOG_FORMAT": "json", **(environ or {})}
        root = str(Path(__file__).parent.parent)
        command = [sys.executable, "-m", "carboy", "serve", "--port", str(port), *arguments]
        with running(command, home, {**os.environ, "PYTHONPATH": root, **settings}, Path(made) / "log") as process:
            _wait(f"http://127.0.0.1:{port}", process)
            yield Gateway(f"http://127.0.0.1:{port}", home, process.pid)


@contextmanager
def running(
    command: Sequence[str], folder: Path, environ: Mapping[str, str], log: Path
) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a program for the length of the block; what it says goes to a file."""
    with log.open("wb") as said:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=said, stderr=said)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/livez", timeout=2)
        except urllib.error.HTTPError:
            return  # it answers, though it knows no /livez
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the server did not start")
