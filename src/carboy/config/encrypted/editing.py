"""Edit plain text in a private file that is removed on every way out.

The text lies in a private folder on a memory file system where there is one. No shell is involved.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from carboy.errors import CarboyError, UsageError

_PREFIX = "carboy-edit-"
_MEMORY_FOLDERS = ("/dev/shm", "/run/shm")  # noqa: S108 (a memory file system is what is wanted)
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class EditorFailed(CarboyError):
    """The editor ended with an error, so that what it left is not taken."""


def memory_folder() -> Path:
    """Return a folder in memory where the system has one, else its folder for temporary files."""
    for name in _MEMORY_FOLDERS:
        if os.path.isdir(name) and os.access(name, os.W_OK | os.X_OK):
            return Path(name)
    return Path(tempfile.gettempdir())


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder that only this user enters, removed on every way out: errors, SIGTERM, SIGHUP, Ctrl-C.

    What a killed process (SIGKILL) left behind is removed by the next.
    """
    root = memory_folder()
    _sweep(root)
    before = {number: signal.signal(number, _end) for number in _ENDING}
    folder: Path | None = None
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=root))
        yield folder
    finally:
        for number in (*_ENDING, signal.SIGINT):
            before.setdefault(number, signal.getsignal(number))
            signal.signal(number, signal.SIG_IGN)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _sweep(root: Path) -> None:
    for folder in root.glob(f"{_PREFIX}*"):
        with suppress(OSError, ValueError):
            if folder.lstat().st_uid == os.getuid() and not folder.is_symlink():
                _signal_nothing(int(folder.name.removeprefix(_PREFIX).partition("-")[0]), folder)


def _signal_nothing(process: int, folder: Path) -> None:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        shutil.rmtree(folder, ignore_errors=True)


def split_editor(editor: str) -> list[str]:
    """Return the words of an editor's command; quotes hold together, nothing else is special.

    Raises:
        UsageError: it is empty, or a quote is open.
    """
    try:
        words = shlex.split(editor)
    except ValueError as error:
        raise UsageError("the editor's command cannot be read", str(error), "close its quotes") from None
    if not words:
        raise UsageError("there is no editor", "its command is empty", "name one: --editor vi")
    return words


def run_editor(words: Sequence[str], path: Path) -> None:
    """Run an editor on a file until it ends; when this process must end, so must the editor.

    Raises:
        EditorFailed: it could not be started, or ended with an error.
    """
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    # The terminal sends Ctrl-C to the editor as well, which knows better what it means.
    before: Any = signal.signal(signal.SIGINT, _ignore) if is_terminal else signal.getsignal(signal.SIGINT)
    try:
        code = _wait([*words, str(path)])
    except OSError as error:
        raise EditorFailed(
            f"the editor `{words[0]}` was not started",
            error.strerror or "the system refuses it",
            "name one: --editor vi",
        ) from None
    finally:
        signal.signal(signal.SIGINT, before)
    if code in {-signal.SIGINT, 128 + signal.SIGINT}:
        raise KeyboardInterrupt
    if code != 0:
        why = f"it ended with {code}" if code > 0 else f"it was ended by signal {-code}"
        raise EditorFailed(f"nothing was taken from the editor `{words[0]}`", why, "save and leave it without an error")


def _ignore(_number: int, _frame: FrameType | None) -> None:
    return


def _wait(command: list[str]) -> int:
    process = subprocess.Popen(command)  # no shell
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
