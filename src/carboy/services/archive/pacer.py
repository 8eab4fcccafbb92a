"""A bucket that keeps to a rate: for the threads of a process, or for all processes that share a database."""

import threading
from typing import TYPE_CHECKING

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.config import Rate
from carboy.errors import Unreachable

if TYPE_CHECKING:
    from carboy.db import Shared


class Pacer:
    """A rate limit that makes threads wait for evenly spaced turns, which are never saved up.

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


class SharedBucket(Pacer):
    """A rate limit shared by all processes; per process while the database does not answer.

    Args:
        shared: the values of the database.
        name: of this sequence of turns.
        rate: how many in how long.
        clock: what time it is, the same for all processes.
    """

    def __init__(self, shared: "Shared", name: str, rate: Rate, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(rate, clock)
        self._shared, self._name = shared, name

    def take(self, patience_s: float = 0.0) -> float:
        """Take the next turn if it comes within that time, and return how long to wait for it.

        When it does not, nothing is taken, and what is returned is longer than `patience_s`.
        """

        def step(next_ms: float | None, now_ms: int) -> tuple[float | None, float]:
            turn_ms = max(next_ms or 0.0, now_ms)
            wait_s = (turn_ms - now_ms) / 1000
            return (turn_ms + self._every_s * 1000 if wait_s <= patience_s else next_ms), wait_s

        try:
            return self._shared.change(self._name, step)
        except Unreachable:
            return super().take(patience_s)

    def pause(self, seconds: float) -> None:
        """Let nothing through for that long: the other side has asked for it."""
        super().pause(seconds)

        def step(next_ms: float | None, now_ms: int) -> tuple[float, None]:
            return max(next_ms or 0.0, now_ms + seconds * 1000), None

        try:
            self._shared.change(self._name, step)
        except Unreachable:
            return
