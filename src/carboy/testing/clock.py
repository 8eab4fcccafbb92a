"""A clock that the test moves: nothing waits in real time, and every wait is on record."""

import threading
from typing import Literal

_PATIENCE_S = 30.0  # a test that forgot to advance fails instead of hanging


class ManualClock:
    """Time that stands still until it is moved; satisfies `carboy.clock.Clock`, from any number of threads.

    Attributes:
        waits: the seconds of every `sleep`, in the order in which they began.
    """

    def __init__(self, start_ms: int = 1_700_000_000_000, sleep: Literal["moves", "waits"] = "moves") -> None:
        """Set the clock.

        Args:
            start_ms: the wall clock at the start, milliseconds since the Unix epoch.
            sleep: whether `sleep` moves the time itself, or waits until another thread advances it far enough.
        """
        self.waits: list[float] = []
        self._start_ms = start_ms
        self._jumped_ms = 0
        self._elapsed_us = 0  # whole microseconds: ten steps of 0.1 s are one second
        self._sleep = sleep
        self._sleepers = 0
        self._changed = threading.Condition()

    def now_ms(self) -> int:
        """Return the wall clock: milliseconds since the Unix epoch, UTC."""
        return self._start_ms + self._jumped_ms + self._elapsed_us // 1000

    def monotonic_s(self) -> float:
        """Return the seconds by which the clock was moved since it was made."""
        return self._elapsed_us / 1_000_000

    def advance(self, seconds: float) -> None:
        """Move the time forward and wake every sleeper whose time has come."""
        with self._changed:
            self._move(seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as NTP does; the monotonic time stays, and no sleeper wakes."""
        with self._changed:
            self._jumped_ms += round(seconds * 1000)

    def sleep(self, seconds: float) -> None:
        """Move the time that far, or wait until another thread has.

        Raises:
            TimeoutError: the clock was not advanced for 30 real seconds.
        """
        with self._changed:
            self.waits.append(seconds)
            if self._sleep == "moves":
                self._move(max(0.0, seconds))
                return
            wake_us = self._elapsed_us + round(seconds * 1_000_000)
            self._sleepers += 1
            self._changed.notify_all()
            try:
                if not self._changed.wait_for(lambda: self._elapsed_us >= wake_us, _PATIENCE_S):
                    raise TimeoutError(f"the clock was not advanced while a thread slept {seconds:g} s on it")
            finally:
                self._sleepers -= 1

    def wait_for_sleepers(self, count: int = 1) -> None:
        """Wait, in real time, until that many threads sleep on the clock.

        Raises:
            TimeoutError: they did not within 30 real seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._sleepers >= count, _PATIENCE_S):
                raise TimeoutError(f"{self._sleepers} threads sleep on the clock, not {count}")

    def _move(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("time does not go back")
        self._elapsed_us += round(seconds * 1_000_000)
        self._changed.notify_all()
