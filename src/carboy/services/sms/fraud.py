"""Guards against SMS pumping (toll fraud): codes per range of numbers, codes per client, and conversion.

An attacker who earns from messages requests codes for many numbers of a few ranges, and never enters one. So three
things are counted, for all processes: codes for each range of ten thousand numbers, codes for each client, and how many
of a range's codes are entered. Requests are checked and counted in the transaction that accepts them, see `intake`.
"""

from collections import Counter as Tally
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from carboy.config import Rate
from carboy.db import Shared
from carboy.errors import Fault, Unreachable
from carboy.http_values import render_retry_after
from carboy.logs import BoundLogger, get_logger
from carboy.problems import Problem
from carboy.services.sms.numbers import Number
from carboy.web import Counter

log: BoundLogger = get_logger("carboy.sms")

_DAY_MS = 86_400_000
_SKEW_MS = 60_000
_OF_ALL = "sms:codes"
_DETAILS = {
    "client": "SMS_CLIENT_LIMITS: this client asked for too many codes",
    "prefix": "SMS_PREFIX_LIMITS: numbers like these had too many codes",
    "conversion": "SMS_CONVERSION_MIN: too few of the codes sent to numbers like these were entered",
}

Values = MutableMapping[str, Any]
"""The shared values that a transaction locked, by name; None for one that does not exist yet."""


@dataclass(frozen=True, slots=True)
class RateGuard:
    """At most so many codes for a client or for a range of numbers.

    Attributes:
        kind: `client` or `prefix`.
        name: of the shared value: the times of the last codes, in milliseconds.
        limits: all are kept.
        amount: how many codes the request is.
        pointers: to the receivers concerned, in the body.
    """

    kind: Literal["client", "prefix"]
    name: str
    limits: Sequence[Rate]
    amount: int = 1
    pointers: Sequence[str] = ()

    @property
    def names(self) -> Sequence[str]:
        """The one shared value."""
        return (self.name,)

    @property
    def keep_ms(self) -> int:
        """The longest period."""
        return round(max(limit.period_s for limit in self.limits) * 1000)

    def wait_ms(self, values: Values, now_ms: int) -> float:
        """Return how long the request must wait; 0 if it keeps every limit."""
        times = [at for at in values[self.name] or () if at > now_ms - self.keep_ms]
        for _ in range(min(self.amount, self._most + 1)):  # more than its count at once never keeps a limit
            wait_ms = max(left_ms(times, limit, now_ms) for limit in self.limits)
            if wait_ms:
                return wait_ms
            times.append(now_ms)
        return 0.0

    def count(self, values: Values, now_ms: int) -> None:
        """Add the request's codes to the times."""
        times = [at for at in values[self.name] or () if at > now_ms - self.keep_ms]
        values[self.name] = [*times, *[now_ms] * self.amount][-self._most :]

    @property
    def _most(self) -> int:
        return max(limit.count for limit in self.limits)


@dataclass(frozen=True, slots=True)
class Conversion:
    """How many of the codes sent must be entered.

    Attributes:
        least: the part, from 0; 0 turns the guard off.
        after: codes sent to a range before it is judged.
    """

    least: float
    after: int


@dataclass(frozen=True, slots=True)
class ConversionGuard:
    """No codes for a range of numbers that enters none, while other ranges do.

    Attributes:
        prefix: of the range.
        conversion: the limit.
        pointers: to the receivers concerned, in the body.
    """

    prefix: str
    conversion: Conversion
    pointers: Sequence[str] = ()
    kind: Literal["conversion"] = "conversion"

    @property
    def names(self) -> Sequence[str]:
        """The counts of the range, and those of all ranges."""
        return (f"sms:codes:{self.prefix}", _OF_ALL)

    @property
    def keep_ms(self) -> int:
        """The time that is counted, and for which a range stays refused at most."""
        return _DAY_MS

    def wait_ms(self, values: Values, now_ms: int) -> float:
        """Return how long the range stays refused; 0 if it is not."""
        mine, every = (_current(values[name], now_ms) for name in self.names)
        if mine is None or every is None or mine["sent"] < self.conversion.after:
            return 0.0
        sent, entered = (every[what] - mine[what] for what in ("sent", "entered"))
        is_low = mine["entered"] < mine["sent"] * self.conversion.least
        if not is_low or entered <= 0 or entered < sent * self.conversion.least:
            return 0.0  # no range enters its codes here: this one is no exception
        return float(mine["since_ms"] + _DAY_MS - now_ms)

    def count(self, values: Values, now_ms: int) -> None:
        """Count nothing: codes are counted when they are sent and entered."""


Guard = RateGuard | ConversionGuard
"""A limit that a request must keep, checked and counted in the transaction that accepts it."""


@dataclass(frozen=True, slots=True)
class Guards:
    """The guards of the gateway.

    Attributes:
        shared: keeps the counts of codes entered.
        per_prefix: limits for one range of numbers.
        per_client: limits for one client.
        conversion: the limit for each range.
        refused: counts refusals, by guard.
        codes: counts codes sent and entered, by country.
    """

    shared: Shared
    per_prefix: Sequence[Rate]
    per_client: Sequence[Rate]
    conversion: Conversion
    refused: Counter
    codes: Counter

    def of_request(self, receivers: Sequence[tuple[Number, str]], client: str) -> list[Guard]:
        """Return the guards that a request for codes must pass.

        Args:
            receivers: of the codes, each with its pointer in the body.
            client: that requests them; empty if unknown.
        """
        guards: list[Guard] = []
        for prefix, amount in Tally(prefix_of(number) for number, _ in receivers).items():
            pointers = [pointer for number, pointer in receivers if prefix_of(number) == prefix]
            if self.conversion.least:
                guards.append(ConversionGuard(prefix, self.conversion, pointers))
            if self.per_prefix:
                guards.append(RateGuard("prefix", f"sms:prefix:{prefix}", self.per_prefix, amount, pointers))
        if self.per_client and client:
            guards.append(RateGuard("client", f"sms:client:{client}", self.per_client))
        return guards

    def refusal(self, guard: Guard, wait_ms: float) -> Problem:
        """Return the 429 of a guard, counted and logged."""
        self.refused.inc((guard.kind,))
        log.warning("sms_guarded", guard=guard.kind, wait_s=round(wait_ms / 1000))
        detail = _DETAILS[guard.kind]
        faults = [Fault(pointer, detail.partition(": ")[2]) for pointer in dict.fromkeys(guard.pointers)]
        return Problem(429, detail, faults=faults, headers={"Retry-After": render_retry_after(wait_ms / 1000)})

    def note(self, number: Number, what: Literal["sent", "entered"]) -> None:
        """Count a code that is on its way, or was entered correctly."""
        self.codes.inc((number.region, what))
        if not self.conversion.least:
            return

        def add(value: Any, now_ms: int) -> tuple[Any, None]:
            counts = _current(value, now_ms) or {"since_ms": now_ms, "sent": 0, "entered": 0}
            return {**counts, what: counts[what] + 1}, None

        for name in (f"sms:codes:{prefix_of(number)}", _OF_ALL):
            try:
                self.shared.change(name, add, keep_s=_DAY_MS / 1000)
            except Unreachable:
                return  # the code is accepted already


def prefix_of(number: Number) -> str:
    """Return the range of ten thousand numbers that a number is in: all but its last four digits."""
    return number.e164[:-4]


def left_ms(times: Sequence[int], limit: Rate, now_ms: int) -> float:
    """Return how long until one more event keeps the limit; 0 if it does now."""
    within = sorted(at for at in times if _is_within(at, now_ms, limit.period_s * 1000))
    if len(within) < limit.count:
        return 0.0
    return within[-limit.count] + limit.period_s * 1000 - now_ms


def _is_within(at_ms: int, now_ms: int, period_ms: float) -> bool:
    """Return whether something was in a period; what is more than a minute ahead was written by a wrong clock."""
    return now_ms - period_ms < at_ms <= now_ms + _SKEW_MS


def _current(value: Any, now_ms: int) -> Any:
    """Return the counts of the last day; None if they are older."""
    return value if value and _is_within(value["since_ms"], now_ms, _DAY_MS) else None
