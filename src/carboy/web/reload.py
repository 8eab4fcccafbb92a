"""Reload the settings of a running service: on SIGHUP, or by `carboy settings refresh`.

Every process that serves keeps a locked file in the instance folder. The lock ends with the process,
so that another process that got the same id is never signalled.
"""

import fcntl
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any

from carboy.config import Live
from carboy.private_folders import make_private_folder

_FOLDER = "running"


class RefreshOnRequest:
    """Refreshes settings when this process is asked to.

    Args:
        live: the settings.
        instance: the instance folder.
    """

    def __init__(self, live: Live, instance: Path) -> None:
        self._live, self._path = live, instance / _FOLDER / str(os.getpid())
        self._had_terminal = has_terminal()
        self._before: Any = None
        self._file: IO[bytes] | None = None

    def start(self) -> None:
        """Listen, where this is the main thread; only there can a process listen to signals."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._before = signal.signal(signal.SIGHUP, self._on_hup)
        with suppress(OSError):  # an instance folder that cannot be written to: signals do without it
            make_private_folder(self._path.parent)
            self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600), "wb")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def stop(self) -> None:
        """Stop listening."""
        if self._before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGHUP, self._before)
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._file.close()

    def _on_hup(self, _number: int, _frame: FrameType | None) -> None:
        if self._had_terminal and not has_terminal():
            os.kill(os.getpid(), signal.SIGTERM)  # its window was closed
        else:
            threading.Thread(target=self._live.refresh, name="carboy-settings", daemon=True).start()


def ask_all(instance: Path) -> list[int]:
    """Ask every process that serves from an instance folder to reload its settings; return their ids."""
    asked = []
    for path in sorted((instance / _FOLDER).glob("[0-9]*")):
        with suppress(OSError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # the lock is taken: the process is alive, and the id is its own
                os.kill(int(path.name), signal.SIGHUP)
                asked.append(int(path.name))
            else:
                path.unlink(missing_ok=True)
    return asked


def has_terminal() -> bool:
    """Return whether this process has a controlling terminal."""
    try:
        return sys.stdin is not None and os.tcgetpgrp(sys.stdin.fileno()) >= 0
    except (OSError, ValueError):
        return False
