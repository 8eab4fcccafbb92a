"""No faster than the other side allows."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carboy.config import Rate
from carboy.services.archive.pacer import Pacer
from carboy.testing.clock import ManualClock


def test_turns_come_evenly() -> None:
    """Two a second: the first at once, then one every half second, however long nothing was asked before."""
    clock = ManualClock()
    bucket = Pacer(Rate(2, 1), clock)
    clock.advance(3600)

    assert [bucket.take(10) for _ in range(4)] == [0.0, 0.5, 1.0, 1.5]
    clock.advance(2)
    assert bucket.take() == 0.0


def test_who_will_not_wait_takes_nothing() -> None:
    """The error has the time to wait; the turn stays for the next."""
    bucket = Pacer(Rate(2, 1), ManualClock())

    assert bucket.take() == 0.0
    assert bucket.take(0.4) == 0.5
    assert bucket.take(0.5) == 0.5


def test_a_pause_holds_everybody() -> None:
    """As long as the other side asked for; a shorter one later does not shorten it."""
    clock = ManualClock()
    bucket = Pacer(Rate(2, 1), clock)
    bucket.pause(30)
    bucket.pause(1)

    assert bucket.take() == 30
    clock.advance(30)
    assert bucket.take() == 0


@pytest.mark.slow
@given(st.integers(1, 50), st.integers(1, 100), st.lists(st.floats(0, 3), max_size=60))
def test_no_stretch_holds_more_than_its_count(count: int, period_s: int, gaps_s: list[float]) -> None:
    """For any caller at any time: a period has at most `count` turns."""
    clock = ManualClock()
    bucket = Pacer(Rate(count, period_s), clock)
    turns = []
    for gap_s in gaps_s:
        clock.advance(gap_s)
        turns.append(clock.monotonic_s() + bucket.take(1e9))

    for first, last in zip(turns, turns[count:], strict=False):
        assert last - first >= period_s - 1e-6


def test_threads_share_the_turns() -> None:
    """None is given twice."""
    bucket = Pacer(Rate(100, 1), ManualClock())

    with ThreadPoolExecutor(8) as pool:
        waits = sorted(pool.map(lambda _: bucket.take(1e9), range(200)))

    assert waits == pytest.approx([number / 100 for number in range(200)])
