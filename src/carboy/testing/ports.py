"""Free ports of loopback."""

import random
import socket

HOST = "127.0.0.1"
_RANGE = range(20_000, 32_000)  # below what systems give to outgoing connections: still free after a restart


def free_port() -> int:
    """Return a port that nothing uses now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return that many different ports that nothing uses now."""
    system = random.SystemRandom()  # tests seed the shared generator: all workers would try the same ports
    ports: list[int] = []
    while len(ports) < count:
        port = system.choice(_RANGE)
        if port not in ports and _is_free(port):
            ports.append(port)
    return ports


def takes_connections(port: int) -> bool:
    """Return whether something listens on a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
