"""A daemon on loopback, and what it was sent."""

from collections.abc import Iterator

import pytest
from tests.trace.kit import Daemon

from carboy import trace
from carboy.testing import UdpListener


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """The process traces, everything, to a listener."""
    with UdpListener() as listener:
        trace.setup("xray", service="orders", daemon_address=listener.address)
        yield Daemon(listener)
        trace.reset()
