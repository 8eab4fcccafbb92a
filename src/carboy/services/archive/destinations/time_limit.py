"""A limit for calls that have none of their own: a call whose time is over is left behind in its thread."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from carboy.errors import Unreachable
from carboy.threaded_call import ThreadedCall

T = TypeVar("T")


class TimeLimit:
    """Runs calls, each for a limited time in all.

    Args:
        timeout_s: for one call.
        most: as long as so many have not returned, in time or late, no further one begins.
    """

    def __init__(self, timeout_s: float, most: int) -> None:
        self._timeout_s, self._most = timeout_s, most
        self._lock = threading.Lock()
        self._running: set[ThreadedCall[Any]] = set()

    def run(self, call: Callable[[], T]) -> T:
        """Return what a call returns, and raise what it raises.

        Raises:
            Unreachable: it did not return in time, or too many before it have not returned yet.
        """
        late = Unreachable("the call", "no response in time", "see what is called, or raise timeout_s")
        return self._start(call).wait(self._timeout_s, late)

    def _start(self, call: Callable[[], T]) -> ThreadedCall[T]:
        with self._lock:
            self._running = {one for one in self._running if one.is_running}
            if len(self._running) >= self._most:
                why = f"{len(self._running)} earlier calls have not returned"
                raise Unreachable("the call was not made", why, "give what is called time-outs of its own")
            started = ThreadedCall(call, "timed-call")
            self._running.add(started)
        return started
