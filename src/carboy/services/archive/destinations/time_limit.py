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
        most: as long as so many have not returned, no further one begins.
    """

    def __init__(self, timeout_s: float, most: int) -> None:
        self._timeout_s, self._most = timeout_s, most
        self._lock = threading.Lock()
        self._late: set[threading.Thread] = set()

    def run(self, call: Callable[[], T]) -> T:
        """Return what a call returns, and raise what it raises.

        Raises:
            Unreachable: it did not return in time, or too many before it have not returned yet.
        """
        with self._lock:
            self._late = {one for one in self._late if one.is_alive()}
            late = len(self._late)
        if late >= self._most:
            why = f"{late} earlier calls have not returned"
            raise Unreachable("the call was not made", why, "give what is called time-outs of its own")
        results: list[T] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                results.append(call())
            except BaseException as error:  # noqa: BLE001 (it is raised again in the thread that waits)
                errors.append(error)

        thread = threading.Thread(target=copy_context().run, args=(work,), name="timed-call", daemon=True)
        thread.start()
        thread.join(self._timeout_s)
        if errors:
            raise errors[0]
        if not results:
            with self._lock:
                self._late.add(thread)
            raise Unreachable("the call", "no response in time", "see what is called, or raise timeout_s")
        return results[0]
