"""Stale-while-revalidate cache with single flight; a failed refresh keeps the last good value.

What is fetched, and how, is left to `secrets` and `parameter_store`.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import CarboyError, Unreachable
from carboy.jitter import SYSTEM_RANDOM
from carboy.logs import BoundLogger, get_logger

log: BoundLogger = get_logger(__name__)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SwrCache(Generic[K, V]):
    """Stale-while-revalidate cache by key: readers of `cached` need no lock, and call `value` for what is not fresh.

    - One fetch at a time per key, whatever the number of threads, and never two within `min_interval_s`.
    - A stale value is still returned, while one thread fetches all stale ones in one batch.
    - Where the fetch fails, the last good value stays.

    Args:
        fetch: returns for each key its value or the error.
        ttl_s: how long a value is fresh; each a little less, so that they do not all expire at once.
        min_interval_s: the least time between two fetches of one key.
        clock: measures the age of values.
        what: the name of a value in log lines, such as `secret`.

    Attributes:
        cached: each value, and until when it is fresh by `now`.
        now: the clock's monotonic seconds.
    """

    def __init__(
        self,
        fetch: Callable[[Sequence[K]], Mapping[K, V | CarboyError]],
        *,
        ttl_s: float,
        min_interval_s: float,
        clock: Clock = SYSTEM_CLOCK,
        what: str = "value",
    ) -> None:
        self.cached: dict[K, tuple[V, float]] = {}
        self.now: Callable[[], float] = time.monotonic if clock is SYSTEM_CLOCK else clock.monotonic_s
        self._fetch, self._ttl_s, self._min_interval_s, self._what = fetch, ttl_s, min_interval_s, what
        self._fetched_at: dict[K, float] = {}
        self._good_at: dict[K, float] = {}
        self._errors: dict[K, CarboyError] = {}
        self._in_flight: set[K] = set()
        self._started: dict[K, int] = {}  # the count of a key's fetches; the number of the last that ended
        self._ended: dict[K, int] = {}
        self._begin()
        itself = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _begin_again(itself()))

    def value(self, key: K) -> V:
        """Return a value, fresh or not; fetched first where none is cached.

        Raises:
            CarboyError: the value could not be fetched.
        """
        answer = self.values([key])[key]
        if isinstance(answer, CarboyError):
            raise _copy(answer)
        return answer

    def values(self, keys: Iterable[K], *, renew: bool = False) -> dict[K, V | CarboyError]:
        """Return for each key its value or the error; what is not cached is fetched in one batch.

        Args:
            keys: whose values.
            renew: fetch cached ones too, except those fetched within `min_interval_s`.
        """
        keys = list(dict.fromkeys(keys))
        with self._changed:
            missing = [key for key in keys if (renew and self._is_due(key)) or self._is_missing(key)]
            self._mark(missing)
            self._renew([key for key in keys if key in self.cached and self.now() >= self.cached[key][1]])
        if missing:
            self._fetch_now(missing)
        with self._changed:
            here = () if renew else self.cached
            self._changed.wait_for(lambda: all(key in here or key not in self._in_flight for key in keys))
            return {key: self.cached[key][0] if key in self.cached else self._errors[key] for key in keys}

    def clear(self, keys: Iterable[K] | None = None) -> list[K]:
        """Remove some keys, by default all, and return them: the next read fetches their values."""
        with self._changed:
            cleared = list({*self.cached, *self._errors, *self._fetched_at} if keys is None else keys)
            for key in cleared:
                for table in (self.cached, self._errors, self._fetched_at):
                    table.pop(key, None)
            self._outdated.update(self._in_flight if keys is None else self._in_flight.intersection(cleared))
            return cleared

    def refresh(self, key: K, is_old: Callable[[V], bool] | None = None, timeout_s: float | None = None) -> V:
        """Fetch a value, and return what is cached then.

        Args:
            key: whose value.
            is_old: whether a cached value is the one that the caller has seen: nothing is fetched where it is newer, or
                was fetched within `min_interval_s`. None to fetch in any case, once for all callers that wait.
            timeout_s: how long to wait; the fetch goes on without the caller. None to wait for its end.

        Raises:
            CarboyError: nothing is cached, and the fetch failed or timed out.
        """
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            begun_before = self._started.get(key, 0)
            while self._ended.get(key, 0) <= begun_before if is_old is None else self._is_wanted(key, is_old):
                if key not in self._in_flight:
                    if is_old is not None and self._is_too_soon(key):
                        break
                    self._mark([key])
                    self._start(self._fetch_now, [key])
                left_s = None if until_s is None else until_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    break
                self._changed.wait(left_s)
            if key in self.cached:
                return self.cached[key][0]
            error = self._errors.get(key)
        raise _copy(error) if error else Unreachable(f"the {self._what} `{key}`", "AWS did not answer in time", "")

    def _begin(self) -> None:
        """Start with fresh locks and no fetch in flight; a forked child does not have its parent's threads."""
        self._changed = threading.Condition()
        for key in self._in_flight:
            self._fetched_at.pop(key, None)
        self._in_flight = set()
        self._outdated: set[K] = set()
        self._stale: set[K] = set()
        self._is_renewing = False

    def _mark(self, keys: Iterable[K]) -> None:
        for key in keys:
            self._in_flight.add(key)
            self._started[key] = self._started.get(key, 0) + 1

    def _is_wanted(self, key: K, is_old: Callable[[V], bool]) -> bool:
        return key not in self.cached or is_old(self.cached[key][0])

    def _is_missing(self, key: K) -> bool:
        return (
            key not in self.cached
            and key not in self._in_flight
            and not (key in self._errors and self._is_too_soon(key))
        )

    def _is_due(self, key: K) -> bool:
        return key not in self._in_flight and not self._is_too_soon(key)

    def _is_too_soon(self, key: K) -> bool:
        return key in self._fetched_at and self.now() - self._fetched_at[key] < self._min_interval_s

    def _renew(self, keys: Iterable[K]) -> None:
        """Refresh values in the background; meanwhile readers get the stale ones without a lock."""
        due = [key for key in keys if self._is_due(key)]
        self._stale.update(due)
        for key in due:
            self.cached[key] = (self.cached[key][0], self.now() + self._min_interval_s)
        if due and not self._is_renewing:
            self._is_renewing = True
            self._start(self._renew_all)

    def _renew_all(self) -> None:
        while True:
            with self._changed:
                keys = [key for key in self._stale if key not in self._in_flight]
                self._stale.clear()
                self._mark(keys)
                if not keys:
                    self._is_renewing = False
                    return
            self._fetch_now(keys)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, name=f"carboy-{self._what}", daemon=True).start()

    def _fetch_now(self, keys: Sequence[K]) -> None:
        """Fetch keys that are marked as in flight, and cache the results."""
        started_at = self.now()
        answers: Mapping[K, V | CarboyError] = {}
        failure: CarboyError = Unreachable(f"a {self._what}", "the fetch was interrupted", "try again")
        try:
            answers = self._fetch(keys)
        except CarboyError as error:
            failure = error
        except Exception as error:
            failure = Unreachable(f"a {self._what}", f"it could not be fetched ({type(error).__name__})", "see the log")
            log.exception("fetch_failed", kind=self._what)
        finally:
            with self._changed:
                for key in keys:
                    self._store(key, answers.get(key, failure), started_at)
                    self._ended[key] = self._started[key]
                    if key in self._outdated:  # cleared meanwhile: the result may be older than that
                        self._outdated.discard(key)
                        self._fetched_at.pop(key, None)
                        if key in self.cached:
                            self.cached[key] = (self.cached[key][0], self.now())
                self._in_flight.difference_update(keys)
                self._changed.notify_all()

    def _store(self, key: K, answer: V | CarboyError, started_at: float) -> None:
        self._fetched_at[key] = started_at
        if not isinstance(answer, CarboyError):
            self.cached[key] = (answer, started_at + self._ttl_s * SYSTEM_RANDOM.uniform(0.9, 1.0))
            self._good_at[key] = started_at
            self._errors.pop(key, None)
            return
        self._errors[key] = answer
        if key in self.cached:
            self.cached[key] = (self.cached[key][0], self.now() + self._min_interval_s)
            age_s = round(self.now() - self._good_at[key], 1)
            log.warning(
                "stale_value_kept", kind=self._what, name=_name(key), age_s=age_s, why=answer.why, hint=answer.hint
            )


def _begin_again(values: "SwrCache[Any, Any] | None") -> None:
    if values is not None:
        values._begin()


def _copy(error: CarboyError) -> CarboyError:
    """Return a copy of an error, so that each thread raises its own."""
    kind, arguments = cast("tuple[type[CarboyError], tuple[Any, ...]]", error.__reduce__()[:2])
    made = kind(*arguments)
    made.__cause__ = error
    return made


def _name(key: object) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)
