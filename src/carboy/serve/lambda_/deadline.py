"""Stop work shortly before Lambda would kill it, so that the caller gets an answer and the log a line.

On the main thread, where Lambda calls its handler, one watching thread for the process sends a signal, whose handler
raises `DeadlineReached` in the work: a wait for a socket ends, `finally` blocks and context managers run, connections
go back, and the next event finds the process in order. Work that never comes back to Python (a long computation in C)
cannot be stopped so, and is killed by Lambda as before. On any other thread the work gets a thread of its own, which is
left behind.

The watching thread sleeps until the deadline that it knows of; work that ends in time wakes no thread, and costs
less than a microsecond.
"""

import signal
import threading
from collections.abc import Callable
from functools import cache
from threading import get_ident
from time import monotonic
from typing import TypeVar

from carboy.threaded_call import ThreadedCall

_NEVER = float("inf")
_LONGEST_WAIT_S = 3600.0  # it looks again then; waits without end are not possible on every platform
_SIGNAL = signal.SIGRTMIN + 9 if hasattr(signal, "SIGRTMIN") else signal.SIGUSR2

First = TypeVar("First")
Second = TypeVar("Second")
Result = TypeVar("Result")


class DeadlineReached(BaseException):
    """Time is up. Not an Exception, so that `except Exception` in the work lets it pass."""


@cache
def process_watchdog() -> "Watchdog":
    """Return the watchdog of this process: signals are the process's, so there is one."""
    return Watchdog()


class Watchdog:
    """Runs work with a limit of time; one piece of work at a time on the main thread."""

    def __init__(self) -> None:
        self._due = _NEVER  # when the running work must end
        self._planned = -_NEVER  # when the watching thread will look next
        self._bell = threading.Event()
        self._main = threading.main_thread().ident or 0
        self._is_watching = False

    def run(self, work: Callable[[First, Second], Result], first: First, second: Second, seconds: float) -> Result:
        """Run work on two arguments and return its result.

        Raises:
            DeadlineReached: it did not end in that many seconds.
        """
        if seconds <= 0:
            raise DeadlineReached
        if seconds == _NEVER:
            return work(first, second)
        if get_ident() != self._main:
            return ThreadedCall(lambda: work(first, second), "carboy-event").wait(seconds, DeadlineReached())
        if not self._is_watching:
            self._watch()
        due = monotonic() + seconds
        try:
            self._due = due
            if due < self._planned:
                self._bell.set()
            return work(first, second)
        finally:
            self._due = _NEVER

    def _watch(self) -> None:
        signal.signal(_SIGNAL, self._on_signal)
        threading.Thread(target=self._sleep_and_look, name="carboy-deadline", daemon=True).start()
        self._is_watching = True

    def _on_signal(self, _signal: int, _frame: object) -> None:
        if monotonic() >= self._due:  # else the work has ended meanwhile, and this is another's time
            self._due = _NEVER
            raise DeadlineReached

    def _sleep_and_look(self) -> None:
        while True:
            due = self._due
            wait_s = due - monotonic()
            if wait_s <= 0:
                signal.pthread_kill(self._main, _SIGNAL)
                wait_s = 0.05  # and once more, should the main thread be in C all the while
            self._planned = due
            if self._due >= due:  # else it was set between the two lines above, without a notification
                self._bell.wait(min(wait_s, _LONGEST_WAIT_S))
            self._bell.clear()
