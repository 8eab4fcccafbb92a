"""Provider health: how much of the traffic a provider gets, by what became of its last messages. Nothing here does I/O.

A provider whose calls fail, or whose messages are delivered later than they used to be, loses most of its share at once
and gets it back in steps. After each relapse the first step waits longer, so that traffic does not go to and fro.

GOV.UK Notify moves 10 points away from the provider of whose messages 15 % took over five minutes, and 10 points back
each hour. Here a message counts as late after a minute, against how the same provider did before.

Source: github.com/alphagov/notifications-api, `switch_current_sms_provider_on_slow_delivery`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

STEP_MS = 60_000
"""How often health is judged."""

WINDOW_MS = 300_000
"""How far back calls and messages are looked at."""

LATE_MS = 60_000
"""How long a delivery may take to be on time."""

_FLOOR = 0.01
_FALL = 0.25
_RISE = 2.0
_HOLD_MS = 120_000
_RISE_EVERY_MS = 240_000
_LONGEST_HOLD_MS = 3_600_000
_FORGET_MS = 6 * 3_600_000

_CALLS_GOOD = 0.95
_DROP = 0.15
_CHANCE = 0.0001
_HIGHEST = 0.999  # nothing is certain, and one late message of a perfect provider is chance
_LEAST_TO_LEARN = 20
_LEARN = 0.1


@dataclass(frozen=True, slots=True)
class Evidence:
    """What became of a provider's calls and messages since its health last changed, within `WINDOW_MS`.

    Attributes:
        calls: to the provider, by message.
        errors: calls that failed, whatever the receiver.
        judged: messages handed over at least `LATE_MS` ago.
        on_time: those of them that were delivered within `LATE_MS`.
    """

    calls: int = 0
    errors: int = 0
    judged: int = 0
    on_time: int = 0

    @property
    def error_rate(self) -> float | None:
        """The part of the calls that failed; None without calls."""
        return self.errors / self.calls if self.calls else None

    @property
    def on_time_rate(self) -> float | None:
        """The part of the messages that were delivered on time; None without messages."""
        return self.on_time / self.judged if self.judged else None


@dataclass(frozen=True, slots=True)
class Health:
    """How well a provider works.

    Attributes:
        factor: multiplies its share, from 0.01 to 1.
        changed_at_ms: when the factor last changed.
        falls: how often it lost its share lately.
        is_falling: whether the last change was a fall.
        usual: the part of its messages that are usually on time; None until enough is known.
        reason: of the last fall; empty while it has its whole share.
    """

    factor: float = 1.0
    changed_at_ms: int = 0
    falls: int = 0
    is_falling: bool = False
    usual: float | None = None
    reason: str = ""


def step(health: Health, evidence: Evidence, now_ms: int) -> Health:
    """Return a provider's health after one look at it; the evidence is newer than `health.changed_at_ms`."""
    reason = _find_fault(health, evidence)
    if reason:
        factor, falls = max(_FLOOR, health.factor * _FALL), health.falls + (not health.is_falling)
        return replace(health, factor=factor, changed_at_ms=now_ms, falls=falls, is_falling=True, reason=reason)
    if health.factor < 1:
        if _is_held(health, now_ms):
            return health
        factor = min(1.0, health.factor * _RISE)
        reason = "" if factor == 1 else health.reason
        return replace(health, factor=factor, changed_at_ms=now_ms, is_falling=False, reason=reason)
    falls = 0 if now_ms - health.changed_at_ms > _FORGET_MS else health.falls
    return replace(health, falls=falls, usual=_learn(health.usual, evidence))


def relative(factors: Mapping[str, float]) -> dict[str, float]:
    """Return factors against the best provider's: where all do badly, such as by a carrier's fault, none is shunned."""
    best = max(factors.values(), default=1.0)
    return {name: factor / best for name, factor in factors.items()}


def _is_held(health: Health, now_ms: int) -> bool:
    """Return whether it is too early for the next step up; the first one waits longer after each relapse."""
    if not health.is_falling:
        return now_ms - health.changed_at_ms < _RISE_EVERY_MS
    return now_ms - health.changed_at_ms < min(_LONGEST_HOLD_MS, _HOLD_MS << max(0, min(health.falls, 16) - 1))


def _find_fault(health: Health, evidence: Evidence) -> str:
    """Return what is wrong with a provider; empty if nothing is beyond chance."""
    if _is_below(evidence.calls - evidence.errors, evidence.calls, _CALLS_GOOD):
        return f"{evidence.errors} of {evidence.calls} calls failed"
    if health.usual is not None and _is_below(evidence.on_time, evidence.judged, health.usual):
        return (
            f"{evidence.on_time} of {evidence.judged} messages were delivered within {LATE_MS // 1000} s,"
            f" usually {health.usual:.0%}"
        )
    return ""


def _is_below(good: int, count: int, usual: float) -> bool:
    """Return whether so few good ones of a count are far below the usual part, and not by chance."""
    if count == 0 or good / count > usual - _DROP:
        return False
    return _chance_of_at_most(good, count, min(usual, _HIGHEST)) < _CHANCE


def _chance_of_at_most(good: int, count: int, part: float) -> float:
    """Return the binomial probability of at most so many good ones; beyond 100 by the normal distribution."""
    if count > 100:
        deviation = math.sqrt(count * part * (1 - part))
        return 0.5 * math.erfc((count * part - good - 0.5) / deviation / math.sqrt(2))
    return math.fsum(math.comb(count, one) * part**one * (1 - part) ** (count - one) for one in range(good + 1))


def _learn(usual: float | None, evidence: Evidence) -> float | None:
    if evidence.judged < _LEAST_TO_LEARN or evidence.on_time_rate is None:
        return usual
    return evidence.on_time_rate if usual is None else usual + _LEARN * (evidence.on_time_rate - usual)
