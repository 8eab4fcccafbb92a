"""Stale-while-revalidate cache with single flight: values fetched from afar, never lost to a failed refresh.

What is fetched, and how, is left to `secrets` and `parameters`.
"""

import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import CarboyError, Unreachable
from carboy.logs import BoundLogger, get_logger

__all__ = ["Refreshing", "again"]

log: BoundLogger = get_logger(__name__)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Refreshing(Generic[K, V]):
    """Stale-while-revalidate cache by key: readers of `kept` need no lock, and call `value` for what is not fresh.

    - One fetch at a time per key, whatever the number of threads, and never two within `min_interval_s`.
    - A value that is too old is still given, while one thread fetches all that are too old, in one batch.
    - Where the fetch fails, the last good value stays.

    Args:
        fetch: returns for each key its value, or why there is none.
        ttl_s: how long a value is fresh; each a little less, so that they do not all end at once.
        min_interval_s: the least time between two fetches of one key.
        clock: tells the age of values.
        what: how log lines call a value, such as `secret`.

    Attributes:
        kept: each value, and until when it is fresh by `now`.
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
        self.kept: dict[K, tuple[V, float]] = {}
        self.now: Callable[[], float] = time.monotonic if clock is SYSTEM_CLOCK else clock.monotonic_s
        self._fetch, self._ttl_s, self._min_interval_s, self._what = fetch, ttl_s, min_interval_s, what
        self._asked_at: dict[K, float] = {}
        self._good_at: dict[K, float] = {}
        self._errors: dict[K, CarboyError] = {}
        self._flying: set[K] = set()
        self._started: dict[K, int] = {}  # how many fetches of a key were begun, and the number of the last that ended
        self._ended: dict[K, int] = {}
        self._begin()
        itself = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _begin_again(itself()))

    def value(self, key: K) -> V:
        """Return a value, fresh or not; fetched first where none is kept.

        Raises:
            CarboyError: there is none, and why.
        """
        answer = self.values([key])[key]
        if isinstance(answer, CarboyError):
            raise again(answer)
        return answer

    def values(self, keys: Iterable[K], *, renew: bool = False) -> dict[K, V | CarboyError]:
        """Return for each key its value or the error; what is not cached is fetched in one batch.

        Args:
            keys: whose values.
            renew: fetch the kept ones too, but for those that were fetched just now.
        """
        keys = list(dict.fromkeys(keys))
        with self._changed:
            absent = [key for key in keys if (renew and self._is_due(key)) or self._is_absent(key)]
            self._take_off(absent)
            self._renew([key for key in keys if key in self.kept and self.now() >= self.kept[key][1]])
        if absent:
            self._fly(absent)
        with self._changed:
            here = () if renew else self.kept
            self._changed.wait_for(lambda: all(key in here or key not in self._flying for key in keys))
            return {key: self.kept[key][0] if key in self.kept else self._errors[key] for key in keys}

    def clear(self, keys: Iterable[K] | None = None) -> list[K]:
        """Forget the values of some keys, of all by default, and return whose: the next read fetches them."""
        with self._changed:
            gone = list({*self.kept, *self._errors, *self._asked_at} if keys is None else keys)
            for key in gone:
                for table in (self.kept, self._errors, self._asked_at):
                    table.pop(key, None)
            self._outdated.update(self._flying if keys is None else self._flying.intersection(gone))
            return gone

    def refresh(self, key: K, is_old: Callable[[V], bool] | None = None, timeout_s: float | None = None) -> V:
        """Fetch a value, and return what is kept then.

        Args:
            key: whose value.
            is_old: tells the value that the caller has seen already from a newer one: then nothing is fetched where the
                kept one is not old, or was fetched within `min_interval_s`. None to fetch in any case, once for all
                callers that wait.
            timeout_s: how long to wait; the fetch goes on without the caller. None to wait for its end.

        Raises:
            CarboyError: there is no value at all, and why.
        """
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            begun_before = self._started.get(key, 0)
            while self._ended.get(key, 0) <= begun_before if is_old is None else self._is_wanted(key, is_old):
                if key not in self._flying:
                    if is_old is not None and self._is_too_soon(key):
                        break
                    self._take_off([key])
                    self._start(self._fly, [key])
                left_s = None if until_s is None else until_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    break
                self._changed.wait(left_s)
            if key in self.kept:
                return self.kept[key][0]
            error = self._errors.get(key)
        raise again(error) if error else Unreachable(f"the {self._what} `{key}`", "AWS did not answer in time", "")

    def _begin(self) -> None:
        """Have fresh locks, and nothing under way: also in a forked child, whose parent's threads it does not have."""
        self._changed = threading.Condition()
        for key in self._flying:
            self._asked_at.pop(key, None)
        self._flying = set()
        self._outdated: set[K] = set()
        self._old: set[K] = set()
        self._is_renewing = False

    def _take_off(self, keys: Iterable[K]) -> None:
        for key in keys:
            self._flying.add(key)
            self._started[key] = self._started.get(key, 0) + 1

    def _is_wanted(self, key: K, is_old: Callable[[V], bool]) -> bool:
        return key not in self.kept or is_old(self.kept[key][0])

    def _is_absent(self, key: K) -> bool:
        return key not in self.kept and key not in self._flying and not (key in self._errors and self._is_too_soon(key))

    def _is_due(self, key: K) -> bool:
        return key not in self._flying and not self._is_too_soon(key)

    def _is_too_soon(self, key: K) -> bool:
        return key in self._asked_at and self.now() - self._asked_at[key] < self._min_interval_s

    def _renew(self, keys: Iterable[K]) -> None:
        """Revalidate values in the background; meanwhile readers get the stale ones without a lock."""
        due = [key for key in keys if self._is_due(key)]
        self._old.update(due)
        for key in due:
            self.kept[key] = (self.kept[key][0], self.now() + self._min_interval_s)
        if due and not self._is_renewing:
            self._is_renewing = True
            self._start(self._renew_all)

    def _renew_all(self) -> None:
        while True:
            with self._changed:
                keys = [key for key in self._old if key not in self._flying]
                self._old.clear()
                self._take_off(keys)
                if not keys:
                    self._is_renewing = False
                    return
            self._fly(keys)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, name=f"carboy-{self._what}", daemon=True).start()

    def _fly(self, keys: Sequence[K]) -> None:
        """Fetch keys that were marked as flying, and keep what came."""
        asked_at = self.now()
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
                    self._keep(key, answers.get(key, failure), asked_at)
                    self._ended[key] = self._started[key]
                    if key in self._outdated:  # it was cleared meanwhile: what came may be of before
                        self._outdated.discard(key)
                        self._asked_at.pop(key, None)
                        if key in self.kept:
                            self.kept[key] = (self.kept[key][0], self.now())
                self._flying.difference_update(keys)
                self._changed.notify_all()

    def _keep(self, key: K, answer: V | CarboyError, asked_at: float) -> None:
        self._asked_at[key] = asked_at
        if not isinstance(answer, CarboyError):
            self.kept[key] = (answer, asked_at + self._ttl_s * random.uniform(0.9, 1.0))  # noqa: S311 (spread)
            self._good_at[key] = asked_at
            self._errors.pop(key, None)
            return
        self._errors[key] = answer
        if key in self.kept:
            self.kept[key] = (self.kept[key][0], self.now() + self._min_interval_s)
            age_s = round(self.now() - self._good_at[key], 1)
            log.warning(
                "stale_value_kept", kind=self._what, name=_name(key), age_s=age_s, why=answer.why, hint=answer.hint
            )


def _begin_again(values: "Refreshing[Any, Any] | None") -> None:
    if values is not None:
        values._begin()


def again(error: CarboyError) -> CarboyError:
    """Return an error that says the same, for a thread of its own to raise."""
    kind, arguments = cast("tuple[type[CarboyError], tuple[Any, ...]]", error.__reduce__()[:2])
    made = kind(*arguments)
    made.__cause__ = error
    return made


def _name(key: object) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)
