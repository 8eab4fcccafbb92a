"""How often something may be done: `2/s`, `6000/60s`, `10/h`, and a bucket that keeps to it.

A bucket belongs to one process; several processes together may do several times as much.
"""

import re
import threading
from dataclasses import dataclass

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import ConfigurationError, Fault

__all__ = ["Rate", "TokenBucket", "parse_rate"]

_RATE = re.compile(r"([1-9]\d{0,8})/([1-9]\d{0,5})?([smh])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` within `period_s` seconds."""

    count: int
    period_s: float


def parse_rate(text: str, setting: str = "threatstack_rate") -> Rate:
    """Return the rate that a text such as `2/s`, `100/10s`, `30/m` or `5/h` says.

    Args:
        text: the count, a slash, how many units (one if left out), and `s`, `m` or `h`.
        setting: the name to complain about.

    Raises:
        ConfigurationError: it is no such text.
    """
    found = _RATE.fullmatch(text.strip())
    if not found:
        detail = "is a count, a slash and a time: 2/s, 100/10s, 30/m, 5/h"
        raise ConfigurationError(
            "a rate could not be read", f"`{setting}` {detail}", "write it so", [Fault(setting, detail)]
        )
    return Rate(int(found[1]), float(int(found[2] or 1) * _SECONDS[found[3]]))


class TokenBucket:
    """Hands out turns, evenly spaced and never saved up, to any number of threads.

    So no stretch of a rate's period holds more than its count. It says how long to wait and never waits itself.
    """

    def __init__(self, rate: Rate, clock: Clock = SYSTEM_CLOCK) -> None:
        self._every_s = rate.period_s / rate.count
        self._clock = clock
        self._next_s = clock.monotonic_s()  # when the next turn is
        self._lock = threading.Lock()

    def take(self, patience_s: float = 0.0) -> float:
        """Take the next turn if it comes within that time, and return how long to wait for it.

        When it does not, nothing is taken, and what is returned is longer than `patience_s`.
        """
        with self._lock:
            now_s = self._clock.monotonic_s()
            turn_s = max(self._next_s, now_s)
            wait_s = turn_s - now_s
            if wait_s <= patience_s:
                self._next_s = turn_s + self._every_s
            return wait_s

    def pause(self, seconds: float) -> None:
        """Let nothing through for that long: the other side has asked for it."""
        with self._lock:
            self._next_s = max(self._next_s, self._clock.monotonic_s() + seconds)
