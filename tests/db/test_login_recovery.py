"""Which login is tried, how often, and who waits: against a vault and a server in memory."""

import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic

import pytest
from tests.forks import exit_code, start_child

from carboy.db import Login
from carboy.db.login_recovery import LoginRecovery, LoginRefused


@dataclass(frozen=True)
class MemoryLogin:
    """A login whose password is its version."""

    version: str
    user: str = "app"
    password: str = "x"
    source: str = "the vault"
    engine: str = ""
    host: str | None = None
    port: int | None = None
    database: str | None = None


@dataclass
class World:
    """A vault that keeps what it gave, and a server that knows one password; both count."""

    current: str = "v1"
    pending_: str | None = None
    accepts: str = "v1"
    logins: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    kept: str = "v1"
    is_sure: bool = True

    def newest(self) -> Login:
        return MemoryLogin(self.kept)

    def refreshed(self, refused: Collection[str], timeout_s: float) -> Login:
        assert timeout_s >= 0
        if self.kept in refused:
            self.asked.append("current")
            self.kept = self.current
        return MemoryLogin(self.kept)

    def pending(self, timeout_s: float) -> Login | None:
        assert timeout_s >= 0
        self.asked.append("pending")
        return MemoryLogin(self.pending_) if self.pending_ else None

    def open(self, login: Login) -> str:
        self.logins.append(login.version)
        if login.version != self.accepts:
            raise LoginRefused(login, ConnectionError("no"), is_sure=self.is_sure)
        return login.version


def _threads(world: World, healing: LoginRecovery, amount: int) -> list[str]:
    def one(_: int) -> str:
        try:
            return healing.connect(world.open)
        except LoginRefused:
            return "refused"

    with ThreadPoolExecutor(amount) as pool:
        return list(pool.map(one, range(amount)))


def test_a_login_that_works_makes_no_call() -> None:
    """The usual case costs one login."""
    world = World()
    assert LoginRecovery(world).connect(world.open) == "v1"
    assert (world.logins, world.asked) == (["v1"], [])


def test_after_a_rotation_the_new_password_is_found_in_the_same_connect() -> None:
    """The caller sees no error."""
    world = World(current="v2", accepts="v2")
    healing = LoginRecovery(world)

    assert healing.connect(world.open) == "v2"
    assert healing.connect(world.open) == "v2"
    assert (world.logins, world.asked) == (["v1", "v2", "v2"], ["current"])


def test_within_the_window_the_pending_version_works_and_is_kept() -> None:
    """Between `setSecret` and `finishSecret` the current version is the old one."""
    world = World(pending_="v2", accepts="v2")
    healing = LoginRecovery(world)

    assert [healing.connect(world.open) for _ in range(3)] == ["v2"] * 3
    assert world.asked == ["current", "pending"]
    world.current = world.kept = "v2"
    assert healing.connect(world.open) == "v2"
    world.pending_, world.accepts = "v3", "v3"  # the next rotation
    assert healing.connect(world.open) == "v3"
    assert world.asked == ["current", "pending"] * 2
    assert world.logins.count("v1") == 1


def test_a_stale_pending_version_is_not_tried() -> None:
    """It was the current one, and is no more."""
    world = World(current="v2", pending_="v2", accepts="v2")
    healing = LoginRecovery(world, heal_s=0.1, probe_s=1.0)
    healing.connect(world.open)
    world.accepts = "v3"
    with pytest.raises(LoginRefused):
        healing.connect(world.open)
    assert world.logins == ["v1", "v2", "v2"]


def test_two_hundred_refused_at_once_ask_the_vault_once() -> None:
    """One looks, the others wait for what it finds."""
    world = World(current="v2", accepts="v2")

    assert set(_threads(world, LoginRecovery(world), 200)) == {"v2"}
    assert world.asked == ["current"]


def test_a_wrong_password_is_tried_once_by_each_thread_and_then_seldom() -> None:
    """Accounts get locked. Here a look every 0.3 s stands for five, and a patience of 0.6 s for ten."""
    world = World(accepts="none")
    healing = LoginRecovery(world, heal_s=0.6, probe_s=0.3)

    assert set(_threads(world, healing, 20)) == {"refused"}
    assert len(world.logins) <= 21
    assert len(world.asked) <= 3
    assert set(_threads(world, healing, 20)) == {"refused"}  # at once: it was refused a moment ago
    assert len(world.logins) <= 21
    threading.Event().wait(0.35)
    assert set(_threads(world, healing, 20)) == {"refused"}
    assert len(world.logins) <= 22


def test_a_password_that_is_fixed_in_the_database_recovers_by_itself() -> None:
    """The version stays the same: it is tried again by one, and then all are let in."""
    world = World(accepts="none")
    healing = LoginRecovery(world, heal_s=0.1, probe_s=0.2)
    _threads(world, healing, 5)
    world.accepts = "v1"
    end = monotonic() + 10
    while set(_threads(world, healing, 5)) != {"v1"}:
        assert monotonic() < end


def test_a_password_that_is_fixed_while_threads_wait_is_found() -> None:
    """By the next look, within the patience of those who wait."""
    world = World(accepts="v2")
    threading.Timer(0.1, lambda: setattr(world, "current", "v2")).start()

    assert set(_threads(world, LoginRecovery(world, heal_s=10, probe_s=0.3), 10)) == {"v2"}


def test_a_rollback_to_the_version_before_is_found() -> None:
    """A version that was refused once may be good again."""
    world = World(current="v2", accepts="v2")
    healing = LoginRecovery(world, heal_s=10, probe_s=0.1)
    healing.connect(world.open)
    world.current = world.accepts = "v1"

    assert healing.connect(world.open) == "v1"


def test_what_may_not_be_about_the_password_is_tried_again_only_with_another_version() -> None:
    """Psycopg carries no code, and servers speak many languages."""
    world = World(accepts="v2", is_sure=False)
    with pytest.raises(LoginRefused):
        LoginRecovery(world).connect(world.open)
    assert world.logins == ["v1"]
    world.current = "v2"
    assert LoginRecovery(world).connect(world.open) == "v2"


def test_another_error_passes_through() -> None:
    """It is no affair of credentials."""

    def away(_: object) -> str:
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        LoginRecovery(World()).connect(away)


def test_a_child_forked_while_its_parent_looks_looks_for_itself() -> None:
    """The parent's thread is not in the child."""
    world = World(current="v2", accepts="v2")
    healing = LoginRecovery(world)
    healing._is_looking = True
    with healing._changed:
        child = start_child(lambda: healing.connect(world.open) == "v2")
    assert exit_code(child) == 0
