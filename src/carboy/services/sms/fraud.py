"""Keep texts with codes from being pumped: to ranges of numbers that somebody earns from, by one who asks in a loop.

Who pumps asks for codes to many numbers of a few ranges, and never enters one. So three things are counted, for all
processes: codes for each range of ten thousand numbers, codes for each client, and how many of a range's were entered.
"""

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from carboy.config import Rate
from carboy.db import Shared
from carboy.db.shared_state import Step
from carboy.errors import Fault, Unreachable
from carboy.logs import BoundLogger, get_logger
from carboy.problems import Problem
from carboy.services.sms.intake import left_ms
from carboy.services.sms.numbers import Number
from carboy.web import Counter

__all__ = ["Conversion", "Guards", "prefix_of"]

log: BoundLogger = get_logger("carboy.sms")

_DAY_MS = 86_400_000
_OF_ALL = "sms:codes"


@dataclass(frozen=True, slots=True)
class Conversion:
    """How many of the codes sent must be entered.

    Attributes:
        least: the part, from 0; 0 asks for nothing.
        after: codes sent to a range before it is judged.
        for_ms: how long is counted, and a range that was judged stays refused at most.
    """

    least: float
    after: int
    for_ms: int = _DAY_MS


@dataclass(frozen=True, slots=True)
class Guards:
    """Refuses codes that look pumped.

    Attributes:
        shared: where the counts are.
        per_prefix: codes to one range of numbers.
        per_client: codes that one client asks for.
        conversion: of each range.
        refused: counts what was refused, by guard.
        codes: counts codes sent and entered, by country.
    """

    shared: Shared
    per_prefix: Sequence[Rate]
    per_client: Sequence[Rate]
    conversion: Conversion
    refused: Counter
    codes: Counter

    def check_client(self, client: str) -> None:
        """Count a code that a client asks for.

        Raises:
            Problem: 429, it asked for too many.
        """
        if self.per_client and client:
            wait_ms = self._change(f"sms:client:{client}", _take(self.per_client, 1), self.per_client)
            if wait_ms:
                raise self._refusal("client", wait_ms, "SMS_CLIENT_LIMITS: this client asked for too many codes")

    def check_receivers(self, receivers: Sequence[Number]) -> None:
        """Count texts with a code, by the ranges that they go to.

        Raises:
            Problem: 429, a range had too many, or too few of its codes were entered.
        """
        if not self.per_prefix and not self.conversion.least:
            return
        for prefix, count in Tally(map(prefix_of, receivers)).items():
            places = [place for place, number in enumerate(receivers) if prefix_of(number) == prefix]
            if self.conversion.least:
                self._check_conversion(prefix, places)
            if self.per_prefix:
                wait_ms = self._change(f"sms:prefix:{prefix}", _take(self.per_prefix, count), self.per_prefix)
                if wait_ms:
                    detail = "SMS_PREFIX_LIMITS: numbers like these had too many codes"
                    raise self._refusal("prefix", wait_ms, detail, places)

    def note_sent(self, number: Number) -> None:
        """Count a code that was made here and is on its way."""
        self._note(number, "sent")

    def note_entered(self, number: Number) -> None:
        """Count a code that was entered rightly."""
        self._note(number, "entered")

    def _note(self, number: Number, what: str) -> None:
        self.codes.inc((number.region, what))
        if self.conversion.least:
            for name in (f"sms:codes:{prefix_of(number)}", _OF_ALL):
                self._change(name, _add(what, self.conversion.for_ms))

    def _check_conversion(self, prefix: str, places: Sequence[int]) -> None:
        found = self._change(f"sms:codes:{prefix}", _look(self.conversion.for_ms))
        if found is None or found["sent"] < self.conversion.after:
            return
        if found["entered"] >= found["sent"] * self.conversion.least:
            return
        every = self._change(_OF_ALL, _look(self.conversion.for_ms))
        others = {what: every[what] - found[what] for what in ("sent", "entered")} if every else {"entered": 0}
        if others["entered"] <= 0 or others["entered"] < others["sent"] * self.conversion.least:
            return  # codes are not entered here at all, or everything is down: that tells nothing of this range
        detail = "SMS_CONVERSION_MIN: too few of the codes sent to numbers like these were entered"
        raise self._refusal("conversion", found["wait_ms"], detail, places)

    def _change(self, name: str, step: Step[Any], limits: Sequence[Rate] = ()) -> Any:
        keep_s = max((limit.period_s for limit in limits), default=self.conversion.for_ms / 1000)
        try:
            return self.shared.change(name, step, keep_s=keep_s)
        except Unreachable:
            return None  # the text itself cannot be written then, and that is told

    def _refusal(self, guard: str, wait_ms: float, detail: str, places: Sequence[int] = ()) -> Problem:
        self.refused.inc((guard,))
        log.warning("sms_guarded", guard=guard, wait_s=round(wait_ms / 1000))
        faults = [Fault(f"/receivers/{place}", detail.partition(": ")[2]) for place in places]
        return Problem(429, detail, faults=faults, headers={"Retry-After": str(max(1, ceil(wait_ms / 1000)))})


def prefix_of(number: Number) -> str:
    """Return the range of ten thousand numbers that a number is in: all but its last four digits."""
    return number.e164[:-4]


def _take(limits: Sequence[Rate], count: int) -> Step[float]:
    """Count within limits; answer how long to wait, in milliseconds, and count nothing where that is above 0."""
    longest_ms = max(limit.period_s for limit in limits) * 1000
    most = max(limit.count for limit in limits)

    def step(value: Any, now_ms: int) -> tuple[Any, float]:
        times = [at for at in value or () if at > now_ms - longest_ms]
        for _ in range(min(count, most + 1)):  # more than its count at once is never within a limit
            wait_ms = max(left_ms(times, limit, now_ms) for limit in limits)
            if wait_ms:
                return value, wait_ms
            times = [*times, now_ms]
        return times[-most:], 0.0

    return step


def _add(what: str, for_ms: int) -> Step[None]:
    def step(value: Any, now_ms: int) -> tuple[Any, None]:
        if not value or value["since_ms"] <= now_ms - for_ms:
            value = {"since_ms": now_ms, "sent": 0, "entered": 0}
        return {**value, what: value[what] + 1}, None

    return step


def _look(for_ms: int) -> Step[Any]:
    def step(value: Any, now_ms: int) -> tuple[Any, Any]:
        if not value or value["since_ms"] <= now_ms - for_ms:
            return value, None
        return value, {**value, "wait_ms": value["since_ms"] + for_ms - now_ms}

    return step
