"""What comes from afar is fetched once for all, renewed behind the readers, and never lost to a failure."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest
from tests.forks import exit_code, start_child

from carboy.aws.swr_cache import SwrCache
from carboy.errors import CarboyError, Missing, Unreachable
from carboy.testing import ManualClock


class Source:
    """Something far away: gives numbered values, in its own time."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.error: CarboyError | None = None
        self.gate = threading.Event()
        self.gate.set()

    def fetch(self, keys: Sequence[str]) -> Mapping[str, str | CarboyError]:
        self.batches.append(list(keys))
        number = len(self.batches)
        assert self.gate.wait(60)
        return dict.fromkeys(keys, self.error or f"value {number}")


def _make(source: Source, clock: ManualClock, ttl_s: float = 300.0) -> SwrCache[str, str]:
    return SwrCache(source.fetch, ttl_s=ttl_s, min_interval_s=5.0, clock=clock)


def _until(is_so: Callable[[], bool]) -> None:
    end = monotonic() + 10
    while not is_so():
        assert monotonic() < end
        threading.Event().wait(0.001)


def test_fifty_threads_that_want_what_is_not_cached_make_one_fetch() -> None:
    """All wait for the one and share its answer."""
    source = Source()
    source.gate.clear()
    values = _make(source, ManualClock())
    with ThreadPoolExecutor(50) as pool:
        wanted = [pool.submit(values.value, "a") for _ in range(50)]
        _until(lambda: bool(source.batches))
        source.gate.set()
        assert {one.result() for one in wanted} == {"value 1"}
    assert source.batches == [["a"]]


def test_readers_go_on_with_the_old_value_while_one_thread_renews_all() -> None:
    """Readers do not wait; expired secrets are fetched in one batch."""
    source, clock = Source(), ManualClock()
    values = _make(source, clock)
    values.values(["a", "b"])
    source.gate.clear()
    clock.advance(301)

    assert values.values(["a", "b"]) == {"a": "value 1", "b": "value 1"}
    assert values.value("a") == "value 1"
    source.gate.set()

    _until(lambda: values.cached["a"][0] == "value 2" and values.cached["b"][0] == "value 2")
    assert len(source.batches) == 2


def test_the_last_good_value_serves_while_the_source_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    """The vault is asked again after the minimum interval, and the log has the age."""
    source, clock = Source(), ManualClock()
    values = _make(source, clock)
    values.value("a")
    source.error = Unreachable("a value", "the source is away", "wait")
    clock.advance(301)

    for _ in range(20):
        assert values.value("a") == "value 1"
    _until(lambda: len(source.batches) == 2 and not values._in_flight)
    clock.advance(6)
    source.error = None
    values.value("a")

    _until(lambda: values.cached["a"][0] == "value 3")


def test_who_saw_a_bad_value_gets_a_newer_one_by_one_fetch_for_all() -> None:
    """A thousand refused at once ask once; those who come later find it renewed."""
    source, clock = Source(), ManualClock()
    values = _make(source, clock)
    seen = values.value("a")
    clock.advance(10)
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda _: values.refresh("a", lambda kept: kept == seen), range(200)))

    assert set(found) == {"value 2"}
    assert len(source.batches) == 2


def test_no_value_is_fetched_twice_within_the_least_interval() -> None:
    """Even where every caller reports that it is bad, or that it does not exist."""
    source, clock = Source(), ManualClock()
    values = _make(source, clock)
    values.value("a")
    for _ in range(10):
        assert values.refresh("a", lambda _: True) == "value 1"
    source.error = Missing("b", "it is not there", "")
    for _ in range(10):
        with pytest.raises(Missing):
            values.value("b")
    assert source.batches == [["a"], ["b"]]

    clock.advance(5)
    source.error = None
    assert values.value("b") == "value 3"


def test_who_waits_for_a_slow_source_waits_no_longer_than_it_said() -> None:
    """The fetch goes on, and the next one who asks has its answer."""
    source, clock = Source(), ManualClock()
    values = _make(source, clock)
    values.value("a")
    source.gate.clear()
    clock.advance(10)

    assert values.refresh("a", lambda _: True, timeout_s=0.01) == "value 1"
    source.gate.set()

    _until(lambda: values.value("a") == "value 2")


def test_an_error_is_raised_to_each_thread_as_its_own() -> None:
    """Tracebacks of one thread are not those of another."""
    source = Source()
    source.error = Missing("a", "it is not there", "make it")
    values = _make(source, ManualClock())
    errors = []
    for _ in range(2):
        with pytest.raises(Missing, match="not there") as caught:
            values.value("a")
        errors.append(caught.value)
    assert errors[0] is not errors[1]


def test_a_child_forked_in_the_middle_of_a_fetch_fetches_for_itself() -> None:
    """As gunicorn forks its workers after the application was loaded."""
    source = Source()
    values = _make(source, ManualClock())
    values.value("kept")
    source.gate.clear()
    thread = threading.Thread(target=lambda: values.value("a"), daemon=True)
    thread.start()
    _until(lambda: len(source.batches) == 2)

    def in_child() -> bool:
        source.gate = threading.Event()
        source.gate.set()
        return values.value("kept") == "value 1" and values.value("a") == "value 3"

    with values._changed:  # the worst moment: the lock is held
        child = start_child(in_child)
    code = exit_code(child)
    source.gate.set()
    thread.join()
    assert code == 0


def test_a_refresh_without_a_doubt_always_fetches() -> None:
    """Also just after a fetch: an operator, or a program that was refused, knows better."""
    source = Source()
    values = _make(source, ManualClock())

    assert values.value("a") == "value 1"
    assert values.refresh("a") == "value 2"
    assert values.refresh("a", lambda _: True) == "value 2"
    assert values.refresh("a") == "value 3" == values.value("a")


def test_a_refresh_is_not_served_by_a_fetch_that_began_before() -> None:
    """Its answer may be of before the rotation; all who wait share the one that begins then."""
    source = Source()
    source.gate.clear()
    values = _make(source, ManualClock())
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(values.value, "a")
        _until(lambda: len(source.batches) == 1)
        later = [pool.submit(values.refresh, "a") for _ in range(19)]
        _until(lambda: len(values._changed._waiters) >= 19)  # type: ignore[attr-defined]
        source.gate.set()
        assert first.result() == "value 1"
        assert {one.result() for one in later} == {"value 2"}
    assert len(source.batches) == 2


def test_what_is_cleared_is_fetched_by_the_next_read() -> None:
    """One key, or all."""
    source = Source()
    values = _make(source, ManualClock())
    values.values(["a", "b"])

    values.clear(["a"])
    assert (values.value("a"), values.value("b")) == ("value 2", "value 1")
    values.clear()
    assert (values.value("a"), values.value("b")) == ("value 3", "value 4")


def test_a_fetch_that_was_under_way_when_all_was_cleared_is_repeated() -> None:
    """It may have asked before the change."""
    source = Source()
    source.gate.clear()
    values = _make(source, ManualClock())
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(values.value, "a")
        _until(lambda: len(source.batches) == 1)
        values.clear()
        source.gate.set()
        assert first.result() == "value 1"

    values.value("a")
    _until(lambda: values.value("a") == "value 2")
