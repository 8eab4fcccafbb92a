"""`carboy serve` as a process of its own, on a free port."""

import re
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from carboy.config.environ import read_environ

_READY_S = 60.0
_READY = "Ctrl-C stops\n"
_SERVING_ON = re.compile(r"^serving on (\S+) ")


class ServeProcess:
    """A server that answers.

    Attributes:
        process: the process; its children serve where there are several workers.
        url: where it answers, without a slash at the end.
        port: the port of that.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.url: str = ""
        self._lines: list[str] = []
        self._is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def port(self) -> int:
        """Return the port."""
        return int(self.url.rpartition(":")[2])

    @property
    def said(self) -> str:
        """Return what it wrote so far, log lines too."""
        return "".join(self._lines)

    def wait_until_ready(self) -> None:
        """Wait until it serves.

        Raises:
            RuntimeError: it ended, or did not come to that within a minute.
        """
        if not self._is_ready.wait(_READY_S) or not self.url:
            raise RuntimeError(f"the server did not start:\n{self.said}")

    def end(self, timeout_s: float = 60.0) -> int:
        """Wait for its end, and return its exit code."""
        code = self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        return code

    def stop(self, timeout_s: float = 60.0) -> int:
        """Ask for an orderly stop, wait for it, and return the exit code."""
        self.process.terminate()
        return self.end(timeout_s)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with suppress(ValueError):  # the caller closed it
            for line in self.process.stdout:
                self._lines.append(line)
                if found := _SERVING_ON.match(line):
                    self.url = found[1]
                elif line == _READY:
                    self._is_ready.set()
        self._is_ready.set()


@contextmanager
def serve_process(
    folder: Path,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    inherited: Collection[str] | None = None,
    command: Sequence[str] = ("serve",),
) -> Iterator[ServeProcess]:
    """Run `carboy serve` for the length of the block; it is killed at the end where it still runs.

    Args:
        folder: the project's folder.
        arguments: of the command line, such as `--server`, `gunicorn`.
        environ: variables beside those of this process.
        inherited: which of this process's; all by default.
        command: what to run in place of `serve`.
    """
    kept = {name: value for name, value in read_environ().items() if inherited is None or name in inherited}
    options = ("--port", "0") if tuple(command) == ("serve",) else ()
    with subprocess.Popen(
        [sys.executable, "-m", "carboy", *command, *options, *arguments],
        cwd=folder,
        env={**kept, **(environ or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        running = ServeProcess(process)
        try:
            if options:
                running.wait_until_ready()
            yield running
        finally:
            process.kill()
