"""Group commit: one thread commits the writes of all threads that wait, in one transaction.

A durable commit costs one fsync, whatever it holds. While one thread waits for the disk the others queue, and the next
leader takes the whole queue. A caller returns only after the commit of its work.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from carboy.circuit_breaker import CircuitBreaker
from carboy.db.disconnects import code_of, is_demoted, is_unavailable
from carboy.db.engines import WRITE, WRITE_SOON
from carboy.db.watchdog import fail_fast, watch
from carboy.errors import InvalidInput, Unreachable, UpstreamError
from carboy.jitter import SYSTEM_RANDOM
from carboy.logs import BoundLogger, get_logger
from carboy.problems import Problem

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

log: BoundLogger = get_logger(__name__)

T = TypeVar("T")
R = TypeVar("R")

_TRIES = 3
_TRIES_LOCKED = 8
_PAUSE_S = 0.005
_CHECK_S = 1.5
_TOO_LARGE = 1153  # MariaDB: a packet is bigger than `max_allowed_packet`
_GRACE_S = 0.25  # of a leader whose turn comes at the last moment
_LAST = "carboy_last_writes"
_LOCKED = {1020, 1205, 1213, "40001", "40P01", "55P03"}

Apply = Callable[["Connection", Sequence[T]], Sequence[R]]
"""Writes the items of many callers and returns an answer for each, in their order."""
_APART = "carboy_apart"


def one_by_one(write: "Callable[[Connection, T], R]") -> Apply[T, R]:
    """Return a function for `GroupCommit` that writes the items of its callers one after the other.

    Args:
        write: writes one item in the transaction of a connection, and returns its answer.
    """

    @wraps(write)
    def apply(connection: "Connection", items: Sequence[T]) -> list[R]:
        return [write(connection, item) for item in items]

    return apply


def ordered_by(key: Callable[[T], Any]) -> "Callable[[Callable[[Connection, T], R]], Apply[T, R]]":
    """Return a decorator like `one_by_one` for a function that locks a row which other transactions lock too.

    The items of a transaction are written in the order of these rows, and apart from those of other functions that
    lock such rows: no two transactions wait for each other.

    Args:
        key: returns what the locked row is known by.
    """

    def decorate(write: "Callable[[Connection, T], R]") -> Apply[T, R]:
        @locks_in_order
        @wraps(write)
        def apply(connection: "Connection", items: Sequence[T]) -> list[R]:
            placed = sorted(enumerate(items), key=lambda placed: key(placed[1]))
            answers = {place: write(connection, item) for place, item in placed}
            return [answers[place] for place in range(len(items))]

        return apply

    return decorate


def locks_in_order(apply: Apply[T, R], when: Callable[[T], bool] = lambda _: True) -> Apply[T, R]:
    """Mark a function that locks rows which others lock too, in one order for all items that it is given.

    On a server its items share a transaction with those of unmarked functions, and with those of no other marked one.

    Args:
        apply: the function, which is returned.
        when: whether an item has such rows.
    """
    setattr(apply, _APART, when)
    return apply


def locks_rows(apply: Apply[T, Any], item: T) -> bool:
    """Return whether a function is marked by `locks_in_order`, and this item has such rows."""
    when: Callable[[T], bool] | None = getattr(apply, _APART, None)
    return when is not None and when(item)


def write_last(connection: "Connection", write: Apply[T, Any], item: T) -> None:
    """Have an item written at the end of the transaction, together with the other items of the same function.

    For rows that many transactions change, such as counts. Each transaction then locks them after all others and in
    the order that the function has, so that no two wait for each other. Outside of `GroupCommit` it is written at once.

    Args:
        connection: in a transaction.
        write: writes all items; what it returns is ignored.
        item: one of them.
    """
    last = connection.get_execution_options().get(_LAST)
    if last is None:
        write(connection, [item])
    else:
        last.setdefault(write, []).append(item)


class _Work(Generic[T, R]):
    # fmt: off
    __slots__ = ("answer", "apply", "cause", "durable", "error", "is_done", "item", "leads", "locks", "until_s",
                 "woken")
    # fmt: on

    def __init__(self, apply: Apply[T, R], item: T, durable: bool, until_s: float) -> None:
        self.apply, self.item, self.durable, self.until_s = apply, item, durable, until_s
        self.locks = locks_rows(apply, item)
        self.answer: R | None = None
        self.error: Exception | None = None
        self.cause: BaseException | None = None
        self.is_done = self.leads = False
        self.woken = threading.Lock()  # the cheapest primitive to wait for; locked until there is a result
        self.woken.acquire()


class GroupCommit:
    """Every write of a process goes through one of these.

    A circuit breaker opens when a write got no answer in time, as behind a lock or a server that is frozen: further
    writes then fail at once, so that requests do not fill all threads, and one of them probes the database.

    Args:
        engine: of the database.
        max_batch: how many callers one transaction serves at most.
        wait_s: how long a caller waits for its commit, in all; then `Unreachable`.
        leaders: transactions at the same time; 1 on SQLite, which has one writer.
        probe_s: the seconds between two probes while the circuit is open.
    """

    def __init__(
        self, engine: "Engine", *, max_batch: int = 512, wait_s: float = 3.0, leaders: int = 1, probe_s: float = 1.0
    ) -> None:
        self._engine = engine
        self._is_shared = engine.dialect.name != "sqlite"  # there are transactions of other processes beside ours
        self._max_batch, self._wait_s, self._leaders = max_batch, wait_s, leaders
        self._lock = threading.Lock()
        self._waiting: deque[_Work[Any, Any]] = deque()
        self._leading = 0
        self._circuit = CircuitBreaker(probe_s, wait_s)

    def run(self, apply: Apply[T, R], item: T, *, durable: bool = True) -> R:
        """Write the item with `apply`, in one transaction with all that waits, and return its answer.

        Args:
            apply: writes the items of all callers that wait with the same function.
            item: this caller's.
            durable: whether a power cut must not undo it. What ends with the machine anyway, such as a lease, need not
                be: SQLite then saves the wait for the disk, unless others in the transaction want it. The next durable
                write makes this one durable too. A server commits both alike.

        Raises:
            Unreachable: the database is unreachable, full, locked or frozen, for the whole of `wait_s` or a moment ago.
                Only where it did not say how a commit ended can the work have been written all the same.
            InvalidInput: the database cannot hold a value of this item.
            Exception: what `apply` or the database raised for this item; the faults of other items do not matter.
        """
        if self._circuit.ask() == "open":
            raise _unavailable("it did not answer a moment ago, and is asked again soon")
        work = _Work(apply, item, durable, time.monotonic() + self._wait_s)
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

    def check(self) -> None:
        """Check whether this process can write, without writing a row; for a readiness check.

        Raises:
            Unreachable: it cannot, or could not a moment ago.
            Missing: the database lacks Carboy's tables.
        """
        if self._circuit.is_open:
            raise _unavailable(f"writes get no answer ({self._circuit.error})")
        try:
            self._write([_Work(_touch, None, False, 0.0)], min(self._wait_s, _CHECK_S))
        except UpstreamError:
            raise
        except Exception as error:
            if is_unavailable(error):
                raise _unavailable(_reason(error)) from error
            log.debug("write_not_checked", error=_reason(error))  # the table is not this user's to write

    def _wait(self, work: _Work[Any, Any]) -> bool:
        """Wait for an answer or for the lead; return whether it is the lead."""
        if work.woken.acquire(timeout=max(0.0, work.until_s - time.monotonic())):
            return work.leads
        with self._lock:
            if work.leads:  # the lead was handed over meanwhile
                return True
            if work in self._waiting:
                self._waiting.remove(work)
                why = f"there was no turn within {self._wait_s:g} s"
            else:
                why = f"there was no answer within {self._wait_s:g} s, and it may be written all the same"
        if work.woken.acquire(timeout=_GRACE_S):  # the leader's own deadline has come too
            return work.leads
        error = _unavailable(why)
        self._circuit.open(error)
        raise error

    def _lead(self, own: _Work[Any, Any]) -> None:
        with self._lock:
            others = self._take_others(own)
        batch = [own, *others]
        try:
            self._commit(batch, own.until_s)
        finally:
            self._hand_on()  # the next transaction waits for the disk while these answer their callers
            for work in others:
                if not work.is_done:  # only where this thread was interrupted: no caller may wait for ever
                    _finish(work, error=_unavailable("the thread that was writing was interrupted"))
                work.woken.release()

    def _take_others(self, own: _Work[Any, Any]) -> list[_Work[Any, Any]]:
        """Return what waits and may be in one transaction with a work, the oldest first."""
        if not self._is_shared or not (own.locks or any(work.locks for work in self._waiting)):
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_batch - 1))]
        locking = own.apply if own.locks else None
        taken: list[_Work[Any, Any]] = []
        left: deque[_Work[Any, Any]] = deque()
        for work in self._waiting:
            if work.locks and locking is None:
                locking = work.apply
            fits = len(taken) < self._max_batch - 1 and (not work.locks or work.apply == locking)
            (taken if fits else left).append(work)
        self._waiting = left
        return taken

    def _hand_on(self) -> None:
        with self._lock:
            if not self._waiting:
                self._leading -= 1
                return
            successor = self._waiting.popleft()
            successor.leads = True
        successor.woken.release()

    def _commit(self, batch: Sequence[_Work[Any, Any]], until_s: float, tried: int = 1) -> None:
        """Write a batch, again where another process interfered; where one item is at fault, each on its own."""
        left_s = until_s - time.monotonic()
        try:
            answers = self._write(batch, left_s)
        except Exception as error:  # noqa: BLE001 (each is handed to the caller whose work it was)
            if time.monotonic() < until_s and tried < self._tries_after(error):
                time.sleep(SYSTEM_RANDOM.uniform(0.0, _PAUSE_S * 2**tried) if tried > 1 else 0.0)  # apart
                self._commit(batch, until_s, tried + 1)
                return
            is_temporary = is_unavailable(error)
            if not is_temporary:
                self._circuit.close()
            elif until_s - time.monotonic() <= self._wait_s / 2:  # it did not refuse, it did not answer
                self._circuit.open(error)
            if len(batch) > 1 and not is_temporary:
                for work in batch:
                    self._commit([work], until_s)
                return
            for work in batch:
                if is_temporary:
                    _finish(work, error=_unavailable(_reason(error)), cause=error)
                else:
                    fault = _as_input_fault(error)
                    _finish(work, error=fault, cause=error if fault is not error else error.__cause__)
        else:
            self._circuit.close()
            for work, answer in answers:
                _finish(work, answer)

    def _tries_after(self, error: Exception) -> int:
        """Return how often a batch is written where it was rolled back through no fault of its own.

        Another process may have written the same at the same time, or the server is no longer the writer. On SQLite a
        transaction has the lock from its beginning, so that what it read is still true.

        Sources: MariaDB errors 1020, 1205 and 1213; PostgreSQL, appendix A, class 40 and 55P03.
        """
        from sqlalchemy.exc import DBAPIError, IntegrityError

        if self._engine.dialect.name == "sqlite" or not isinstance(error, DBAPIError) or error.orig is None:
            return 1
        if isinstance(error, IntegrityError):
            return _TRIES
        return _TRIES_LOCKED if code_of(error.orig) in _LOCKED or is_demoted(error.orig) else 1

    def _write(self, batch: Sequence[_Work[Any, Any]], within_s: float) -> list[tuple[_Work[Any, Any], Any]]:
        by_apply: dict[Any, list[_Work[Any, Any]]] = {}
        for work in batch:
            by_apply.setdefault(work.apply, []).append(work)
        answers: list[tuple[_Work[Any, Any], Any]] = []
        until_s = time.monotonic() + max(within_s, _GRACE_S)
        last: dict[Apply[Any, Any], list[Any]] = {}
        options = (WRITE if any(work.durable for work in batch) else WRITE_SOON) | {_LAST: last}
        with (
            fail_fast(max(within_s, _GRACE_S)),
            self._engine.connect().execution_options(**options) as connection,
            watch(connection.connection.driver_connection, until_s - time.monotonic()),
            connection.begin(),
        ):
            for apply, works in by_apply.items():
                answers += zip(works, apply(connection, [work.item for work in works]), strict=True)
            for write in sorted(last, key=lambda one: one.__qualname__):
                write(connection, last[write])
        return answers


def _touch(connection: "Connection", items: Sequence[None]) -> list[None]:
    """Begin a transaction that writes, and change no row; a server that takes no writes refuses the statement."""
    connection.exec_driver_sql("UPDATE carboy_version SET version_num = version_num WHERE 1 = 0")
    return list(items)


def _as_input_fault(error: Exception) -> Exception:
    """Return an error of the caller's input where a value cannot be stored; any other error as it is."""
    from sqlalchemy.exc import DataError

    cause = getattr(error, "orig", None)
    if getattr(cause, "sqlite_errorname", "") == "SQLITE_TOOBIG" or getattr(cause, "args", ())[:1] == (_TOO_LARGE,):
        return Problem(413, "the database does not take so much at once")
    if not isinstance(error, DataError | UnicodeEncodeError | OverflowError):
        return error
    return InvalidInput(
        "a value cannot be stored", _reason(error), "leave out NUL, lone surrogates, and what is too long or too large"
    )


def _finish(
    work: _Work[Any, Any], answer: Any = None, *, error: Exception | None = None, cause: BaseException | None = None
) -> None:
    work.answer, work.error, work.cause = answer, error, cause
    work.is_done = True


def _unavailable(why: str) -> Unreachable:
    return Unreachable("the write was not committed", why, "see the database, its disk and its locks; try again later")


def _reason(error: Exception) -> str:
    """Return the driver's message without the statement and its values."""
    return str(getattr(error, "orig", None) or type(error).__name__)
