"""The listening socket: report a taken port when it opens, refuse no accepted connection when it closes."""

import contextlib
import ctypes
import errno
import ipaddress
import socket
import struct
import sys

from carboy.errors import CarboyError, UsageError

_BACKLOG = 2048  # connections that the kernel keeps until they are accepted
_SO_ATTACH_FILTER = 26


def open_listener(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Args:
        host: a name or an address of this machine; `0.0.0.0` or `::` for all.
        port: 0 for any free one.

    Raises:
        CarboyError: the port is taken, or may not be used.
        UsageError: the host is not an address of this machine.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, OverflowError) as error:
        raise _no_such_host(host) from error
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform != "win32":
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted connections inherit it
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _explain(error, host, port) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the URL at which a browser on this machine finds the listener."""
    host, port = listener.getsockname()[:2]
    ip = ipaddress.ip_address(host)
    if ip.is_unspecified:
        ip = ipaddress.ip_address("127.0.0.1" if ip.version == 4 else "::1")
    return f"http://[{ip}]:{port}" if ip.version == 6 else f"http://{ip}:{port}"


def quiet(listener: socket.socket) -> None:
    """Have the kernel complete no further connections, and keep those it has; without effect outside of Linux.

    A client that comes now tries again by itself a second later, and is refused or finds the next server.
    """
    if sys.platform != "linux":
        return
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF_RET | BPF_K, 0 bytes
    program = struct.pack("HP", 1, ctypes.addressof(drop_all))
    with contextlib.suppress(OSError):  # no such right here: then connections under way may be refused
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _explain(error: OSError, host: str, port: int) -> CarboyError:
    what = f"{host}:{port} cannot be served"
    match error.errno:
        case errno.EADDRINUSE:
            return CarboyError(
                what,
                "the port is taken by another program",
                f"stop it, or choose another: --port {port + 1} (make run PORT={port + 1})",
            )
        case errno.EACCES:
            return CarboyError(what, "this user may not use ports below 1024", "choose a higher one: --port 8000")
        case errno.EADDRNOTAVAIL:
            return _no_such_host(host)
    return CarboyError(what, error.strerror or "the socket could not be opened", "see --host and --port")


def _no_such_host(host: str) -> UsageError:
    return UsageError(
        f"`{host}` cannot be served", "it is not an address of this machine", "use --host 127.0.0.1 or --host 0.0.0.0"
    )
