"""A call in a thread of its own, waited for no longer than allowed: nothing in Python can interrupt another thread."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Generic, TypeVar

__all__ = ["ThreadedCall"]

T = TypeVar("T")


class ThreadedCall(Generic[T]):
    """A call that has begun in a daemon thread, with the context variables of the thread that made it.

    Args:
        work: what is called.
        name: the thread's.
    """

    def __init__(self, work: Callable[[], T], name: str) -> None:
        self._work = work
        self._results: list[T] = []
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name=name, daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it has not returned yet."""
        return self._thread.is_alive()

    def wait(self, timeout_s: float, late: BaseException) -> T:
        """Return what it returns, and raise what it raises, or `late` where it does not return within `timeout_s`.

        A call that is late goes on; what it returns then is ignored.
        """
        self._thread.join(timeout_s)
        if self._errors:
            raise self._errors[0]
        if not self._results:
            raise late
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 (it is raised again in the thread that waits)
            self._errors.append(error)
