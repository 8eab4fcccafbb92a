"""Which provider carries a message: order, weights, circuits. Nothing here touches the world but a lock.

A provider that errs opens its circuit and is passed over until it is half-open; then one message tries it, and its
circuit is closed again when that goes well.
"""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from carboy.clock import SYSTEM_CLOCK, Clock

__all__ = [
    "CLOSED",
    "Circuit",
    "Circuits",
    "Phase",
    "WeightedRoute",
    "admit",
    "draw_order",
    "fail",
    "phase",
    "read_order",
]

Phase = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class WeightedRoute:
    """A provider in `SMS_PROVIDER`: `aliyun`, or `aliyun:3` with a weight."""

    name: str
    weight: float | None = None


def read_order(texts: Sequence[str]) -> list[WeightedRoute]:
    """Return the places of `SMS_PROVIDER`.

    Raises:
        ValueError: a weight is no number above 0, a name comes twice, or only some have weights.
    """
    places = []
    for text in texts:
        name, colon, weight = text.partition(":")
        try:
            value = float(weight) if colon else None
        except ValueError:
            value = 0.0
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"the weight of `{name}` must be a number above 0")
        places.append(WeightedRoute(name.strip(), value))
    if len({one.name for one in places}) < len(places):
        raise ValueError("a provider is named twice")
    if len({one.weight is None for one in places}) > 1:
        raise ValueError("give all providers a weight, or none")
    return places


def draw_order(places: Sequence[WeightedRoute], draw: Callable[[], float] = random.random) -> list[str]:
    """Return the providers in the order in which one message tries them.

    Without weights it is the order given. With weights each place is drawn in turn, so that the first is a provider as
    often as its weight says.

    Args:
        places: of `SMS_PROVIDER`.
        draw: gives numbers from 0 to below 1.
    """
    left = list(places)
    if not left or left[0].weight is None:
        return [one.name for one in left]
    names = []
    while left:
        at = draw() * sum(one.weight or 0.0 for one in left)
        drawn = left[-1]
        for one in left:
            at -= one.weight or 0.0
            if at < 0:
                drawn = one
                break
        left.remove(drawn)
        names.append(drawn.name)
    return names


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is known of a provider's health; times are seconds of one clock.

    Attributes:
        failures: in a row.
        open_until_s: None while closed.
        probe_until_s: until when one message has the only try of a half-open circuit; None when none has.
        why: it was opened.
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
    """Return the circuit after it let a message through; None where it lets none through now.

    Args:
        circuit: as it is.
        now_s: the time.
        probe_s: after so long a probe that never ended counts no more.
    """
    match phase(circuit, now_s):
        case "closed":
            return circuit
        case "half-open" if circuit.probe_until_s is None or now_s >= circuit.probe_until_s:
            return replace(circuit, probe_until_s=now_s + probe_s)
    return None


def fail(circuit: Circuit, now_s: float, *, threshold: int, open_s: float, why: str) -> Circuit:
    """Return the circuit after a failure: open when there were enough in a row, or when it was the probe's."""
    failures = circuit.failures + 1
    if failures < threshold and circuit.open_until_s is None:
        return Circuit(failures, None, None, why)
    return Circuit(failures, now_s + open_s, None, why)


class Circuits:
    """The circuits of this process's providers, for any number of threads.

    Args:
        names: of the providers.
        threshold: failures in a row that open one.
        open_s: for how long.
        clock: what time it is.
    """

    def __init__(
        self, names: Sequence[str], *, threshold: int = 1, open_s: float = 30.0, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._threshold, self._open_s, self._clock = threshold, open_s, clock
        self._lock = threading.Lock()
        self._circuits = dict.fromkeys(names, CLOSED)

    def admit(self, name: str) -> bool:
        """Ask for a provider's turn; whoever gets it says `succeed` or `fail` afterwards."""
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
        """Give a turn back that was not used."""
        if self._look()[name].probe_until_s is not None:
            self._change(name, lambda circuit, _: replace(circuit, probe_until_s=None))

    def succeed(self, name: str) -> None:
        """Close a circuit: the provider does as it should."""
        if self._look()[name] != CLOSED:
            self._change(name, lambda *_: CLOSED)

    def fail(self, name: str, why: str, open_s: float | None = None) -> None:
        """Count a failure; one with a time of its own opens the circuit for that long."""
        threshold = self._threshold if open_s is None else 1
        wait_s = self._open_s if open_s is None else open_s
        self._change(name, lambda circuit, now_s: fail(circuit, now_s, threshold=threshold, open_s=wait_s, why=why))

    def opens_in_s(self, names: Sequence[str]) -> float:
        """Return after how long the first of these lets something through; 0 where one does now."""
        circuits, now_s = self._look(), self._now_s()
        ends = (max(circuits[name].open_until_s or 0.0, circuits[name].probe_until_s or 0.0) for name in names)
        return min((max(0.0, end_s - now_s) for end_s in ends), default=0.0)

    def shown(self) -> Mapping[str, tuple[Phase, str]]:
        """Return each provider's phase, and why it is not closed."""
        now_s = self._now_s()
        return {name: (phase(one, now_s), one.why) for name, one in self._look().items()}

    def _now_s(self) -> float:
        return self._clock.monotonic_s()

    def _look(self) -> Mapping[str, Circuit]:
        """Return the circuits as they are; not to be changed."""
        return self._circuits

    def _change(self, name: str, step: Callable[[Circuit, float], Circuit]) -> None:
        """Replace a circuit by what the step makes of it, while nobody else does."""
        with self._lock:
            self._circuits = {**self._circuits, name: step(self._circuits[name], self._now_s())}
