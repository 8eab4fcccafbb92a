import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carboy.clock import Clock
from carboy.testing.clock import ManualClock


def test_time_stands_still_until_it_is_advanced() -> None:
    """Both clocks move together, by what was said and nothing else."""
    clock: Clock = ManualClock(start_ms=1000)

    before = (clock.now_ms(), clock.monotonic_s())
    assert isinstance(clock, ManualClock)
    clock.advance(1.5)

    assert before == (1000, 0.0)
    assert (clock.now_ms(), clock.monotonic_s()) == (2500, 1.5)


@pytest.mark.slow
@given(st.lists(st.integers(0, 10_000), max_size=50))
def test_small_steps_add_up_exactly(steps_ms: list[int]) -> None:
    """A thousand steps of a millisecond are one second, not 0.9999."""
    clock = ManualClock(start_ms=0)

    for step in steps_ms:
        clock.advance(step / 1000)

    assert clock.now_ms() == sum(steps_ms)


def test_a_sleep_moves_the_time_and_is_on_record() -> None:
    """A backoff can be asserted without waiting for it."""
    clock = ManualClock(start_ms=0)

    clock.sleep(1)
    clock.sleep(0.25)

    assert clock.waits == [1, 0.25]
    assert clock.now_ms() == 1250


def test_a_waiting_sleep_ends_when_another_thread_has_advanced_far_enough() -> None:
    """Not one step earlier."""
    clock = ManualClock(sleep="waits")
    woken = threading.Event()

    def doze() -> None:
        clock.sleep(10)
        woken.set()

    with ThreadPoolExecutor() as pool:
        dozing = pool.submit(doze)
        clock.wait_for_sleepers()
        clock.advance(9.999)
        was_woken_early = woken.wait(0.05)
        clock.advance(0.001)
        dozing.result(10)

    assert not was_woken_early
    assert woken.is_set()


def test_time_does_not_go_back() -> None:
    """A mistake in a test is an error, not a strange clock."""
    with pytest.raises(ValueError, match="back"):
        ManualClock().advance(-1)


def test_the_wall_clock_jumps_alone() -> None:
    """A duration that is measured by the wall clock shows itself; the one of the monotonic clock stays."""
    clock = ManualClock(start_ms=10_000)
    clock.advance(1)
    clock.jump(-5)
    assert (clock.now_ms(), clock.monotonic_s()) == (6_000, 1.0)
    clock.jump(3600)
    clock.advance(1)
    assert (clock.now_ms(), clock.monotonic_s()) == (3_607_000, 2.0)
