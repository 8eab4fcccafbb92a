"""Shared state: small values that all processes change in turn in the database, such as counts and circuits.

A change waits for `patience_s` at most; without an answer the caller goes on with its own state.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import orjson

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.db.group_commit import GroupCommit
from carboy.errors import Unreachable
from carboy.extras import extra
from carboy.jitter import SYSTEM_RANDOM
from carboy.logs import BoundLogger, get_logger

with extra("db"):
    from sqlalchemy import BigInteger, Column, LargeBinary, Table, bindparam, delete, select, update

    from carboy.db.bulk import insert_rows
    from carboy.db.schema import ExactString, metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

log: BoundLogger = get_logger(__name__)

T = TypeVar("T")

Step = Callable[[Any, int], tuple[Any, T]]
"""Takes a value (None: none is stored) and the time in milliseconds; returns the next value and a result."""

SHARED = Table(
    "carboy_shared",
    metadata,
    Column("name", ExactString(150), primary_key=True),
    Column("value", LargeBinary(60_000), nullable=False),  # JSON
    Column("expires_at", BigInteger, nullable=False, index=True),  # milliseconds since the epoch
)

_PAUSE_S = 5.0
_TIDY_ONE_IN = 500
_TIDY_AT_MOST = 100
_UPDATE = (
    update(SHARED)
    .where(SHARED.c.name == bindparam("b_name"))
    .values(value=bindparam("b_value"), expires_at=bindparam("b_expires_at"))
)


class _Change:
    __slots__ = ("answer", "error", "is_done", "keep_ms", "name", "step")

    def __init__(self, name: str, step: Step[Any], keep_ms: int) -> None:
        self.name, self.step, self.keep_ms = name, step, keep_ms
        self.answer: Any = None
        self.error: Exception | None = None
        self.is_done = threading.Event()


class Shared:
    """The shared values in a database.

    Args:
        engine: returns the engine, when the first value is changed.
        clock: the time, the same for all processes.
        patience_s: how long a change waits for the database.
    """

    def __init__(self, engine: "Callable[[], Engine]", clock: Clock = SYSTEM_CLOCK, *, patience_s: float = 1.0) -> None:
        self._engine, self._clock, self._patience_s = engine, clock, patience_s
        self._lock = threading.Lock()
        self._waiting: list[_Change] = []
        self._is_writing = False
        self._unavailable_until_s = float("-inf")
        self._writer: GroupCommit | None = None

    def change(self, name: str, step: Step[T], *, keep_s: float = 3600.0) -> T:
        """Replace a value by the result of a step, while no other process changes it; return the step's second result.

        Args:
            name: of the value, at most 150 characters.
            step: called again where the transaction is repeated.
            keep_s: how long the value is kept after its last change.

        Raises:
            Unreachable: the database did not answer in time, or a moment ago; the change may be made all the same.
        """
        change = _Change(name, step, round(keep_s * 1000))
        with self._lock:
            if self._clock.monotonic_s() < self._unavailable_until_s:
                raise _unavailable()
            self._waiting.append(change)
            begins = not self._is_writing
            self._is_writing = True
        if begins:
            threading.Thread(target=self._write, name="carboy-shared", daemon=True).start()
        if not change.is_done.wait(self._patience_s):
            self._pause(TimeoutError(f"no answer within {self._patience_s:g} s"))
            raise _unavailable()
        if change.error is not None:
            raise _unavailable() from change.error
        return cast("T", change.answer)

    def _write(self) -> None:
        while True:
            with self._lock:
                changes, self._waiting = self._waiting, []
                if not changes:
                    self._is_writing = False
                    return
            try:
                if self._writer is None:
                    self._writer = GroupCommit(self._engine())
                self._writer.run(self._apply, changes)
            except Exception as error:  # noqa: BLE001 (each waiting caller gets it)
                self._pause(error)
                for change in changes:
                    change.error = error
            for change in changes:
                change.is_done.set()

    def _pause(self, error: Exception) -> None:
        """Fail fast for a while: a limit must not make request after request wait."""
        with self._lock:
            if self._clock.monotonic_s() >= self._unavailable_until_s:
                hint = getattr(error, "hint", "") or "each process counts for itself meanwhile"
                log.warning("shared_state_unavailable", error=str(error), hint=hint)
            self._unavailable_until_s = self._clock.monotonic_s() + _PAUSE_S

    def _apply(self, connection: "Connection", batches: Sequence[Sequence[_Change]]) -> list[None]:
        changes = [change for batch in batches for change in batch]
        now_ms = self._clock.now_ms()
        kept = lock_values(connection, sorted({change.name for change in changes}))
        changed: dict[str, int] = {}
        for change in changes:
            value, change.answer = change.step(kept[change.name], now_ms)
            if value != kept[change.name]:
                kept[change.name] = value
                changed[change.name] = max(changed.get(change.name, 0), now_ms + change.keep_ms)
        store_values(connection, {name: (kept[name], expires_at) for name, expires_at in changed.items()})
        if SYSTEM_RANDOM.randrange(_TIDY_ONE_IN) == 0:  # now and then
            _tidy(connection, now_ms)
        return [None] * len(batches)


def lock_values(connection: "Connection", names: Sequence[str]) -> dict[str, Any]:
    """Return the values under these names, with their rows locked for this transaction; missing rows are added.

    Args:
        connection: of the caller's transaction.
        names: sorted, so that two transactions cannot wait for each other.
    """
    query = select(SHARED.c.name, SHARED.c.value).where(SHARED.c.name.in_(names)).order_by(SHARED.c.name)
    found = {row.name: row.value for row in connection.execute(query.with_for_update())}
    if missing := [name for name in names if name not in found]:
        rows = [{"name": name, "value": b"null", "expires_at": 1 << 62} for name in missing]
        insert_rows(connection, SHARED, rows, skip_known="name")
        found = {row.name: row.value for row in connection.execute(query.with_for_update())}
    return {name: orjson.loads(found[name]) for name in names}


def store_values(connection: "Connection", values: Mapping[str, tuple[Any, int]]) -> None:
    """Replace values whose rows `lock_values` locked.

    Args:
        connection: of the caller's transaction.
        values: by name, each with the time when it expires, in milliseconds since the epoch.
    """
    rows = [
        {"b_name": name, "b_value": orjson.dumps(value), "b_expires_at": expires_at}
        for name, (value, expires_at) in sorted(values.items())
    ]
    if rows:
        connection.execute(_UPDATE, rows)


def _tidy(connection: "Connection", now_ms: int) -> None:
    stale = select(SHARED.c.name).where(SHARED.c.expires_at < now_ms).limit(_TIDY_AT_MOST)
    names = list(connection.execute(stale.with_for_update(skip_locked=True)).scalars())
    if names:
        connection.execute(delete(SHARED).where(SHARED.c.name.in_(names)))


def _unavailable() -> Unreachable:
    return Unreachable("the value is not shared", "the database did not answer in time", "see the database")
