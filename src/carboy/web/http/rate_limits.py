"""Rate limits by caller: in one process, or shared by all processes of a database."""

import math
import threading
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.config import Rate
from carboy.errors import Unreachable

if TYPE_CHECKING:
    from carboy.db.shared_state import Shared

_SLOTS = 12


class _Window:
    __slots__ = ("count", "slots")

    def __init__(self) -> None:
        self.count = 0
        self.slots: deque[list[int]] = deque()  # [number of the slot, requests in it], the oldest first


class RateLimiter:
    """Sliding-window rate limit: at most `rate.count` requests of a caller in any `rate.period_s` seconds.

    Time is divided into twelfths of the period. A request is accepted while the slots that a window ending now can
    touch (the current one and the twelve before it) have less than the count; so no window ever has more, and a caller
    waits at most a thirteenth too long. Refused requests are not counted.

    Args:
        rate: how many in how long.
        max_callers: how many callers are counted; beyond that the least recent one is dropped, so that a scan from many
            addresses costs no memory and does not reset active callers.
        clock: the time.
    """

    def __init__(self, rate: Rate, *, max_callers: int = 50_000, clock: Clock = SYSTEM_CLOCK) -> None:
        self._count, self._slot_s = rate.count, rate.period_s / _SLOTS
        self._max_callers = max_callers
        self._now = clock.monotonic_s
        self._lock = threading.Lock()
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def __len__(self) -> int:
        """Return how many callers are counted."""
        return len(self._windows)

    def take(self, caller: str) -> float:
        """Count a request of this caller; return 0.0, or the seconds until the next request can be accepted."""
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

    def peek(self, caller: str) -> float:
        """Return the seconds for which a request of this caller would be refused; 0.0 for none, and count nothing."""
        now = self._now()
        slot = int(now / self._slot_s)
        with self._lock:
            window = self._windows.get(caller)
            counted = [one for one in window.slots if one[0] >= slot - _SLOTS] if window is not None else []
        if sum(count for _, count in counted) < self._count:
            return 0.0
        return max((counted[0][0] + _SLOTS + 1) * self._slot_s - now, 0.001)

    def _add(self, caller: str) -> _Window:
        if len(self._windows) >= self._max_callers:
            self._windows.popitem(last=False)
        made = self._windows[caller] = _Window()
        return made


class _Lease:
    __slots__ = ("left", "refused_until_ms", "request", "size", "slot")

    def __init__(self) -> None:
        self.slot = self.left = self.size = self.refused_until_ms = 0
        self.request = 1


class SharedRateLimiter(RateLimiter):
    """Sliding-window rate limit that all processes of a database share.

    A process leases several requests of a slot at a time: more when it uses them fast, fewer when few are left; so few
    requests wait for the database, and an idle process keeps few. While the database does not answer, each process
    counts for itself.

    Args:
        shared: the values of the database.
        name: of this limit.
        rate: how many in how long.
        max_callers: how many callers this process counts.
        clock: what time it is, the same for all processes.
    """

    def __init__(
        self, shared: "Shared", name: str, rate: Rate, *, max_callers: int = 50_000, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        super().__init__(rate, max_callers=max_callers, clock=clock)
        self._shared, self._name, self._now_ms = shared, name, clock.now_ms
        self._slot_ms = rate.period_s * 1000 / _SLOTS
        self._keep_s = 2 * rate.period_s
        self._leases: OrderedDict[str, _Lease] = OrderedDict()

    def take(self, caller: str) -> float:
        """Count a request of this caller; return 0.0, or the seconds until the next request can be accepted."""
        now_ms = self._now_ms()
        with self._lock:
            lease = self._lease(caller)
            if lease.refused_until_ms > now_ms:
                return (lease.refused_until_ms - now_ms) / 1000
            if lease.slot == int(now_ms / self._slot_ms):
                if lease.left:
                    lease.left -= 1
                    return 0.0
                lease.request = 2 * lease.size or 1
            else:
                lease.request = max(1, lease.size // 2)
            request = lease.request
        try:
            slot, size, until_ms = self._shared.change(
                f"rate:{self._name}:{caller}"[:150],
                lambda value, at_ms: self._grant(value, at_ms, request),
                keep_s=self._keep_s,
            )
        except Unreachable:
            return super().take(caller)
        with self._lock:
            lease = self._lease(caller)
            if not size:
                lease.refused_until_ms = until_ms
                return max((until_ms - now_ms) / 1000, 0.001)
            lease.left = size - 1 + (lease.left if lease.slot == slot else 0)
            lease.slot, lease.size = slot, size
            return 0.0

    def peek(self, caller: str) -> float:
        """Return the seconds for which this caller was found to be refused; 0.0 for none, and count nothing."""
        now_ms = self._now_ms()
        with self._lock:
            lease = self._leases.get(caller)
            until_ms = lease.refused_until_ms if lease is not None else 0
        return max(0.0, (until_ms - now_ms) / 1000) or super().peek(caller)

    def _grant(self, value: Any, now_ms: int, request: int) -> tuple[Any, tuple[int, int, int]]:
        """Return the counts by slot, and the slot, how many requests of it were granted, and until when none are."""
        slot = int(now_ms / self._slot_ms)
        slots = [list(one) for one in value or () if one[0] >= slot - _SLOTS]
        left = self._count - sum(count for _, count in slots)
        if left <= 0:
            return slots, (slot, 0, math.ceil((slots[0][0] + _SLOTS + 1) * self._slot_ms))
        size = min(request, max(1, left // 8))
        if slots and slots[-1][0] >= slot:
            slots[-1][1] += size
        else:
            slots.append([slot, size])
        return slots, (slot, size, 0)

    def _lease(self, caller: str) -> _Lease:
        found = self._leases.get(caller)
        if found is None:
            if len(self._leases) >= self._max_callers:
                self._leases.popitem(last=False)
            found = self._leases[caller] = _Lease()
        else:
            self._leases.move_to_end(caller)
        return found
