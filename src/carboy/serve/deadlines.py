"""End the waits that take too long: one thread looks after all that wait for a client's bytes."""

import itertools
import threading
from collections.abc import Callable
from typing import NamedTuple

from carboy.clock import SYSTEM_CLOCK, Clock

__all__ = ["Deadlines"]

_CROWDED_AGE_S = 1.0


class _Wait(NamedTuple):
    began_s: float
    until_s: float
    end: Callable[[], None]


class Deadlines:
    """Waits under way, each with a time and a way to end it.

    A wait costs two dictionary operations and no lock, as every request with a body has one. When more than
    `max_waiting` threads wait at once, those that wait longest (over a second) are ended first: slow clients never
    hold every thread.

    Args:
        max_waiting: how many waits are let be.
        clock: tells the time.
    """

    def __init__(self, max_waiting: int, clock: Clock = SYSTEM_CLOCK) -> None:
        self._max_waiting, self._clock = max_waiting, clock
        self._waits: dict[int, _Wait] = {}
        self._numbers = itertools.count()
        self._stopped = threading.Event()

    def begin(self, timeout_s: float, end: Callable[[], None]) -> int:
        """Note that a wait begins, and return its number for `finish`.

        Args:
            timeout_s: how long it may take.
            end: called from another thread when the time is over; it makes the wait come back.
        """
        number = next(self._numbers)
        now_s = self._clock.monotonic_s()
        self._waits[number] = _Wait(now_s, now_s + timeout_s, end)
        return number

    def finish(self, number: int) -> bool:
        """Note that a wait is over; return whether it was in time."""
        return self._waits.pop(number, None) is not None

    def sweep(self) -> int:
        """End what is overdue, and the oldest of a crowd; return how many were ended."""
        now_s = self._clock.monotonic_s()
        waits = list(self._waits.items())
        crowd = len(waits) - self._max_waiting
        ended = 0
        for number, wait in waits:  # in the order they began
            is_late = wait.until_s <= now_s
            is_crowded = ended < crowd and now_s - wait.began_s >= _CROWDED_AGE_S
            if (is_late or is_crowded) and self._waits.pop(number, None) is not None:
                ended += 1
                wait.end()
        return ended

    def run(self, every_s: float = 0.25) -> None:
        """Sweep until `stop`, in a thread of its own."""

        def work() -> None:
            while not self._stopped.wait(every_s):
                self.sweep()

        threading.Thread(target=work, name="carboy-deadlines", daemon=True).start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
