"""Read objects for requests: several at the same time, and without waiting for a store that does not answer.

Such a store would otherwise hold the threads of the server, and with them those that accept webhooks.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from time import monotonic

from carboy.circuit_breaker import CircuitBreaker
from carboy.errors import Unreachable, UpstreamError
from carboy.services.archive.objects import Store

Result = bytes | UpstreamError
_Arrived = SimpleQueue[tuple[int, bytes | Exception]]


class ObjectReads:
    """Reads of one store, by all requests of this process.

    Args:
        store: what is read.
        parallel: objects read at the same time.
        patience_s: how long a request waits while no object arrives; then reads fail at once, but for one in as long.
    """

    def __init__(self, store: Store, parallel: int, patience_s: float) -> None:
        self._store, self._patience_s = store, patience_s
        self._pool = ThreadPoolExecutor(max(1, parallel), thread_name_prefix="archive-read")
        self._breaker = CircuitBreaker(patience_s, 2 * patience_s)
        self._arrived_s = monotonic()

    def get(self, key: str) -> bytes:
        """Return an object's content; raises as `Store.get`, and `Unreachable` where it does not arrive in time."""
        [result] = self.get_all([key])
        if isinstance(result, UpstreamError):
            raise result
        return result

    def get_all(self, keys: Sequence[str]) -> list[Result]:
        """Return the contents of objects, in the order of their keys, with the error in the place of each that fails.

        Raises:
            Exception: an error of the store that is not an `UpstreamError`.
        """
        results: list[Result] = [_late(key) for key in keys]
        if not keys or self._breaker.ask() == "open":
            return results
        arrived: _Arrived = SimpleQueue()
        futures = [self._pool.submit(self._read, key, at, arrived) for at, key in enumerate(keys)]
        left = len(keys)
        while left:
            try:
                at, result = arrived.get(timeout=self._patience_s)
            except Empty:
                if monotonic() - self._arrived_s < self._patience_s:  # others come first
                    continue
                for future in futures:
                    future.cancel()
                self._breaker.open(_late(keys[0]))
                return results
            if not isinstance(result, bytes | UpstreamError):
                raise result
            results[at] = result
            left -= 1
        self._breaker.close()
        return results

    def _read(self, key: str, at: int, arrived: _Arrived) -> None:
        try:
            arrived.put((at, self._store.get(key)))
        except Exception as error:  # noqa: BLE001 (raised in the thread that waits for it)
            arrived.put((at, error))
            if isinstance(error, Unreachable):
                return
        self._arrived_s = monotonic()


def _late(key: str) -> Unreachable:
    return Unreachable(
        f"the object `{key}` could not be read", "the object store does not answer", "see `object store` at `/readyz`"
    )
