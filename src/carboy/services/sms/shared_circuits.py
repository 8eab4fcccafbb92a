"""The circuits of all processes that share a database: what one has found out, none finds out again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from carboy.clock import Clock
from carboy.db import Shared
from carboy.errors import Unreachable
from carboy.services.sms.routing import CLOSED, Circuit, Circuits

__all__ = ["SharedCircuits"]

_NAME = "sms:circuits"
_LOOK_EVERY_S = 0.5


class SharedCircuits(Circuits):
    """Circuits that another process opens are open here within half a second, and one process has the only try.

    While the database does not answer, this process goes by what it has seen last.

    Args:
        shared: the values of the database.
        names: of the providers.
        threshold: failures in a row that open one.
        open_s: for how long.
        clock: what time it is, the same for all processes.
    """

    def __init__(self, shared: Shared, names: Sequence[str], *, threshold: int, open_s: float, clock: Clock) -> None:
        super().__init__(names, threshold=threshold, open_s=open_s, clock=clock)
        self._shared = shared
        self._look_at_s = float("-inf")

    def _now_s(self) -> float:
        return self._clock.now_ms() / 1000

    def _look(self) -> Mapping[str, Circuit]:
        now_s = self._clock.monotonic_s()
        with self._lock:
            is_due = now_s >= self._look_at_s
            if is_due:
                self._look_at_s = now_s + _LOOK_EVERY_S
        if is_due:
            self._exchange(lambda circuits, _: circuits)
        return self._circuits

    def _change(self, name: str, step: Callable[[Circuit, float], Circuit]) -> None:
        def change(circuits: dict[str, Circuit], now_s: float) -> dict[str, Circuit]:
            return {**circuits, name: step(circuits.get(name, CLOSED), now_s)}

        if not self._exchange(change):
            super()._change(name, step)

    def _exchange(self, change: Callable[[dict[str, Circuit], float], dict[str, Circuit]]) -> bool:
        """Change what all processes see, and see it; return False where the database does not answer."""

        def step(value: Any, now_ms: int) -> tuple[Any, dict[str, Circuit]]:
            known = {name: Circuit(**one) for name, one in (value or {}).items()}
            changed = change(known, now_ms / 1000)
            return {name: asdict(one) for name, one in changed.items() if one != CLOSED}, changed

        try:
            seen = self._shared.change(_NAME, step, keep_s=86_400.0)
        except Unreachable:
            return False
        with self._lock:
            self._circuits = {name: seen.get(name, CLOSED) for name in self._circuits}
        return True
