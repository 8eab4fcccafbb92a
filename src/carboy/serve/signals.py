"""SIGTERM and SIGINT: the first asks for an orderly stop, the second ends the process at once."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Self

__all__ = ["StopSignals"]


class StopSignals:
    """Waits for a signal to stop, in the main thread.

    The interpreter itself writes each signal's number to a pipe: a handler in Python runs between two instructions,
    and one for a signal that came just before the wait began would never run.

    Args:
        stop_on: the signals that ask for a stop.
        force: called at the second signal, before the process ends.
    """

    def __init__(
        self,
        stop_on: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT),
        force: Callable[[], None] = lambda: None,
    ) -> None:
        self._stop_on, self._force = stop_on, force
        self._read_fd, self._write_fd = os.pipe()
        self._before: Mapping[int, Any] = {}
        self.is_stopping: bool = False

    def __enter__(self) -> Self:
        before: dict[int, Any] = {one: signal.signal(one, self._on_stop) for one in self._stop_on}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        self._before = before
        os.set_blocking(self._write_fd, False)
        self._fd_before = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read_fd)
        os.close(self._write_fd)

    def wait(self) -> bool:
        """Wait for the first signal to stop; return True for it, False when a child process may have ended."""
        return os.read(self._read_fd, 1)[0] in self._stop_on

    def wait_for_stop(self) -> None:
        """Wait for the first signal to stop."""
        while not self.wait():
            pass

    def stop(self) -> None:
        """Have `wait` come back as though a signal had come; for any thread."""
        os.write(self._write_fd, bytes([self._stop_on[0]]))

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        if self.is_stopping:
            self._force()
            sys.stderr.write("stopped at once: what was under way is cut\n")
            sys.stderr.flush()
            os._exit(128 + number)
        self.is_stopping = True
