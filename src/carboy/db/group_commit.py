"""Commit the writes of many threads in one transaction: the first thread in commits for all who wait.

A durable commit costs one fsync, whatever it holds. While one thread waits for the disk the others queue, and the next
leader takes the whole queue. A thread is answered only after the commit that holds its work.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from carboy.db.circuit_breaker import fail_fast
from carboy.db.engines import WRITE, WRITE_SOON
from carboy.errors import Unreachable

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["Apply", "GroupCommit"]

T = TypeVar("T")
R = TypeVar("R")

_TRIES = 3
_TRIES_LOCKED = 8
_PAUSE_S = 0.005
_LOCKED = {1020, 1205, 1213, "40001", "40P01", "55P03"}

Apply = Callable[["Connection", Sequence[T]], Sequence[R]]
"""Writes the items of many callers and returns an answer for each, in their order."""


class _Work(Generic[T, R]):
    __slots__ = ("answer", "apply", "cause", "durable", "error", "is_done", "item", "leads", "woken")

    def __init__(self, apply: Apply[T, R], item: T, durable: bool) -> None:
        self.apply, self.item, self.durable = apply, item, durable
        self.answer: R | None = None
        self.error: Exception | None = None
        self.cause: BaseException | None = None
        self.is_done = self.leads = False
        self.woken = threading.Lock()  # the cheapest thing that can be waited for: held until there is news
        self.woken.acquire()


class GroupCommit:
    """The one door for writes of a process.

    Args:
        engine: where to.
        max_batch: how many callers one transaction serves at most.
        wait_s: how long a caller waits for its turn; then `Unreachable`.
        leaders: transactions at the same time; 1 on SQLite, which has one writer.
    """

    def __init__(self, engine: "Engine", *, max_batch: int = 512, wait_s: float = 30.0, leaders: int = 1) -> None:
        self._engine = engine
        self._max_batch, self._wait_s, self._leaders = max_batch, wait_s, leaders
        self._lock = threading.Lock()
        self._waiting: deque[_Work[Any, Any]] = deque()
        self._leading = 0

    def run(self, apply: Apply[T, R], item: T, *, durable: bool = True) -> R:
        """Have `apply` write the item, in one transaction with whatever else waits, and return its answer.

        Args:
            apply: writes the items of all who wait with the same one.
            item: this caller's.
            durable: whether a power cut must not undo it. What ends with the machine anyway, such as a lease, need not
                be: SQLite then saves the wait for the disk, unless others in the transaction want it. The next durable
                write makes this one durable too. A server is not told.

        Raises:
            Unreachable: the database is away, full or locked, or gave no turn in time. Only where it did not say
                how a commit ended can the work have been written all the same.
            Exception: what `apply` or the database raised for this item; the others' faults do not matter.
        """
        work = _Work(apply, item, durable)
        with self._lock:
            work.leads = self._leading < self._leaders
            if work.leads:
                self._leading += 1
            else:
                self._waiting.append(work)
        if work.leads or self._wait(work):
            self._lead(work)
        if work.error is not None:
            raise work.error from work.cause
        return cast("R", work.answer)

    def _wait(self, work: _Work[Any, Any]) -> bool:
        """Wait for an answer or for the lead; return whether it is the lead."""
        if not work.woken.acquire(timeout=self._wait_s):
            with self._lock:
                if work in self._waiting:
                    self._waiting.remove(work)
                    raise _away(f"there was no turn within {self._wait_s:g} s")
            work.woken.acquire()  # it is being written just now, or leads: the database's own time-outs bound this
        return work.leads

    def _lead(self, mine: _Work[Any, Any]) -> None:
        with self._lock:
            others = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_batch - 1))]
        batch = [mine, *others]
        try:
            self._commit(batch)
        finally:
            self._hand_on()  # the next transaction waits for the disk while these answer their callers
            for work in others:
                if not work.is_done:  # only where this thread was interrupted: nobody may wait for ever
                    _finish(work, error=_away("the thread that was writing was interrupted"))
                work.woken.release()

    def _hand_on(self) -> None:
        with self._lock:
            if not self._waiting:
                self._leading -= 1
                return
            heir = self._waiting.popleft()
            heir.leads = True
        heir.woken.release()

    def _commit(self, batch: Sequence[_Work[Any, Any]], tried: int = 1, began_s: float | None = None) -> None:
        """Write a batch, again where another process got in between; where one item spoils it, each on its own."""
        from sqlalchemy.exc import DBAPIError, OperationalError
        from sqlalchemy.exc import TimeoutError as NoConnection

        began_s = time.monotonic() if began_s is None else began_s
        try:
            answers = self._write(batch)
        except Exception as error:  # noqa: BLE001 (each is handed to the caller whose work it was)
            in_time = time.monotonic() - began_s < self._wait_s
            if in_time and tried < self._tries_after(error):
                time.sleep(random.uniform(0.0, _PAUSE_S * 2**tried) if tried > 1 else 0.0)  # noqa: S311 (apart)
                self._commit(batch, tried + 1, began_s)
                return
            gone = isinstance(error, OperationalError | NoConnection) or (
                isinstance(error, DBAPIError) and error.connection_invalidated
            )
            if len(batch) > 1 and not gone:
                for work in batch:
                    self._commit([work])
                return
            for work in batch:
                _finish(work, error=_away(_reason(error)) if gone else error, cause=error if gone else None)
        else:
            for work, answer in answers:
                _finish(work, answer)

    def _tries_after(self, error: Exception) -> int:
        """Return how often a batch is written where another process may have written the same at the same time.

        All of it is rolled back then. On SQLite a transaction has the lock from its beginning: what it read is so.

        Sources: MariaDB errors 1020, 1205 and 1213; PostgreSQL, appendix A, class 40 and 55P03.
        """
        from sqlalchemy.exc import DBAPIError, IntegrityError

        if self._engine.dialect.name == "sqlite" or not isinstance(error, DBAPIError):
            return 1
        if isinstance(error, IntegrityError):
            return _TRIES
        code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "args", (None,))[0]
        return _TRIES_LOCKED if code in _LOCKED else 1

    def _write(self, batch: Sequence[_Work[Any, Any]]) -> list[tuple[_Work[Any, Any], Any]]:
        by_apply: dict[Any, list[_Work[Any, Any]]] = {}
        for work in batch:
            by_apply.setdefault(work.apply, []).append(work)
        answers: list[tuple[_Work[Any, Any], Any]] = []
        with fail_fast():  # whoever leads, a request may wait behind it
            opened = self._engine.connect()
        options = WRITE if any(work.durable for work in batch) else WRITE_SOON
        with opened.execution_options(**options) as connection, connection.begin():
            for apply, works in by_apply.items():
                answers += zip(works, apply(connection, [work.item for work in works]), strict=True)
        return answers


def _finish(
    work: _Work[Any, Any], answer: Any = None, *, error: Exception | None = None, cause: BaseException | None = None
) -> None:
    work.answer, work.error, work.cause = answer, error, cause
    work.is_done = True


def _away(why: str) -> Unreachable:
    return Unreachable("the write was not committed", why, "see the database, its disk and its locks; try again later")


def _reason(error: Exception) -> str:
    """Return the driver's words without the statement and its values."""
    return str(getattr(error, "orig", None) or type(error).__name__)
