"""A limit for calls that have none of their own: each runs in a thread, which is left behind when its time is over."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

from carboy.errors import Unreachable

T = TypeVar("T")


class TimeLimit:
    """Runs calls, each for a limited time in all.

    A thread cannot be ended: a call that does not return in time goes on, and what it returns is ignored.

    Args:
        timeout_s: for one call.
        most: as long as so many have not returned, in time or late, no further one begins.
    """

    def __init__(self, timeout_s: float, most: int) -> None:
        self._timeout_s, self._most = timeout_s, most
        self._lock = threading.Lock()
        self._running: set[threading.Thread] = set()

    def run(self, call: Callable[[], T]) -> T:
        """Return what a call returns, and raise what it raises.

        Raises:
            Unreachable: it did not return in time, or too many before it have not returned yet.
        """
        results: list[T] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                results.append(call())
            except BaseException as error:  # noqa: BLE001 (it is raised again in the thread that waits)
                errors.append(error)

        thread = self._start(work)
        thread.join(self._timeout_s)
        if errors:
            raise errors[0]
        if not results:
            raise Unreachable("the call", "no response in time", "see what is called, or raise timeout_s")
        return results[0]

    def _start(self, work: Callable[[], None]) -> threading.Thread:
        with self._lock:
            self._running = {one for one in self._running if one.is_alive()}
            if len(self._running) >= self._most:
                why = f"{len(self._running)} earlier calls have not returned"
                raise Unreachable("the call was not made", why, "give what is called time-outs of its own")
            thread = threading.Thread(target=copy_context().run, args=(work,), name="timed-call", daemon=True)
            thread.start()
            self._running.add(thread)
        return thread
