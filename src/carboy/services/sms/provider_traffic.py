"""Provider traffic: each provider's health, and those that an operator took out, shared by all processes.

Each process adds what became of its calls; the one that comes first after a minute judges for all. What a person took
out stays out until it is put back.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from msgspec import convert

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.db import Shared
from carboy.errors import Unreachable
from carboy.logs import BoundLogger, get_logger
from carboy.services.sms.poll_interval import PollInterval
from carboy.services.sms.provider_health import LATE_MS, STEP_MS, WINDOW_MS, Evidence, Health, relative, step
from carboy.services.sms.providers import Balance, Outcome

log: BoundLogger = get_logger("carboy.sms")

CountDeliveries = Callable[[Mapping[str, int], int, int], Mapping[str, tuple[int, int]]]
"""Given since when each provider is judged, until when, and how long a delivery may take; `Records.count_on_time`."""

_NAME = "sms:traffic"
_KEEP_S = 10 * 365 * 86_400.0
_LOOK_EVERY_S = 2.0
_MINUTE_MS = 60_000
_FAULTY = frozenset({"account", "not_sent", "throttled", "unknown"})


@dataclass(frozen=True, slots=True)
class ProviderState:
    """What all processes know of a provider.

    Attributes:
        health: how much of its share it gets.
        evidence: what it was judged by last.
        out_at_ms: when it was taken out by hand; None while it is in turn.
        balance: the last balance that the provider reported; None if it reports none.
        minutes: the minute since the epoch, calls and errors in it; the oldest first.
    """

    health: Health = Health()
    evidence: Evidence = Evidence()
    out_at_ms: int | None = None
    balance: Balance | None = None
    minutes: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class _All:
    judged_at_ms: int = 0
    providers: Mapping[str, ProviderState] = field(default_factory=dict)

    def of(self, name: str) -> ProviderState:
        """Return the state of a provider, of which nothing may be known yet."""
        return self.providers.get(name, ProviderState())


class ProviderTraffic:
    """Shares of the providers, for any number of threads and processes.

    While the database does not answer, this process uses what it read last.

    Args:
        names: of the providers.
        shared: state in the database.
        count_deliveries: counts what was delivered on time.
        clock: the time, the same for all processes.
    """

    def __init__(
        self, names: Sequence[str], shared: Shared, count_deliveries: CountDeliveries, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._names, self._shared, self._clock = names, shared, clock
        self._count_deliveries = count_deliveries
        self._lock = threading.Lock()
        self._known = _All()
        self._calls: dict[str, tuple[int, int]] = {}
        self._interval = PollInterval(_LOOK_EVERY_S, clock)

    def note(self, name: str, outcome: Outcome) -> None:
        """Count a call."""
        is_faulty = outcome.is_listed and outcome.kind in _FAULTY
        with self._lock:
            calls, errors = self._calls.get(name, (0, 0))
            self._calls[name] = calls + 1, errors + is_faulty

    def factors(self) -> dict[str, float]:
        """Return by how much each provider's share is multiplied, from above 0 to 1."""
        return relative({name: one.health.factor for name, one in self.states().items()})

    def is_out(self, name: str) -> bool:
        """Return whether an operator took a provider out."""
        return self._look().of(name).out_at_ms is not None

    def states(self) -> dict[str, ProviderState]:
        """Return what is known of each provider."""
        known = self._look()
        return {name: known.of(name) for name in self._names}

    def take_out(self, name: str) -> None:
        """Give a provider no messages until it is put back.

        Raises:
            Unreachable: the database does not answer.
        """
        self._set(name, lambda state, now_ms: replace(state, out_at_ms=state.out_at_ms or now_ms))

    def put_back(self, name: str) -> None:
        """Give a provider messages again, with its whole share.

        Raises:
            Unreachable: the database does not answer.
        """
        self._set(name, lambda state, _: replace(state, out_at_ms=None, health=Health(usual=state.health.usual)))

    def set_balance(self, name: str, balance: Balance) -> None:
        """Keep what a provider said of our balance.

        Raises:
            Unreachable: the database does not answer.
        """
        self._set(name, lambda state, _: replace(state, balance=balance))

    def _set(self, name: str, change: Callable[[ProviderState, int], ProviderState]) -> None:
        def apply(known: _All, now_ms: int) -> _All:
            return replace(known, providers={**known.providers, name: change(known.of(name), now_ms)})

        self._exchange(apply)

    def _look(self) -> _All:
        """Return the states, which are read again every two seconds and judged every minute."""
        if self._interval.is_due():
            try:
                self._refresh()
            except Unreachable:
                log.debug("sms_traffic_not_shared")
        return self._known

    def _refresh(self) -> None:
        now_ms, known = self._clock.now_ms(), self._known
        deliveries: Mapping[str, tuple[int, int]] | None = None
        if _is_due(known, now_ms):
            changed = {name: known.of(name).health.changed_at_ms for name in self._names}
            since = {name: max(now_ms - WINDOW_MS, min(at_ms, now_ms)) for name, at_ms in changed.items()}
            deliveries = self._count_deliveries(since, now_ms - LATE_MS, LATE_MS)
        with self._lock:
            calls, self._calls = self._calls, {}
        before: dict[str, Health] = {}

        def apply(known: _All, now_ms: int) -> _All:
            added = _add_calls(known, calls, now_ms)
            if deliveries is None or not _is_due(known, now_ms):
                return added
            before.clear()
            before.update({name: one.health for name, one in added.providers.items()})
            return _judge(added, self._names, deliveries, now_ms)

        self._exchange(apply)
        self._log_changes(before)

    def _log_changes(self, before: Mapping[str, Health]) -> None:
        for name, old in before.items():
            new = self._known.providers[name].health
            if new.factor != old.factor:
                write = log.warning if new.factor < old.factor else log.info
                write(
                    "sms_provider_share", provider=name, health=round(new.factor, 3), reason=new.reason or "recovered"
                )

    def _exchange(self, apply: Callable[[_All, int], _All]) -> None:
        def change(value: Any, now_ms: int) -> tuple[Any, _All]:
            changed = apply(convert(value or {}, _All), now_ms)
            return asdict(changed), changed

        seen = self._shared.change(_NAME, change, keep_s=_KEEP_S)
        with self._lock:
            self._known = seen


def _is_due(known: _All, now_ms: int) -> bool:
    """Return whether the providers are judged again; what was judged in the future was judged by a wrong clock."""
    return abs(now_ms - known.judged_at_ms) >= STEP_MS


def _add_calls(known: _All, calls: Mapping[str, tuple[int, int]], now_ms: int) -> _All:
    minute, oldest = now_ms // _MINUTE_MS, (now_ms - WINDOW_MS) // _MINUTE_MS
    providers = dict(known.providers)
    for name, (count, errors) in calls.items():
        state = known.of(name)
        minutes = {one[0]: one for one in state.minutes if oldest <= one[0] <= minute + 1}
        _, calls_before, errors_before = minutes.get(minute, (minute, 0, 0))
        minutes[minute] = minute, calls_before + count, errors_before + errors
        providers[name] = replace(state, minutes=tuple(minutes[at] for at in sorted(minutes)))
    return replace(known, providers=providers)


def _judge(known: _All, names: Sequence[str], deliveries: Mapping[str, tuple[int, int]], now_ms: int) -> _All:
    providers = dict(known.providers)
    for name in names:
        state = known.of(name)
        health = replace(state.health, changed_at_ms=min(state.health.changed_at_ms, now_ms))
        oldest = max(now_ms - WINDOW_MS, health.changed_at_ms) // _MINUTE_MS
        minutes = [one for one in state.minutes if oldest < one[0] <= now_ms // _MINUTE_MS + 1]
        judged, on_time = deliveries.get(name, (0, 0))
        calls, errors = (sum(one[place] for one in minutes) for place in (1, 2))
        evidence = Evidence(calls, errors, judged, on_time)
        providers[name] = replace(state, health=step(health, evidence, now_ms), evidence=evidence)
    return _All(now_ms, providers)
