"""Circuit breaker for the providers, in this process or shared by all processes of a database.

A provider that fails opens its circuit and is skipped until it is half-open; then one message tries it, and success
closes the circuit.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from carboy.circuit_breaker import CLOSED, Circuit, Phase, admit, fail, phase
from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.db import Shared
from carboy.errors import Unreachable
from carboy.services.sms.poll_interval import PollInterval

_NAME = "sms:circuits"
_LOOK_EVERY_S = 0.5


class Circuits:
    """The circuits of this process's providers, for any number of threads.

    Args:
        names: of the providers.
        threshold: failures in a row that open one.
        open_s: for how long.
        clock: the time.
    """

    def __init__(
        self, names: Sequence[str], *, threshold: int = 1, open_s: float = 30.0, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._threshold, self._open_s, self._clock = threshold, open_s, clock
        self._lock = threading.Lock()
        self._circuits = dict.fromkeys(names, CLOSED)

    def admit(self, name: str) -> bool:
        """Return whether a message may be sent; the caller then reports `succeed`, `fail` or `release`."""
        seen = phase(self._look()[name], self._now_s())
        if seen != "half-open":
            return seen == "closed"
        is_admitted = False

        def step(circuit: Circuit, now_s: float) -> Circuit:
            nonlocal is_admitted
            admitted = admit(circuit, now_s, self._open_s)
            is_admitted = admitted is not None
            return admitted or circuit

        self._change(name, step)
        return is_admitted

    def release(self, name: str) -> None:
        """End a probe that made no call."""
        if self._look()[name].probe_until_s is not None:
            self._change(name, lambda circuit, _: replace(circuit, probe_until_s=None))

    def succeed(self, name: str) -> None:
        """Close a circuit after a success."""
        if self._look()[name] != CLOSED:
            self._change(name, lambda *_: CLOSED)

    def fail(self, name: str, why: str, open_s: float | None = None) -> None:
        """Count a failure; with `open_s` the circuit opens at once, for that long."""
        threshold = self._threshold if open_s is None else 1
        wait_s = self._open_s if open_s is None else open_s
        self._change(name, lambda circuit, now_s: fail(circuit, now_s, threshold=threshold, open_s=wait_s, why=why))

    def opens_in_s(self, names: Sequence[str]) -> float:
        """Return the seconds until the first of these circuits admits a message; 0 if one does now."""
        circuits, now_s = self._look(), self._now_s()
        ends = (max(circuits[name].open_until_s or 0.0, circuits[name].probe_until_s or 0.0) for name in names)
        return min((max(0.0, end_s - now_s) for end_s in ends), default=0.0)

    def shown(self) -> Mapping[str, tuple[Phase, str]]:
        """Return each provider's phase and the reason of its last failure."""
        now_s = self._now_s()
        return {name: (phase(one, now_s), one.why) for name, one in self._look().items()}

    def _now_s(self) -> float:
        return self._clock.monotonic_s()

    def _look(self) -> Mapping[str, Circuit]:
        """Return the circuits; read only."""
        return self._circuits

    def _change(self, name: str, step: Callable[[Circuit, float], Circuit]) -> None:
        """Replace a circuit by the step's result, under a lock."""
        with self._lock:
            self._circuits = {**self._circuits, name: step(self._circuits[name], self._now_s())}


class SharedCircuits(Circuits):
    """Circuits shared by all processes: one that another process opens is open here within half a second.

    While the database does not answer, this process uses the state that it read last.

    Args:
        shared: state in the database.
        names: of the providers.
        threshold: failures in a row that open one.
        open_s: for how long.
        clock: the time, the same for all processes.
    """

    def __init__(self, shared: Shared, names: Sequence[str], *, threshold: int, open_s: float, clock: Clock) -> None:
        super().__init__(names, threshold=threshold, open_s=open_s, clock=clock)
        self._shared = shared
        self._interval = PollInterval(_LOOK_EVERY_S, clock)

    def _now_s(self) -> float:
        return self._clock.now_ms() / 1000

    def _look(self) -> Mapping[str, Circuit]:
        if self._interval.is_due():
            self._exchange(lambda circuits, _: circuits)
        return self._circuits

    def _change(self, name: str, step: Callable[[Circuit, float], Circuit]) -> None:
        def change(circuits: dict[str, Circuit], now_s: float) -> dict[str, Circuit]:
            return {**circuits, name: step(circuits.get(name, CLOSED), now_s)}

        if not self._exchange(change):
            super()._change(name, step)

    def _exchange(self, change: Callable[[dict[str, Circuit], float], dict[str, Circuit]]) -> bool:
        """Change the shared state and read it; return False if the database does not answer."""

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
