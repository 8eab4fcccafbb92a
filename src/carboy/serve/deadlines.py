"""End waits for a client that take too long."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

from carboy.clock import SYSTEM_CLOCK, Clock

_CROWDED_AGE_S = 1.0


class _Wait(NamedTuple):
    began_s: float
    until_s: float
    end: Callable[[], None]


class Deadlines:
    """Threads that wait for a client, each with a deadline and a way to end the wait.

    A wait costs two dictionary operations and no lock, as every request with a body has one. When more than
    `max_waiting` threads wait at once, those that have waited longest (over a second) are ended first: slow clients
    never hold every thread.

    Args:
        max_waiting: how many threads may wait at once for longer than a second.
        clock: measures the waits.
    """

    def __init__(self, max_waiting: int, clock: Clock = SYSTEM_CLOCK) -> None:
        self._max_waiting, self._clock = max_waiting, clock
        self._waits: dict[int, _Wait] = {}
        self._numbers = itertools.count()

    def begin(self, timeout_s: float, end: Callable[[], None], waited_s: float = 0.0) -> int:
        """Register a wait that begins, and return its number for `finish`.

        Args:
            timeout_s: how long it may take.
            end: called from another thread when the time is over; it makes the waiting call return.
            waited_s: how long the same request has waited before.
        """
        number = next(self._numbers)
        now_s = self._clock.monotonic_s()
        self._waits[number] = _Wait(now_s - waited_s, now_s + timeout_s, end)
        return number

    def finish(self, number: int) -> bool:
        """Remove a wait that is over; return whether it was in time."""
        return self._waits.pop(number, None) is not None

    def sweep(self) -> int:
        """End the waits that are overdue, and the longest ones of a crowd; return how many were ended."""
        now_s = self._clock.monotonic_s()
        waits = sorted(self._waits.copy().items(), key=lambda item: item[1].began_s)
        crowd = len(waits) - self._max_waiting
        ended = 0
        for number, wait in waits:
            is_late = wait.until_s <= now_s
            is_crowded = ended < crowd and now_s - wait.began_s >= _CROWDED_AGE_S
            if (is_late or is_crowded) and self._waits.pop(number, None) is not None:
                ended += 1
                wait.end()
        return ended
