"""Sampling: decide which requests are traced, where the caller did not."""

from dataclasses import dataclass, field

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.jitter import SYSTEM_RANDOM


@dataclass(slots=True)
class Sampler:
    """Samples the first requests of each second, and a part of the others.

    Attributes:
        rate: the part, from 0 (none, and none of the first either) to 1 (all).
        per_second: how many of each second are taken in any case.
        clock: for the seconds.
    """

    rate: float = 1.0
    per_second: int = 1
    clock: Clock = SYSTEM_CLOCK
    _second: int = field(default=-1, init=False)
    _taken: int = field(default=0, init=False)

    def __call__(self) -> bool:
        """Return whether the next request is traced; threads that ask at the same moment may get one more."""
        if self.rate >= 1 or self.rate <= 0:
            return self.rate >= 1
        second = int(self.clock.monotonic_s())
        if second != self._second:
            self._second, self._taken = second, 0
        if self._taken < self.per_second:
            self._taken += 1
            return True
        return SYSTEM_RANDOM.random() < self.rate
