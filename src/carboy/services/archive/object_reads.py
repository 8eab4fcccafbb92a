"""Call the object store for requests: several calls at the same time, and no wait for a store that does not answer.

Such a store would otherwise hold the threads of the server, and with them those that accept webhooks.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, TypeVar

from carboy.circuit_breaker import CircuitBreaker
from carboy.errors import Unreachable, UpstreamError
from carboy.services.archive.objects import Entry, Store

T = TypeVar("T")
Result = bytes | UpstreamError
_Arrived = SimpleQueue[tuple[int, Any]]

_LISTED = 1000  # entries for which one wait counts: a page of S3


class ObjectReads:
    """Reads of one store, by all requests of this process.

    Args:
        store: what is read.
        parallel: calls at the same time.
        patience_s: how long a request waits while nothing arrives; then calls fail at once, but for one in as long.
    """

    def __init__(self, store: Store, parallel: int, patience_s: float) -> None:
        self._store, self._patience_s = store, patience_s
        self._pool = ThreadPoolExecutor(max(1, parallel), thread_name_prefix="archive-read")
        self._breaker = CircuitBreaker(patience_s, 2 * patience_s)
        self._arrived_s = monotonic()

    def get(self, key: str) -> bytes:
        """Return an object's content; raises as `Store.get`, and `Unreachable` where it does not arrive in time."""
        return self.run(partial(self._store.get, key))

    def get_all(self, keys: Sequence[str]) -> list[Result]:
        """Return the contents of objects, in the order of their keys, with the error in the place of each that fails.

        Raises:
            Exception: an error of the store that is not an `UpstreamError`.
        """
        return self.run_all([partial(self._store.get, key) for key in keys])

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield the objects below a prefix; raises as `Store.list`, and `Unreachable` where no page arrives in time."""
        listed = iter(self._store.list(prefix))
        while page := self.run(lambda: tuple(islice(listed, _LISTED))):
            yield from page

    def run(self, call: Callable[[], T]) -> T:
        """Return what a call to the store returns, and raise what it raises; `Unreachable` where it takes too long."""
        [result] = self.run_all([call])
        if isinstance(result, UpstreamError):
            raise result
        return result

    def run_all(self, calls: Sequence[Callable[[], T]]) -> list[T | UpstreamError]:
        """Return what calls to the store return, in their order, with the error in the place of each that fails.

        Raises:
            Exception: an error of a call that is not an `UpstreamError`.
        """
        results: list[T | UpstreamError] = [_late() for _ in calls]
        if not calls or self._breaker.ask() == "open":
            return results
        arrived: _Arrived = SimpleQueue()
        futures = [self._pool.submit(self._run, call, at, arrived) for at, call in enumerate(calls)]
        left = len(calls)
        while left:
            try:
                at, result = arrived.get(timeout=self._patience_s)
            except Empty:
                if monotonic() - self._arrived_s < self._patience_s:  # others come first
                    continue
                for future in futures:
                    future.cancel()
                self._breaker.open(_late())
                return results
            if isinstance(result, Exception) and not isinstance(result, UpstreamError):
                raise result
            results[at] = result
            left -= 1
        self._breaker.close()
        return results

    def _run(self, call: Callable[[], Any], at: int, arrived: _Arrived) -> None:
        try:
            arrived.put((at, call()))
        except Exception as error:  # noqa: BLE001 (raised in the thread that waits for it)
            arrived.put((at, error))
            if isinstance(error, Unreachable):
                return
        self._arrived_s = monotonic()


def _late() -> Unreachable:
    return Unreachable(
        "the archive could not be read", "the object store does not answer", "see `object store` at `/readyz`"
    )
