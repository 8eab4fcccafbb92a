"""A database server is unavailable: requests fail soon, then fail fast until it is back."""

import socket
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import Engine
from tests.lab.rotation import ask

from carboy.circuit_breaker import CircuitBreaker
from carboy.db import Address, Connector, DbSettings, GroupCommit, engine, fail_fast
from carboy.db.watchdog import must_fail_fast
from carboy.errors import Unreachable
from carboy.testing import ManualClock, closed_port
from carboy.testing.processes import DatabaseServer


class Place:
    """An engine whose server can be taken away: its address becomes a closed port."""

    def __init__(self, server: DatabaseServer, away: int, **settings: float) -> None:
        self.clock = ManualClock()
        self.server, self.away = Address(server.host, server.port), Address("127.0.0.1", away)
        self.at = self.server
        self.asked = 0
        found = DbSettings(database_url=server.url(), db_tls_ca=server.ca_path, **settings)  # type: ignore[arg-type]
        connector = Connector(found, where=self._where, clock=self.clock)
        self.engine: Engine = engine(found, connector=connector)

    def _where(self) -> Address:
        self.asked += 1
        return self.at

    def ask(self) -> float:
        """Ask in a hurry with a fresh connection, and return how long that waited by the clock."""
        self.engine.dispose()
        began_s = self.clock.monotonic_s()
        with fail_fast():
            ask(self.engine)
        return self.clock.monotonic_s() - began_s


@pytest.fixture(params=["mariadb_server", "postgres_server"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Each server in turn, with the default settings."""
    with closed_port() as port:
        made = Place(request.getfixturevalue(request.param), port)
        yield made
        made.engine.dispose()


def test_a_request_fails_within_its_budget_and_the_next_at_once(place: Place) -> None:
    """Three seconds, then none at all and without a connect; a second later one looks again, with one try."""
    place.ask()
    place.at = place.away
    before_s = place.clock.monotonic_s()
    with pytest.raises(Unreachable, match="did not answer"):
        place.ask()
    assert place.clock.monotonic_s() - before_s <= 3.0
    waits = len(place.clock.waits)
    assert waits > 1

    for _ in range(5):
        with pytest.raises(Unreachable, match="asked again soon"):
            place.ask()
    place.clock.advance(1.001)  # sleeps are spread at random, and sums of them rounded
    with pytest.raises(Unreachable, match="1 try"):
        place.ask()
    assert len(place.clock.waits) == waits


def test_it_is_back_with_the_first_look_that_finds_it(place: Place) -> None:
    """And the circuit is as good as new."""
    place.at = place.away
    with pytest.raises(Unreachable):
        place.ask()
    place.at = place.server
    with pytest.raises(Unreachable):
        place.ask()
    place.clock.advance(1.001)  # sleeps are spread at random, and sums of them rounded

    assert place.ask() == 0
    assert place.ask() == 0


def test_a_start_waits_for_the_long_budget_meanwhile(place: Place) -> None:
    """Background work keeps trying; when it succeeds, requests succeed at once."""
    place.at = place.away
    with pytest.raises(Unreachable):
        place.ask()
    before_s = place.clock.monotonic_s()
    with pytest.raises(Unreachable):
        ask(place.engine)
    assert 20 < place.clock.monotonic_s() - before_s <= 30

    place.at = place.server
    ask(place.engine)
    assert place.ask() == 0


def test_a_write_that_others_wait_for_fails_fast(place: Place) -> None:
    """Also one of a job: requests may queue behind it."""
    place.at = place.away
    before_s = place.clock.monotonic_s()
    with pytest.raises(Unreachable):
        GroupCommit(place.engine).run(lambda _connection, items: items, 1)
    assert place.clock.monotonic_s() - before_s <= 3.0


@pytest.mark.parametrize("kind", ["mysql", "postgresql"])
def test_a_host_that_swallows_everything_holds_a_request_no_longer(kind: str) -> None:
    """One try takes as long as the budget, however long the driver would wait; then it is known."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        silent.settimeout(0.5)
        url = f"{kind}://app:x@127.0.0.1:{silent.getsockname()[1]}/app"
        made = engine(DbSettings(database_url=url, db_request_budget_s=0.2, db_probe_s=60))
        for _ in range(2):
            with fail_fast(), pytest.raises(Unreachable):
                ask(made)
        silent.accept()[0].close()
        with pytest.raises(TimeoutError):
            silent.accept()


def test_a_query_may_take_longer_than_a_connect(mariadb_server: DatabaseServer) -> None:
    """The time of a connect is not the time of what comes after it."""
    made = engine(DbSettings(database_url=mariadb_server.url(), db_connect_timeout_s=2))
    with made.connect() as connection:
        assert connection.exec_driver_sql("SELECT SLEEP(2.5)").scalar() == 0
    made.dispose()


def test_every_request_of_flask_is_in_a_hurry() -> None:
    """And nothing else is, not even within an application's context."""
    app = Flask(__name__)
    with app.app_context():
        assert not must_fail_fast()
    with app.test_request_context():
        assert must_fail_fast()


def test_of_many_that_come_after_the_pause_one_looks() -> None:
    """The others fail at once meanwhile; a look that never ends is followed by another."""
    clock = ManualClock()
    circuit = CircuitBreaker(probe_s=1, patience_s=3, clock=clock)
    assert circuit.ask() == "closed"
    circuit.open(OSError("away"))
    assert circuit.ask() == "open"
    clock.advance(1)
    assert [circuit.ask() for _ in range(3)] == ["probe", "open", "open"]
    clock.advance(3)
    assert circuit.ask() == "probe"
    circuit.close()
    assert circuit.ask() == "closed"
