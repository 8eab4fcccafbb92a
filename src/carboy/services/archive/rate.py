"""A bucket that keeps to a rate.

A bucket belongs to one process; several processes together may do several times as much.
"""

import threading

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.config import Rate

__all__ = ["TokenBucket"]


class TokenBucket:
    """Hands out turns, evenly spaced and never saved up, to any number of threads.

    So no stretch of a rate's period holds more than its count. It says how long to wait and never waits itself.
    """

    def __init__(self, rate: Rate, clock: Clock = SYSTEM_CLOCK) -> None:
        self._every_s = rate.period_s / rate.count
        self._clock = clock
        self._next_s = clock.monotonic_s()  # when the next turn is
        self._lock = threading.Lock()

    def take(self, patience_s: float = 0.0) -> float:
        """Take the next turn if it comes within that time, and return how long to wait for it.

        When it does not, nothing is taken, and what is returned is longer than `patience_s`.
        """
        with self._lock:
            now_s = self._clock.monotonic_s()
            turn_s = max(self._next_s, now_s)
            wait_s = turn_s - now_s
            if wait_s <= patience_s:
                self._next_s = turn_s + self._every_s
            return wait_s

    def pause(self, seconds: float) -> None:
        """Let nothing through for that long: the other side has asked for it."""
        with self._lock:
            self._next_s = max(self._next_s, self._clock.monotonic_s() + seconds)
