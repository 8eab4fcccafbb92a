"""Run `carboy …`, `flask …` and `pytest …` in processes that start quickly: forked from one that has imported all.

What is forked is a process like any other: it has an id, gets signals, is killed. Run as a program this module is that
parent; it reads a JSON object per line from stdin and answers each with one on stdout.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Self

__all__ = ["Process", "Zygote", "eventually"]

_MODULES = (
    *("carboy.cli.main", "carboy.cli.serve", "carboy.cli.worker", "carboy.cli.archive", "carboy.cli.startup_notes"),
    *("carboy.web.assembly", "carboy.web.auth.key_cache", "carboy.web.auth.key_store", "carboy.web.apidocs.page"),
    *("carboy.serve.gunicorn_worker", "gunicorn.app.base", "carboy.services.archive.service"),
    *("carboy.db.migrate", "carboy.jobs.embedded", "carboy.jobs.job_store", "alembic.command", "alembic.config"),
    *("carboy.api.router", "carboy.api.merge", "obstore.store", "requests", "sqlalchemy.dialects.sqlite"),
)
_PROGRAMS = {
    "carboy": ("carboy.cli.main", "main"),
    "celery": ("celery.__main__", "main"),
    "flask": ("flask.cli", "main"),
    "pytest": ("pytest", "console_main"),
}
_LOOK_AGAIN_S = 0.01
_PATIENCE_S = 60.0


def eventually(holds: Callable[[], bool], what: str, timeout_s: float = _PATIENCE_S) -> None:
    """Wait until something holds."""
    give_up_at_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < give_up_at_s, f"it never came to hold that {what}"
        time.sleep(_LOOK_AGAIN_S)


class Process:
    """One run of a program."""

    def __init__(self, zygote: "Zygote", pid: int, log_path: Path) -> None:
        self.pid, self.log_path, self._zygote = pid, log_path, zygote
        self._code: int | None = None

    @property
    def said(self) -> str:
        """Return what it wrote so far, log lines too."""
        return self.log_path.read_text("utf-8", "replace")

    @property
    def url(self) -> str:
        """Return where it serves."""
        return self.said.partition("serving on ")[2].split(" ")[0]

    def wait_for(self, text: str) -> None:
        """Wait until it has written a text, and fail when it ends before."""

        def has_said() -> bool:
            said = text in self.said
            assert said or self.code is None, f"it ended with code {self.code}:\n{self.said[-4000:]}"
            return said

        eventually(has_said, f"a process writes `{text}`")

    @property
    def code(self) -> int | None:
        """Return its exit code, None while it runs; a signal's number is negative."""
        if self._code is None:
            self._code = self._zygote.ask(code_of=self.pid)
        return self._code

    def end(self, timeout_s: float = _PATIENCE_S) -> int:
        """Wait for its end and return its exit code."""
        eventually(lambda: self.code is not None, "a process ends", timeout_s)
        assert self._code is not None
        return self._code

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        if self._code is None:
            os.kill(self.pid, number)  # it is reaped only when its code is asked for: the id is not another's yet

    def kill(self) -> None:
        """End it and its children at once, as a power cut would, and wait until it is gone."""
        if self._code is None:
            os.killpg(self.pid, signal.SIGKILL)
        self.end()

    def stop(self, timeout_s: float = _PATIENCE_S) -> int:
        """Ask for an orderly stop, wait for it, and return the exit code."""
        self.send(signal.SIGTERM)
        return self.end(timeout_s)


class Zygote:
    """The parent of quick processes; use it as a context manager.

    Args:
        modules: what else it imports before the first process is wanted.
    """

    def __init__(self, *modules: str) -> None:
        self._modules = modules

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        command = [sys.executable, __file__, *self._modules]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=_PATIENCE_S)  # the end of its input has it kill what still runs

    def run(
        self, *words: str, folder: Path, environ: Mapping[str, str], log_path: Path, program: str = "carboy"
    ) -> Process:
        """Run `carboy`, or another of the programs, with these words in a folder."""
        log_path.touch()
        pid = self.ask(program=program, words=words, folder=str(folder), environ=dict(environ), log=str(log_path))
        return Process(self, pid, log_path)

    def ask(self, **question: Any) -> Any:
        """Send a line and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())


def main() -> None:
    """Answer questions until the input ends."""
    for name in (*_MODULES, *sys.argv[1:]):
        import_module(name)
    running: set[int] = set()
    for line in sys.stdin:
        question = json.loads(line)
        if "words" in question:
            pid = os.fork()
            if pid == 0:
                _become(question)
            with contextlib.suppress(PermissionError, ProcessLookupError):  # it was quicker
                os.setpgid(pid, pid)
            running.add(pid)
            answer: int | None = pid
        else:
            ended, status = os.waitpid(question["code_of"], os.WNOHANG)
            running.discard(ended)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _become(question: Mapping[str, Any]) -> None:
    os.setpgid(0, 0)
    os.chdir(question["folder"])
    os.environ.update(question["environ"])
    with open(question["log"], "ab", buffering=0) as log, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    code = 1
    try:
        sys.argv = [question["program"], *question["words"]]
        module, main = _PROGRAMS[question["program"]]
        code = getattr(import_module(module), main)() or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
