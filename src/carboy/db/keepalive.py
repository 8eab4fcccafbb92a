"""Notice that a network swallows everything, without bounding how long an answer may take.

A read time-out would end a long query too. The kernel can tell the two apart: a machine that is there acknowledges.
"""

import socket
from contextlib import suppress

__all__ = ["libpq_silence", "server_silence", "set_keepalive", "silence_times"]

_PROBES = 3


def silence_times(seconds: float) -> tuple[int, int, int]:
    """Return after how many idle seconds a connection is probed, how far apart, and how often, to end in that time."""
    return max(1, round(seconds / 2)), max(1, round(seconds / 2 / _PROBES)), _PROBES


def libpq_silence(seconds: float) -> dict[str, int]:
    """Return libpq's arguments that do what `set_keepalive` does."""
    if not seconds:
        return {}
    idle_s, interval_s, probes = silence_times(seconds)
    return {
        "keepalives_idle": idle_s,
        "keepalives_interval": interval_s,
        "keepalives_count": probes,
        "tcp_user_timeout": round(seconds * 1000),
    }


def server_silence(seconds: float) -> dict[str, int]:
    """Return PostgreSQL's settings with which it gives up a client in that time."""
    return {f"tcp_{name.removeprefix('tcp_')}": value for name, value in libpq_silence(seconds).items()}


def set_keepalive(connection: socket.socket | None, seconds: float) -> None:
    """Have the kernel end a connection whose other end has acknowledged nothing for that long; 0 for its own idea.

    Source: Linux, tcp(7), `TCP_KEEPIDLE` and `TCP_USER_TIMEOUT`.
    """
    if connection is None or not seconds:
        return
    idle_s, interval_s, probes = silence_times(seconds)
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
