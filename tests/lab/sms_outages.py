"""A simulation of two SMS providers, one of which fails at times, minute by minute."""

import random
from dataclasses import dataclass, field
from typing import Literal

from carboy.services.sms.provider_health import WINDOW_MS, Evidence, Health, relative, step
from carboy.services.sms.routing import draw_order, read_order

__all__ = ["World"]

MINUTE_MS = 60_000
USUAL = 0.93


@dataclass
class World:
    """Two providers, the first of which fails at times; a message is late if it is sent there then.

    Attributes:
        outages: the minutes from which, and until which, the first provider fails.
        per_minute: messages.
        fault: `silent` takes messages and delivers none, `errors` takes none.
        is_adaptive: whether shares follow health; else the weights are fixed.
        late: how many messages were late.
        falls: how often a provider began to lose its share.
        healths: of both.
    """

    outages: list[tuple[int, int]]
    per_minute: int
    fault: Literal["silent", "errors"] = "silent"
    is_adaptive: bool = True
    late: int = 0
    falls: int = 0
    healths: list[Health] = field(default_factory=lambda: [Health(usual=USUAL), Health(usual=USUAL)])

    def run(self, minutes: int, seed: int = 1) -> "World":
        """Send for that many minutes, and return this."""
        draw = random.Random(seed).random
        routes = read_order(["0:1", "1:1"])
        log: list[list[list[int]]] = []  # by minute and provider: calls, errors, judged, on time
        for minute in range(minutes):
            factors = relative({str(at): one.factor for at, one in enumerate(self.healths)})
            row = [[0, 0, 0, 0], [0, 0, 0, 0]]
            for _ in range(self.per_minute):
                at = int(draw_order(routes, factors if self.is_adaptive else None, draw)[0])
                is_down = at == 0 and any(begin <= minute < end for begin, end in self.outages)
                self.late += is_down
                is_error = is_down and self.fault == "errors"
                is_on_time = not is_down and draw() < USUAL
                row[at] = [sum(both) for both in zip(row[at], (1, is_error, not is_error, is_on_time), strict=True)]
            log.append(row)
            self._judge(log, minute)
        return self

    def _judge(self, log: list[list[list[int]]], minute: int) -> None:
        now_ms = (minute + 1) * MINUTE_MS
        for at, health in enumerate(self.healths):
            since = max(health.changed_at_ms // MINUTE_MS, minute + 1 - WINDOW_MS // MINUTE_MS, 0)
            calls, errors = (sum(row[at][place] for row in log[since:]) for place in (0, 1))
            judged, on_time = (sum(row[at][place] for row in log[since:minute]) for place in (2, 3))  # a minute old
            self.healths[at] = step(health, Evidence(calls, errors, judged, on_time), now_ms)
            self.falls += self.healths[at].falls > health.falls
