"""Circuit breaker: fail fast while a server or provider is known not to work, and probe it now and then.

The states are pure values, so that they can be shared between processes; `CircuitBreaker` keeps one in this process.

Source: M. Nygard, "Release It!", "Circuit Breaker".
"""

from dataclasses import dataclass, replace
from typing import Literal

from carboy.clock import SYSTEM_CLOCK, Clock

__all__ = ["CLOSED", "Circuit", "CircuitBreaker", "Phase", "admit", "fail", "phase"]

Phase = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class Circuit:
    """The state of one circuit; times are seconds of one clock.

    Attributes:
        failures: in a row.
        open_until_s: None while closed.
        probe_until_s: until when one caller has the only try of a half-open circuit; None when no caller has it.
        why: the reason of the last failure.
    """

    failures: int = 0
    open_until_s: float | None = None
    probe_until_s: float | None = None
    why: str = ""


CLOSED = Circuit()


def phase(circuit: Circuit, now_s: float) -> Phase:
    """Return which of its phases a circuit is in."""
    if circuit.open_until_s is None:
        return "closed"
    return "open" if now_s < circuit.open_until_s else "half-open"


def admit(circuit: Circuit, now_s: float, probe_s: float) -> Circuit | None:
    """Return the circuit after it let one call through; None where it lets no call through now.

    Args:
        circuit: the state before.
        now_s: the time.
        probe_s: after so many seconds a probe that never ended no longer counts.
    """
    match phase(circuit, now_s):
        case "closed":
            return circuit
        case "half-open" if circuit.probe_until_s is None or now_s >= circuit.probe_until_s:
            return replace(circuit, probe_until_s=now_s + probe_s)
    return None


def fail(circuit: Circuit, now_s: float, *, threshold: int, open_s: float, why: str) -> Circuit:
    """Return the circuit after a failure: open after `threshold` failures in a row, or when the probe failed."""
    failures = circuit.failures + 1
    if failures < threshold and circuit.open_until_s is None:
        return Circuit(failures, None, None, why)
    return Circuit(failures, now_s + open_s, None, why)


class CircuitBreaker:
    """One circuit of this process, opened by the first failure.

    It takes no lock: of two threads that ask in the same instant both may probe, which does no harm.

    Args:
        probe_s: the seconds between two probes of a server that does not work.
        patience_s: how long one probe may take; then another may begin.
        clock: the source of the time.
    """

    def __init__(self, probe_s: float, patience_s: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self._probe_s, self._patience_s, self._clock = probe_s, patience_s, clock
        self._circuit = CLOSED
        self.error: Exception | None = None

    @property
    def is_open(self) -> bool:
        """Whether a call would fail now: the circuit is open, or another caller probes."""
        circuit, now_s = self._circuit, self._clock.monotonic_s()
        return phase(circuit, now_s) == "open" or now_s < (circuit.probe_until_s or 0.0)

    def ask(self) -> Literal["closed", "probe", "open"]:
        """Return what the caller may do: call as usual, call once as the probe, or fail at once."""
        circuit = self._circuit
        if circuit is CLOSED:
            return "closed"
        admitted = admit(circuit, self._clock.monotonic_s(), self._patience_s)
        if admitted is None:
            return "open"
        self._circuit = admitted
        return "probe"

    def open(self, error: Exception) -> None:
        """Record a failure; `error` is its cause, kept as the attribute `error` while the circuit is open."""
        self.error = error
        self._circuit = fail(CLOSED, self._clock.monotonic_s(), threshold=1, open_s=self._probe_s, why=str(error))

    def close(self) -> None:
        """Record that the server works."""
        self._circuit, self.error = CLOSED, None
