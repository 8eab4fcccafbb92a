"""Settings that change while the process runs: whole, checked, or not at all."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from carboy.config import Live, Settings, load, read_sources, setting, settings_changed
from carboy.errors import CarboyError
from carboy.testing import ManualClock


@dataclass(frozen=True, slots=True)
class ShopSettings:
    """What changes."""

    shop_name: str = setting("corner", "what stands over the door")
    shop_seats: int = setting(4, "how many sit")


class World:
    """Settings from an environment that a test changes."""

    def __init__(self, folder: Path, clock: ManualClock, ttl_s: float | None = 300.0) -> None:
        self.folder, self.environ, self.reads = folder, {"EXTRA": "1", "FLASK_EXTRA": "1"}, 0
        self.refused: list[CarboyError] = []
        self.gate = threading.Event()
        self.gate.set()
        self.settings = self.load()
        self.live = Live(self.settings, self.load, ttl_s=ttl_s, on_refused=self.refused.append, clock=clock)

    def load(self) -> Settings:
        self.reads += 1
        assert self.gate.wait(10)
        return load([ShopSettings], read_sources(folder=self.folder, environ=self.environ))


@pytest.fixture
def clock() -> ManualClock:
    """A clock that the test moves."""
    return ManualClock()


@pytest.fixture
def world(tmp_path: Path, clock: ManualClock) -> World:
    """A shop."""
    return World(tmp_path, clock)


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    """What `settings_changed` sent."""
    found: list[dict[str, Any]] = []

    def note(_sender: object, **what: Any) -> None:
        found.append(what)

    settings_changed.connect(note)
    yield found
    settings_changed.disconnect(note)


def test_a_refresh_swaps_all_and_reports_what_was_added_changed_and_removed(
    world: World, told: list[dict[str, Any]]
) -> None:
    """By name; the settings of the start stay what they were."""
    world.environ = {"SHOP_NAME": "market", "FLASK_MORE": "2"}

    changes = world.live.refresh()

    assert told == [{"added": {"MORE"}, "changed": {"SHOP_NAME"}, "removed": {"EXTRA"}}]
    assert changes
    assert world.settings.live("SHOP_NAME") == "market"
    assert world.settings["SHOP_NAME"] == "corner"
    with pytest.raises(KeyError):
        world.settings.live("EXTRA")
    assert not world.live.refresh()
    assert len(told) == 1


def test_settings_that_are_not_good_change_nothing(world: World, told: list[dict[str, Any]]) -> None:
    """Not even those among them that are."""
    world.environ = {"SHOP_NAME": "market", "SHOP_SEATS": "many"}

    changes = world.live.refresh()

    assert "SHOP_SEATS" in str(changes.refused)
    assert world.refused == [changes.refused]
    assert world.settings.live("SHOP_NAME") == "corner"
    assert told == []


def test_what_is_too_old_is_read_again_behind_the_reader(world: World, clock: ManualClock) -> None:
    """Who asks gets the old value, and soon the new one."""
    world.environ = {"SHOP_NAME": "market"}
    assert world.settings.live("SHOP_NAME") == "corner"
    clock.advance(301)
    world.gate.clear()

    assert world.settings.live("SHOP_NAME") == "corner"
    world.gate.set()

    end = monotonic() + 10
    while world.settings.live("SHOP_NAME") != "market":
        assert monotonic() < end
        threading.Event().wait(0.001)
    assert world.reads == 2


def test_settings_of_files_alone_are_read_again_only_on_request(tmp_path: Path, clock: ManualClock) -> None:
    """Nothing outside can change by itself."""
    world = World(tmp_path, clock, ttl_s=None)
    clock.advance(10_000)
    world.settings.live("SHOP_NAME")
    assert world.reads == 1
    world.live.ask()
    end = monotonic() + 10
    while world.reads != 2:
        assert monotonic() < end


def test_many_who_ask_at_once_have_them_read_once(world: World, clock: ManualClock) -> None:
    """And not again within the least interval."""
    clock.advance(10)
    for _ in range(50):
        world.live.ask()
    end = monotonic() + 10
    while world.live._is_asked:
        assert monotonic() < end
    world.live.ask()
    assert world.reads == 2
