"""Poll interval: one thread in each interval reads what other processes have written."""

import threading

from carboy.clock import Clock


class PollInterval:
    """Says once in each interval that it is time, to any number of threads.

    Args:
        every_s: the interval.
        clock: the time.
    """

    def __init__(self, every_s: float, clock: Clock) -> None:
        self._every_s, self._clock = every_s, clock
        self._lock = threading.Lock()
        self._due_at_s = float("-inf")

    def is_due(self) -> bool:
        """Return whether this caller is the first of an interval; the interval begins with it."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            if now_s < self._due_at_s:
                return False
            self._due_at_s = now_s + self._every_s
            return True
