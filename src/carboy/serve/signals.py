"""SIGTERM and SIGINT: the first asks for an orderly stop, the second ends the process at once."""

import os
import signal
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any, Self

_STOP_ON = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Waits for a signal to stop, in the main thread.

    The interpreter itself writes each signal's number to a pipe: a handler in Python runs between two instructions,
    and one for a signal that came just before the wait began would never run.
    """

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe()
        self._before: Mapping[int, Any] = {}
        self.is_stopping: bool = False

    def __enter__(self) -> Self:
        self._before = {one: signal.signal(one, self._on_stop) for one in _STOP_ON}
        os.set_blocking(self._write_fd, False)
        self._fd_before = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read_fd)
        os.close(self._write_fd)

    def wait_for_stop(self) -> None:
        """Wait for the first signal to stop."""
        while os.read(self._read_fd, 1)[0] not in _STOP_ON:
            pass

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        if self.is_stopping:
            sys.stderr.write("stopped at once: what was under way is cut\n")
            sys.stderr.flush()
            os._exit(128 + number)
        self.is_stopping = True
