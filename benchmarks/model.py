"""What 1, 10 and 100 machines reach: arithmetic, and a simulation of the queue, calibrated by measured points.

`python -m benchmarks engines | tee out; python -m benchmarks.model < out` reads the JSON line that `engines` prints.
"""

import heapq
import json
import math
import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Line", "Outcome", "calibrate", "erlang_wait_s", "follow", "report", "saturated", "simulate", "together"]

MACHINES = (1, 10, 100)
RATES = ("accepted_per_s", "archived_per_s")


@dataclass(frozen=True, slots=True)
class Line:
    """A queue with those who work at it.

    Attributes:
        arrivals_per_s: jobs, each at a moment of its own (Poisson).
        workers: jobs at the same time, over all processes and machines.
        service_s: how long a job takes in the middle.
        variation: of the service time: 0 for always the same, 1 for exponential.
        limit_per_s: turns that all of them have together, as a provider or `THREATSTACK_RATE` gives them; 0 for any.
        taken_per_s: rows that the database returns; 0 for any.
    """

    arrivals_per_s: float
    workers: int
    service_s: float
    variation: float = 1.0
    limit_per_s: float = 0.0
    taken_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it, after the queue had time to fill.

    Attributes:
        done_per_s: jobs that ended.
        wait_s: from arrival to the begin, in the middle.
        wait_p99_s: what one in a hundred waits longer than.
        busy: the part of the workers' time that is used.
        left: how many still waited at the end.
    """

    done_per_s: float
    wait_s: float
    wait_p99_s: float
    busy: float
    left: int


def simulate(line: Line, seconds: float = 2000.0, seed: int = 1) -> Outcome:
    """Follow jobs that come at random through the queue; see `follow`."""
    warm_s = seconds / 10
    waits: list[float] = []
    done = left = 0
    worked_s = 0.0
    for arrived_s, begins_s, ends_s in follow(line, plan_arrivals(line, seconds, seed)):
        if warm_s <= ends_s <= seconds:
            done += 1
        if arrived_s >= warm_s:
            waits.append(begins_s - arrived_s)
        worked_s += max(0.0, min(ends_s, seconds) - min(begins_s, seconds))
        left += begins_s > seconds
    waits.sort()
    return Outcome(
        done / (seconds - warm_s),
        sum(waits) / len(waits) if waits else 0.0,
        waits[int(len(waits) * 0.99)] if waits else 0.0,
        worked_s / seconds / line.workers,
        int(left),
    )


def plan_arrivals(line: Line, seconds: float, seed: int = 1) -> Iterator[tuple[float, float]]:
    """Yield when a job comes, and how long it will take, until so many seconds have gone by."""
    chance = random.Random(seed)
    arrived_s = 0.0
    while (arrived_s := arrived_s + chance.expovariate(line.arrivals_per_s)) <= seconds:
        yield arrived_s, _service_s(line, chance)


def follow(line: Line, jobs: Iterable[tuple[float, float]]) -> Iterator[tuple[float, float, float]]:
    """Yield when each job came, began and ended: first come, first served; a worker waits for a turn with its job."""
    free = [0.0] * line.workers
    turn_s = taken_s = -math.inf
    for arrived_s, service_s in jobs:
        begins_s = max(heapq.heappop(free), arrived_s)
        if line.taken_per_s:
            begins_s = taken_s = max(begins_s, taken_s + 1 / line.taken_per_s)
        if line.limit_per_s:
            begins_s = turn_s = max(begins_s, turn_s + 1 / line.limit_per_s)
        heapq.heappush(free, begins_s + service_s)
        yield arrived_s, begins_s, begins_s + service_s


def _service_s(line: Line, chance: random.Random) -> float:
    fixed = 1.0 - line.variation
    return line.service_s * (fixed + (chance.expovariate(1.0) * line.variation if line.variation else 0.0))


def erlang_wait_s(arrivals_per_s: float, workers: int, service_s: float) -> float:
    """Return how long a job waits in the middle in a queue of exponential times (M/M/c).

    Source: A. K. Erlang, 1917; the formula is known as Erlang C.
    """
    offered = arrivals_per_s * service_s
    if offered >= workers:
        return math.inf
    term = total = 1.0
    for number in range(1, workers):
        term *= offered / number
        total += term
    last = term * offered / workers * workers / (workers - offered)
    return last / (total + last) * service_s / (workers - offered)


def together(amount: int, one_per_s: float, limit_per_s: float) -> float:
    """Return what so many machines bring: each what one brings, and all no more than their one database takes."""
    return min(amount * one_per_s, limit_per_s)


def calibrate(points: Sequence[tuple[int, float]]) -> Line:
    """Return a line whose workers bring what one was measured to bring, and together no more than what limits them.

    That is what the points bring in the middle that stay behind by a tenth or more; without any, nothing does.
    """
    one = dict(points)[1]
    behind = [rate for amount, rate in points if rate < 0.9 * amount * one]
    return Line(0.0, 1, 1 / one, variation=0.0, taken_per_s=sum(behind) / len(behind) if behind else 0.0)


def saturated(line: Line, workers: int) -> float:
    """Return what so many bring together while more waits than they can do, by simulation."""
    enough = 2 * workers / line.service_s
    return simulate(replace(line, arrivals_per_s=enough, workers=workers), seconds=2000 * line.service_s).done_per_s


def report(measured: Mapping[str, Any], limit_per_s: float = 2.0, service_s: float = 0.15) -> list[str]:
    """Return the lines of the tables, from the points that `engines` has measured."""
    lines = [f"{'':12}{'':12}{'workers':>8}{'measured':>10}{'simulated':>11}{'ratio':>7}"]
    far = [f"{'':12}{'machines':>9}{'accepted/s':>12}{'archived/s':>12}"]
    for engine in dict.fromkeys(one["engine"] for one in measured["points"]):
        mine = [one for one in measured["points"] if one["engine"] == engine]
        for what in RATES:
            points = [(one["workers"], one[what]) for one in mine]
            line = calibrate(points)
            for workers, rate in points:
                found = saturated(line, workers)
                lines.append(f"{engine:12}{what[:-6]:12}{workers:8}{rate:10,.0f}{found:11,.0f}{found / rate:7.2f}")
        for amount in MACHINES:
            rates = [together(amount, mine[0][what], measured["database"][what]) for what in RATES]
            far.append(f"{engine:12}{amount:9}" + "".join(f"{rate:12,.0f}" for rate in rates))
    limits = " and ".join(f"{measured['database'][what]:,.0f} {what[:-6]}" for what in RATES)
    lines += ["", f"machines of one web process and one worker, and one database that takes {limits} a second:", *far]
    lines.append(f"\na source that gives {limit_per_s:g} turns a second, {service_s:g} s each, 8 workers:")
    for part in (0.5, 0.9, 1.1):
        found_there = simulate(Line(part * limit_per_s, 8, service_s, limit_per_s=limit_per_s))
        lines.append(
            f"  {part * limit_per_s:5.2f} arrive/s: {found_there.done_per_s:5.2f} done/s, "
            f"wait {found_there.wait_s:7.1f} s, p99 {found_there.wait_p99_s:7.1f} s, "
            f"{found_there.left} left after 2,000 s"
        )
    return lines


def main() -> None:
    """Read the measured points from stdin and print what follows."""
    measured = next(json.loads(line) for line in sys.stdin if line.startswith("{"))
    print("\n".join(report(measured)))


if __name__ == "__main__":
    main()
