"""What one process has counted, tried or used up, all others know."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from tests.journeys.zygote import eventually
from tests.scale.kit import Base

from carboy.clock import Clock
from carboy.config import Rate
from carboy.db import ServerClock, Shared
from carboy.db.shared_state import SHARED
from carboy.errors import Unreachable
from carboy.services.archive.pacer import SharedBucket
from carboy.services.sms.circuit_breaker import SharedCircuits
from carboy.testing.clock import ManualClock
from carboy.web.http.rate_limits import SharedRateLimiter


@dataclass
class Node:
    """What a process has."""

    shared: Shared
    clock: Clock


@pytest.fixture
def nodes(base: Base) -> list[Node]:
    """Two processes on one database."""
    return [_node(base) for _ in range(2)]


def _node(base: Base) -> Node:
    clock = ServerClock()
    engine = base.engine()
    clock.follow(engine)
    return Node(Shared(lambda: engine, clock, patience_s=30.0), clock)


class _Values:
    """Shared values of processes that are one: the same steps, without a database."""

    def __init__(self, clock: Clock) -> None:
        self.values: dict[str, object] = {}
        self.clock = clock

    def change(self, name: str, step, *, keep_s: float = 0.0):  # type: ignore[no-untyped-def]
        value, answer = step(self.values.get(name), self.clock.now_ms())
        self.values[name] = value
        return answer


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.integers(0, 2)), max_size=300), st.integers(1, 40))
def test_no_window_ever_holds_more_than_the_rate_over_all_processes(
    requests: list[tuple[float, int]], count: int
) -> None:
    """For any start of the window, and any process that is asked."""
    clock = ManualClock()
    values = _Values(clock)
    limits = [SharedRateLimiter(values, "all", Rate(count, 6.0), clock=clock) for _ in range(3)]  # type: ignore[arg-type]
    taken: list[int] = []
    for gap_s, process in requests:
        clock.advance(gap_s)
        if not limits[process].take("a"):
            taken.append(clock.now_ms())

    for first in taken:
        assert sum(first <= at < first + 6000 for at in taken) <= count


def test_a_caller_has_its_rate_at_all_processes_together(nodes: list[Node]) -> None:
    """Not at each of them; and others have their own."""
    limits = [SharedRateLimiter(node.shared, "all", Rate(30, 3600.0), clock=node.clock) for node in nodes]
    let_in = [not limits[number % 2].take("key:a") for number in range(120)]

    assert 24 <= sum(let_in) <= 30
    assert not any(let_in[60:])
    assert limits[0].take("key:a") > 1
    assert limits[1].take("key:b") == 0.0


def test_busy_callers_ask_the_database_seldom(nodes: list[Node]) -> None:
    """A process takes several requests at a time."""
    asked = 0
    change = nodes[0].shared.change

    class Counting(Shared):
        def change(self, *arguments, **named):  # type: ignore[no-untyped-def]
            nonlocal asked
            asked += 1
            return change(*arguments, **named)

    counting = Counting(lambda: pytest.fail("it is not asked itself"), nodes[0].clock)
    limit = SharedRateLimiter(counting, "all", Rate(100_000, 3600.0), clock=nodes[0].clock)
    assert not any(limit.take("a") for _ in range(2000))
    assert asked < 20


def test_turns_are_handed_out_once(nodes: list[Node]) -> None:
    """Two processes that ask for turns get them one after the other, and a pause holds for both."""
    one, other = (SharedBucket(node.shared, "turns", Rate(1, 10.0), node.clock) for node in nodes)
    waits = [bucket.take(1000.0) for bucket in (one, other, one, other)]
    assert [round(wait_s, -1) for wait_s in waits] == [0.0, 10.0, 20.0, 30.0]
    one.pause(500.0)
    assert other.take() > 400


def test_a_circuit_that_one_opens_is_open_for_all(nodes: list[Node]) -> None:
    """And when it is half-open one message of all tries."""
    one, other = (SharedCircuits(node.shared, ["a", "b"], threshold=1, open_s=2.0, clock=node.clock) for node in nodes)
    assert other.admit("a")
    one.fail("a", "down")
    eventually(lambda: not other.admit("a"), "the other knows")
    assert other.admit("b")
    assert other.shown()["a"] == ("open", "down")
    assert 0 < other.opens_in_s(["a"]) <= 2

    eventually(lambda: one.shown()["a"][0] == "half-open", "its time is over")
    assert [one.admit("a"), other.admit("a"), one.admit("a")] == [True, False, False]
    one.succeed("a")
    eventually(lambda: other.admit("a"), "it is closed for both")


def test_while_the_database_does_not_answer_each_counts_for_itself(base: Base) -> None:
    """A caller waits for it at most once per interval, and the last seen value applies."""
    engine = base.engine()
    with engine.begin() as connection:
        SHARED.drop(connection)
    clock = ManualClock()
    shared = Shared(lambda: engine, clock, patience_s=30.0)
    limit = SharedRateLimiter(shared, "all", Rate(2, 60.0), clock=clock)
    assert [limit.take("a") > 0 for _ in range(3)] == [False, False, True]
    with pytest.raises(Unreachable):
        shared.change("x", lambda value, _: (value, None))
    circuits = SharedCircuits(shared, ["a"], threshold=1, open_s=60.0, clock=clock)
    circuits.fail("a", "down")
    assert not circuits.admit("a")
    assert SharedBucket(shared, "turns", Rate(1, 1.0), clock).take() == 0.0


def test_a_database_that_holds_a_change_up_is_not_waited_for(base: Base) -> None:
    """Another transaction has the row locked for longer than the patience."""
    holder, asker = _node(base), Shared(base.engine, patience_s=0.2)
    holder.shared.change("x", lambda *_: (1, None))
    with base.engine().connect() as connection:
        connection.execute(select(SHARED).with_for_update()).all()
        with pytest.raises(Unreachable):
            asker.change("x", lambda *_: (2, None))
    assert holder.shared.change("x", lambda value, _: (value, value)) in {1, 2}
