"""A daemon that is running, unavailable, or slow to resolve: nothing waits and nothing fails."""

import time
from contextlib import suppress
from pathlib import Path

import pytest

from carboy import trace
from carboy.errors import UsageError
from carboy.testing import UdpListener
from carboy.testing.clock import ManualClock
from carboy.trace.daemon import Daemon, parse_daemon_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:2000", ("127.0.0.1", 2000)),
        ("xray-daemon:2000", ("xray-daemon", 2000)),
        ("tcp:127.0.0.1:2000 udp:127.0.0.2:2001", ("127.0.0.2", 2001)),
        ("udp:127.0.0.2:2001 tcp:127.0.0.1:2000", ("127.0.0.2", 2001)),
        ("[::1]:2000", ("::1", 2000)),
        ("127.0.0.1", None),
        ("127.0.0.1:http", None),
        (":2000", None),
        ("", None),
        ("a:1 b:2 c:3", None),
        ("a:70000", None),
    ],
)
def test_its_address_is_read_as_awss_sdks_do(text: str, address: tuple[str, int] | None) -> None:
    """Both forms of it."""
    assert parse_daemon_address(text) == address


def test_a_wrong_address_or_way_stops_the_start() -> None:
    """Instead of losing every trace."""
    with pytest.raises(UsageError):
        trace.setup("xray", daemon_address="nowhere")
    with pytest.raises(UsageError):
        trace.setup("jaeger")  # type: ignore[arg-type]


def test_a_daemon_that_is_away_is_asked_once_a_second() -> None:
    """And found again when it is back."""
    clock = ManualClock()
    with UdpListener() as holder:
        port = holder.port
    daemon = Daemon("127.0.0.1", port, clock)
    for _ in range(10):
        daemon.send(b"lost")
    with UdpListener(port) as listener:
        daemon.send(b"lost")
        clock.advance(2)
        daemon.send(b"found")
        assert listener.wait_for(1) == [b"found"]
    assert 0 < daemon.dropped < 11
    daemon.close()


def test_what_no_datagram_can_hold_is_dropped() -> None:
    """Rather than raised in a request."""
    with UdpListener() as listener:
        daemon = Daemon("127.0.0.1", listener.port)
        daemon.send(b"x" * 70_000)
        daemon.send(b"next")
        assert listener.wait_for(1) == [b"next"]
    assert daemon.dropped == 1
    daemon.close()
    daemon.send(b"after its end")
    assert daemon.dropped == 2


def test_a_name_is_looked_up_beside_the_requests() -> None:
    """What is sent before it is known is dropped."""
    with UdpListener() as listener:
        daemon = Daemon("localhost", listener.port)
        for _ in range(1000):
            daemon.send(b"hello")
            if listener.datagrams:
                break
            time.sleep(0.01)
        assert listener.datagrams
    daemon.close()


def test_a_name_that_is_not_known_costs_nothing() -> None:
    """It is looked up again later."""
    daemon = Daemon("no-such-host.invalid", 2000, ManualClock())
    daemon.send(b"lost")
    assert daemon.dropped == 1
    daemon.close()


def test_one_socket_serves_the_process() -> None:
    """For any number of spans."""
    with UdpListener() as listener:
        trace.setup("xray", daemon_address=listener.address)
        with trace.span("request"):
            for _ in range(100):
                with trace.span("work"):
                    pass
        listener.wait_for(101)
        assert _udp_sockets(listener.port) == 1
        trace.reset()
        assert _udp_sockets(listener.port) == 0


def _udp_sockets(peer_port: int) -> int:
    """Return how many UDP sockets of this process are connected to a port; other tests' threads have others."""
    mine = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            mine.add(descriptor.readlink().name.removeprefix("socket:[").removesuffix("]"))
    rows = [line.split() for line in Path("/proc/self/net/udp").read_text("ascii").splitlines()[1:]]
    return sum(1 for row in rows if row[2].endswith(f":{peer_port:04X}") and row[9] in mine)
