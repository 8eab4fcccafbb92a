"""Free ports of loopback."""

import contextlib
import random
import socket
from collections.abc import Iterator
from itertools import islice

__all__ = ["HOST", "free_port", "free_ports", "takes_connections"]

HOST = "127.0.0.1"
_RANGE = range(20_000, 32_000)  # below what systems give to outgoing connections: still free after a restart


def free_port() -> int:
    """Return a port that nothing uses now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return that many different ports that nothing uses now."""
    return list(islice(_search(), count))


def takes_connections(port: int) -> bool:
    """Tell whether something listens on a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def _search() -> Iterator[int]:
    system = random.SystemRandom()  # tests seed the shared generator: workers would all try the same ports
    for port in system.sample(_RANGE, len(_RANGE)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, port))
            yield port
