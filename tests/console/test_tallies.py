"""Counts over a week, kept by hour."""

from collections.abc import Mapping

from carboy.testing.clock import ManualClock
from carboy.web import Tally

HOUR_MS = 3_600_000


class _Rows:
    """Rows at times; notes what was counted."""

    def __init__(self) -> None:
        self.times: list[tuple[int, str]] = []
        self.asked: list[tuple[int, int]] = []

    def count(self, start_ms: int, end_ms: int) -> Mapping[str, int]:
        self.asked.append((start_ms, end_ms))
        found: dict[str, int] = {}
        for at, name in self.times:
            if start_ms <= at < end_ms:
                found[name] = found.get(name, 0) + 1
        return found


def test_the_figures_are_those_of_the_rows() -> None:
    clock, rows = ManualClock(), _Rows()
    now_ms = clock.now_ms()
    hour_ms = now_ms // HOUR_MS * HOUR_MS
    ages_h = (0, 23, 24, 168)
    rows.times = [*((hour_ms - 1 - hours * HOUR_MS, "in") for hours in ages_h), (now_ms, "in"), (now_ms, "out")]

    figure = Tally(rows.count, clock).figure("in", "In")

    assert (figure.minute, figure.hour, figure.day, figure.week) == (1, 2, 2, 4)
    assert len(figure.series) == 24
    assert all(end - start <= HOUR_MS for start, end in rows.asked)


def test_a_closed_hour_is_counted_once_and_one_with_open_rows_again() -> None:
    clock, rows = ManualClock(), _Rows()
    hour_ms = clock.now_ms() // HOUR_MS * HOUR_MS
    rows.times = [(hour_ms - 2 * HOUR_MS, "open"), (hour_ms - 3 * HOUR_MS, "in")]
    tally = Tally(rows.count, clock)
    tally.figure("in", "In")
    clock.advance(60)
    rows.asked.clear()
    rows.times = [(hour_ms - 2 * HOUR_MS, "in"), (hour_ms - 3 * HOUR_MS, "in")]

    figure = tally.figure("in", "In")

    assert figure.day == 2
    assert [start for start, end in rows.asked if end - start == HOUR_MS] == [hour_ms - 2 * HOUR_MS]
