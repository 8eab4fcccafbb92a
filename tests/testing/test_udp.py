import socket

import pytest

from carboy.testing.udp import UdpListener


def test_datagrams_are_kept_in_order() -> None:
    """Each whole, up to the largest."""
    with UdpListener() as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(100):
            sender.sendto(b"%d" % number, ("127.0.0.1", listener.port))
        sender.sendto(b"x" * 60_000, ("127.0.0.1", listener.port))

        came = listener.wait_for(101)

    assert came == [b"%d" % number for number in range(100)] + [b"x" * 60_000]


def test_draining_forgets() -> None:
    """What comes later is seen alone."""
    with UdpListener() as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"one", ("127.0.0.1", listener.port))
        listener.wait_for(1)
        first = listener.drain()
        sender.sendto(b"two", ("127.0.0.1", listener.port))

        assert (first, listener.wait_for(1)) == ([b"one"], [b"two"])


def test_waiting_in_vain_says_how_many_came() -> None:
    """The test fails with a reason instead of hanging."""
    with UdpListener() as listener, pytest.raises(TimeoutError, match="0 datagrams came, not 1"):
        listener.wait_for(1, timeout_s=0.05)
