"""Wait until rows are done: notified by this process, polling for rows that others run."""

import threading
import time
from collections.abc import Callable, Collection

_FIRST_LOOK_S, _LONGEST_PAUSE_S = 0.01, 0.25


class _Waiter:
    def __init__(self, rows: Collection[int]) -> None:
        self.left = set(rows)
        self.news = threading.Event()


class Waiters:
    """The callers that wait for rows in this process.

    Args:
        seats: how many may wait at the same time.
    """

    def __init__(self, seats: int) -> None:
        self._seats = threading.Semaphore(max(0, seats))
        self._lock = threading.Lock()
        self._waiting: set[_Waiter] = set()

    def wait(self, rows: Collection[int], is_done: Callable[[], bool], wait_s: float) -> bool:
        """Wait until `is_done`; return whether that came within `wait_s` seconds: False too where no seat is free.

        Args:
            rows: their ids; `is_done` is called when all of them were notified, and now and then.
            is_done: looks the rows up.
            wait_s: how long to wait.
        """
        if not self._seats.acquire(blocking=False):
            return False
        waiter = _Waiter(rows)
        with self._lock:
            self._waiting.add(waiter)
        try:
            deadline_s = time.monotonic() + wait_s
            pause_s = _FIRST_LOOK_S
            while not is_done():
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return False
                waiter.news.wait(min(pause_s, left_s))
                waiter.news.clear()
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            return True
        finally:
            with self._lock:
                self._waiting.discard(waiter)
            self._seats.release()

    def notify(self, row: int) -> None:
        """Notify of a row that is done; call it after the commit."""
        if not self._waiting:
            return
        with self._lock:
            for waiter in self._waiting:
                if row in waiter.left:
                    waiter.left.discard(row)
                    if not waiter.left:
                        waiter.news.set()
