"""TCP keepalive: detect a connection whose other end no longer acknowledges, without limiting long queries.

A read timeout would end a long query too; the kernel of a machine that is up acknowledges probes meanwhile.
"""

import socket
from contextlib import suppress

_PROBES = 3


def keepalive_times(seconds: float) -> tuple[int, int, int]:
    """Return idle seconds before the first probe, seconds between probes, and their number, to end in that time."""
    return max(1, round(seconds / 2)), max(1, round(seconds / 2 / _PROBES)), _PROBES


def libpq_keepalive(seconds: float) -> dict[str, int]:
    """Return libpq's arguments for the same keepalive as `set_keepalive`."""
    if not seconds:
        return {}
    idle_s, interval_s, probes = keepalive_times(seconds)
    return {
        "keepalives_idle": idle_s,
        "keepalives_interval": interval_s,
        "keepalives_count": probes,
        "tcp_user_timeout": round(seconds * 1000),
    }


def server_keepalive(seconds: float) -> dict[str, int]:
    """Return PostgreSQL's settings that end the connection of a client that is silent for that long."""
    return {f"tcp_{name.removeprefix('tcp_')}": value for name, value in libpq_keepalive(seconds).items()}


def set_keepalive(connection: socket.socket | None, seconds: float) -> None:
    """Make the kernel end a connection whose other end acknowledges nothing for that long; 0 for its defaults.

    Source: Linux, tcp(7), `TCP_KEEPIDLE` and `TCP_USER_TIMEOUT`.
    """
    if connection is None or not seconds:
        return
    idle_s, interval_s, probes = keepalive_times(seconds)
    wanted = {
        "TCP_KEEPIDLE": idle_s,
        "TCP_KEEPINTVL": interval_s,
        "TCP_KEEPCNT": probes,
        "TCP_USER_TIMEOUT": round(seconds * 1000),
    }
    with suppress(OSError):  # a Unix socket
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in wanted.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
