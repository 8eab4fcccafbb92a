"""Count requests by caller and say when there were too many; in memory, per process, bounded."""

import threading
from collections import OrderedDict, deque

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.config import Rate

__all__ = ["RateLimiter"]

_SLOTS = 12


class _Window:
    __slots__ = ("count", "slots")

    def __init__(self) -> None:
        self.count = 0
        self.slots: deque[list[int]] = deque()  # [number of the slot, requests in it], the oldest first


class RateLimiter:
    """Lets each caller have at most `rate.count` requests in any `rate.period_s` seconds.

    Time is cut into twelfths of the period. A request is let in while the slots that a window ending now can touch
    (the running one and the twelve before it) hold less than the count; so no window, wherever it begins, ever
    holds more, and a caller waits for at most a thirteenth too long. Refused requests are not counted.

    Args:
        rate: how many in how long.
        max_callers: how many callers are remembered; of more the one longest unseen is forgotten, so that a scan
            from many addresses costs no memory and does not free those who go on asking.
        clock: what time it is.
    """

    def __init__(self, rate: Rate, *, max_callers: int = 50_000, clock: Clock = SYSTEM_CLOCK) -> None:
        self._count, self._slot_s = rate.count, rate.period_s / _SLOTS
        self._max_callers = max_callers
        self._now = clock.monotonic_s
        self._lock = threading.Lock()
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def __len__(self) -> int:
        """Return how many callers are remembered."""
        return len(self._windows)

    def take(self, caller: str) -> float:
        """Count a request of this caller; return 0.0, or how many seconds from now it is worth to ask again."""
        now = self._now()
        slot = int(now / self._slot_s)
        with self._lock:
            window = self._windows.get(caller)
            if window is None:
                window = self._add(caller)
            else:
                self._windows.move_to_end(caller)
            slots = window.slots
            while slots and slots[0][0] < slot - _SLOTS:
                window.count -= slots.popleft()[1]
            if window.count >= self._count:
                return max((slots[0][0] + _SLOTS + 1) * self._slot_s - now, 0.001)
            if slots and slots[-1][0] >= slot:
                slots[-1][1] += 1
            else:
                slots.append([slot, 1])
            window.count += 1
            return 0.0

    def _add(self, caller: str) -> _Window:
        if len(self._windows) >= self._max_callers:
            self._windows.popitem(last=False)
        made = self._windows[caller] = _Window()
        return made
