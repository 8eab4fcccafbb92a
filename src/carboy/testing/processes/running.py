"""Run a real server as a private process: wait until it answers, stop it, kill it, freeze it, start it again."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from carboy.config.environ import read_environ
from carboy.errors import CarboyError, ConfigurationError
from carboy.testing.ports import takes_connections

_T = TypeVar("_T")

_LOOK_AGAIN_S = 0.02


class MissingBinary(CarboyError):
    """A server that a test needs is not installed; the hint names its package."""

    exit_code = 3


class ServerProcess:
    """A process of a server, with its own folder, log file and process group.

    Attributes:
        folder: where it keeps its things; removed when the context ends.
        log_path: its stdout and stderr.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        is_ready: Callable[["ServerProcess"], bool],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        start_timeout_s: float = 60.0,
        user: str | None = None,
    ) -> None:
        """Describe the process; `start` runs it.

        Args:
            arguments: the command.
            is_ready: asked again and again after the start, until it says that the server answers.
            folder: its working folder.
            environment: added to this process's own.
            start_timeout_s: how long it may take to answer.
            user: whom to run it as, where this process is root; see `drop_root`.
        """
        self.folder = folder
        self.log_path: Path = folder / "log.txt"
        self._arguments = list(arguments)
        self._is_ready = is_ready
        self._environment = {**read_environ(), **(environment or {})}
        self._start_timeout_s = start_timeout_s
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the number of the process, which leads its own group."""
        return self._running().pid

    @property
    def is_alive(self) -> bool:
        """Return whether the process still runs (frozen counts as running)."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """Return all that it has written so far, over all its starts."""
        return self.log_path.read_text("utf-8", "replace") if self.log_path.exists() else ""

    def start(self) -> None:
        """Run it and return when it answers.

        Raises:
            RuntimeError: it ended, or does not answer in time; the text has the end of its log.
        """
        uid, gid, groups = _identity(self._user)
        with self.log_path.open("ab") as log:
            process = self._process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self._environment,
                start_new_session=True,
                user=uid,
                group=gid,
                extra_groups=groups,
            )
        try:
            self._wait_until_ready(process)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End it and its children at once, as a power cut would (SIGKILL); one that has ended already is ignored."""
        family = self._signal(signal.SIGKILL)
        self._running().wait()
        while any(group == self.pid or pid in family for pid, _, group in _processes()):
            time.sleep(_LOOK_AGAIN_S)  # the children too release their files, ports and shared memory

    def terminate(self, timeout_s: float = 30.0) -> int:
        """Ask it to end (SIGTERM), wait, and return its code.

        Raises:
            TimeoutError: it did not end in that time.
        """
        process = self._running()
        process.terminate()
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self._arguments[0]} goes on {timeout_s:g} s after SIGTERM") from None

    def restart(self) -> None:
        """Kill it and start it again: same ports, same folder."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop it in its tracks (SIGSTOP): connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> list[int]:
        """Signal the process, its group and its children, which have groups of their own in PostgreSQL."""
        family = _descendants(self.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return family

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError(f"{self._arguments[0]} was never started")
        return self._process

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]") -> None:
        give_up_at_s = time.monotonic() + self._start_timeout_s
        while not self._is_ready(self):
            if process.poll() is not None:
                self._fail(f"ended with code {process.returncode}")
            if time.monotonic() > give_up_at_s:
                self._fail(f"did not answer within {self._start_timeout_s:g} s")
            time.sleep(_LOOK_AGAIN_S)

    def _fail(self, why: str) -> NoReturn:
        raise RuntimeError(f"{self._arguments[0]} {why}:\n{self.log[-4000:]}")


@contextmanager
def run_process(
    arguments: Sequence[str],
    *,
    ready: int | str | Callable[[ServerProcess], bool],
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    start_timeout_s: float = 60.0,
    user: str | None = None,
) -> Iterator[ServerProcess]:
    """Run a server for the length of the block and kill it at the end.

    Args:
        arguments: the command.
        ready: a port that accepts connections, a text in its log, or a function.
        folder: where it keeps its things; None for a temporary one.
        environment: added to this process's own.
        start_timeout_s: how long it may take to answer.
        user: whom to run it as, where this process is root; see `drop_root`.
    """
    with server_folder(folder, user) as home:
        server = ServerProcess(
            arguments,
            is_ready=_readiness(ready),
            folder=home,
            environment=environment,
            start_timeout_s=start_timeout_s,
            user=user,
        )
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def server_folder(folder: Path | None = None, user: str | None = None) -> Iterator[Path]:
    """Give a folder for the length of the block: the one named, or a temporary one that belongs to the user.

    Raises:
        ConfigurationError: the user may not enter the folder of temporary files.
    """
    if folder is not None:
        yield folder
        return
    made = Path(tempfile.mkdtemp(prefix="carboy-"))
    try:
        if user is not None:
            shutil.chown(made, user)
            _check_entry(made, user)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _check_entry(folder: Path, user: str) -> None:
    uid, gid, groups = _identity(user)
    if subprocess.run(["test", "-x", folder], user=uid, group=gid, extra_groups=groups, check=False).returncode:
        raise ConfigurationError(
            f"the user `{user}` may not enter {folder.parent}",
            "this process is root, the server refuses to be, and it keeps its files there",
            f"chmod o+x {folder.parent} and the folders above it, or name another folder in TMPDIR",
        )


def drop_root(*names: str) -> str | None:
    """Return the first of these users that exists, where this process is root and a server refuses to be; else None."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in (*names, "nobody") if name in known)


def find_binary(name: str, package: str, *folders: str) -> str:
    """Return the path of a program.

    Args:
        name: of the program.
        package: what to install when it is missing.
        folders: where to look beside `PATH`, and before it.

    Raises:
        MissingBinary: it is nowhere.
    """
    found = shutil.which(name, path=os.pathsep.join([*folders, read_environ().get("PATH", ""), "/usr/sbin"]))
    if found is None:
        missing(name, f"apt-get install --no-install-recommends {package}")
    return found


def missing(name: str, hint: str) -> NoReturn:
    """Say that a program is missing and how to get it."""
    raise MissingBinary(f"`{name}` is not installed", "a test wants to run it", hint)


@contextmanager
def require(starter: Callable[..., AbstractContextManager[_T]], *arguments: Any, **named: Any) -> Iterator[_T]:
    """Run a server for a pytest test, which is skipped where the server is not installed (and fails where `CI=true`).

    Args:
        starter: such as `mariadb`.
        arguments: of the starter.
        named: of the starter.
    """
    import pytest

    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(starter(*arguments, **named))
        except MissingBinary as error:
            stop = pytest.fail if read_environ().get("CI") == "true" else pytest.skip
            stop(f"{error}; {error.hint}")
        yield server


def _readiness(ready: int | str | Callable[[ServerProcess], bool]) -> Callable[[ServerProcess], bool]:
    match ready:
        case int(port):
            return lambda _: takes_connections(port)
        case str(text):
            return lambda server: text in server.log
        case _:
            return ready


def _identity(user: str | None) -> tuple[int | None, int | None, list[int] | None]:
    """Return the user, group and further groups to run as; None for the current user."""
    if user is None:
        return None, None, None
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid, []


def _processes() -> Iterator[tuple[int, int, int]]:
    """Yield the number, parent and group of each process, but for those that only wait to be reaped."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state, parent, group = path.read_text("utf-8", "replace").rpartition(")")[2].split()[:3]
            if state not in {"Z", "X"}:
                yield int(path.parent.name), int(parent), int(group)


def _descendants(pid: int) -> list[int]:
    """Return the children of a process, their children, and so on."""
    children: dict[int, list[int]] = {}
    for child, parent, _ in _processes():
        children.setdefault(parent, []).append(child)
    found, pending = [], [pid]
    while pending:
        pending += (more := children.get(pending.pop(), []))
        found += more
    return found
