"""SIGTERM and SIGINT: the first asks for an orderly stop, the second ends the process at once."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Self

__all__ = ["StopSignals"]

_STOP, _CHILD = b".", b"c"


class StopSignals:
    """Waits for a signal to stop, in the main thread.

    A handler only writes a byte to a pipe: it takes no lock that the interrupted code could hold.

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
        self.is_stopping = False

    def __enter__(self) -> Self:
        before: dict[int, Any] = {one: signal.signal(one, self._on_stop) for one in self._stop_on}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, self._on_child)
        self._before = before
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read_fd)
        os.close(self._write_fd)

    def wait(self) -> bool:
        """Wait for the first signal to stop; return True for it, False when a child process may have ended."""
        return os.read(self._read_fd, 1) == _STOP

    def wait_for_stop(self) -> None:
        """Wait for the first signal to stop."""
        while not self.wait():
            pass

    def stop(self) -> None:
        """Have `wait` come back as though a signal had come; for any thread."""
        os.write(self._write_fd, _STOP)

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        if self.is_stopping:
            self._force()
            sys.stderr.write("stopped at once: what was under way is cut\n")
            sys.stderr.flush()
            os._exit(128 + number)
        self.is_stopping = True
        os.write(self._write_fd, _STOP)

    def _on_child(self, _number: int, _frame: FrameType | None) -> None:
        os.write(self._write_fd, _CHILD)
