"""Waits for a client's bytes end in time, and never take every thread."""

from carboy.serve.deadlines import Deadlines
from carboy.testing import ManualClock


def test_a_wait_that_takes_too_long_is_ended() -> None:
    """The thread that waits for a silent client returns when its time is over, not before."""
    clock, ended = ManualClock(), []
    deadlines = Deadlines(max_waiting=10, clock=clock)
    number = deadlines.begin(5.0, lambda: ended.append("slow"))

    clock.advance(4.9)
    deadlines.sweep()
    assert ended == []

    clock.advance(0.1)
    deadlines.sweep()
    assert ended == ["slow"]
    assert not deadlines.finish(number)


def test_a_wait_that_was_over_in_time_is_left_alone() -> None:
    """Nothing is done to a request whose bytes came."""
    clock, ended = ManualClock(), []
    deadlines = Deadlines(max_waiting=10, clock=clock)
    number = deadlines.begin(5.0, lambda: ended.append("fast"))

    assert deadlines.finish(number)

    clock.advance(60)
    assert deadlines.sweep() == 0
    assert ended == []


def test_of_a_crowd_the_longest_waits_end_first() -> None:
    """Slow clients never block every thread, in any number; a wait of under a second goes on."""
    clock, ended = ManualClock(), []
    deadlines = Deadlines(max_waiting=2, clock=clock)
    for name in ("first", "second", "third"):
        deadlines.begin(30.0, lambda name=name: ended.append(name))  # type: ignore[misc]
        clock.advance(0.25)

    deadlines.sweep()
    assert ended == [], "a crowd of a moment is no attack"

    clock.advance(1.0)
    deadlines.sweep()
    assert ended == ["first"]


def test_a_request_that_waited_before_counts_as_waiting_since_then() -> None:
    """A client that reads a little now and then does not begin again each time."""
    clock, ended = ManualClock(), []
    deadlines = Deadlines(max_waiting=1, clock=clock)
    deadlines.begin(30.0, lambda: ended.append("new"))
    deadlines.begin(30.0, lambda: ended.append("dripping"), waited_s=5.0)

    deadlines.sweep()

    assert ended == ["dripping"]
