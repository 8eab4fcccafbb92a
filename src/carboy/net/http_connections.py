"""Connections that keep a call's budget, remember whether anything was sent, and connect only where they may.

Also: `http.client` takes the end of the stream for the end of the headers, so that an answer cut there looks like an
empty 200. Here it is an error.
"""

import io
import socket
import sys
from functools import cache, partial
from http import HTTPStatus
from http.client import HTTPResponse, RemoteDisconnected, parse_headers
from time import monotonic
from typing import Any, ClassVar

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from carboy.net.attempts import Call, current_call
from carboy.net.guard import AddressGuard
from carboy.threaded_call import ThreadedCall

_PIECE = 65_536
_FOREVER = float("inf")
_SLACK_S = 0.01


class _TimedReader(io.RawIOBase):
    """A socket's bytes, each read of which ends with the call's budget at the latest."""

    def __init__(self, raw: Any, sock: Any, call: Call | None) -> None:
        self._raw, self._sock, self._call = raw, sock, call
        self._timeout_s = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._call is not None:
            _limit(self._sock, self._timeout_s, self._call.left_s())
        return self._raw.readinto(buffer)  # type: ignore[no-any-return]

    def fileno(self) -> int:
        return self._raw.fileno()  # type: ignore[no-any-return]

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._raw.close()


class _Lines:
    """A stream that remembers the last line which was read."""

    __slots__ = ("last", "stream")

    def __init__(self, stream: Any) -> None:
        self.stream, self.last = stream, b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = line = self.stream.readline(limit)
        return line  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Response(HTTPResponse):
    fp: Any
    headers: Any

    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock, current_call.get()))

    def begin(self) -> None:
        if self.headers is not None:
            return  # as the original: it has begun
        lines = _Lines(self.fp)
        self.fp = lines
        super().begin()
        if self.fp is lines:
            self.fp = lines.stream
        if self.status == HTTPStatus.SWITCHING_PROTOCOLS:  # nobody asked for it: what follows is not HTTP
            self.will_close = True
        if not lines.last:
            self.close()
            raise RemoteDisconnected("the connection ended inside the headers")

    def _read_status(self) -> tuple[str, int, str]:
        """Read a status, past interim responses such as 103: the final one follows on the same connection."""
        while True:
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not HTTPStatus.PROCESSING <= found[1] <= 199:
                return found
            parse_headers(self.fp)


class _Connection(HTTPConnection):
    response_class = _Response
    guard: ClassVar[AddressGuard | None] = None

    _is_tunnelling = False
    _gathered: list[bytes] | None = None

    def _new_conn(self) -> socket.socket:
        """Connect to the first address of the host that answers, within the time to connect for all of them."""
        call, timeout_s = current_call.get(), _seconds(self.timeout)
        left_s = timeout_s if call is None else min(timeout_s, call.left_s())
        until_s = monotonic() + left_s  # by the real clock: sockets know no other
        try:
            found = _resolve(self._dns_host, self.port, left_s)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"looking up {self.host} took longer than {left_s:g} s") from error
        except (socket.gaierror, UnicodeError) as error:
            gai = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
            raise NameResolutionError(self.host, self, gai) from error
        if self.guard is not None and self.proxy is None:
            self.guard.check_addresses(self._dns_host, [str(one[4][0]) for one in found])
        sock = self._connect(found, until_s)
        _limit(sock, timeout_s, _FOREVER if call is None else call.left_s())  # of the TLS handshake too
        sys.audit("http.client.connect", self, self.host, self.port)
        return sock

    def _connect(self, found: list[Any], until_s: float) -> socket.socket:
        error: OSError = OSError("the name has no address")
        for index, (family, kind, protocol, _, address) in enumerate(found):
            left_s = (until_s - monotonic()) / (
                len(found) - index
            )  # one that swallows everything leaves time for the next
            if left_s <= 0:
                break
            sock = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(None if left_s == _FOREVER else left_s)
                if self.source_address:
                    sock.bind(self.source_address)
                sock.connect(address)
            except OSError as failed:
                sock.close()
                error = failed
            else:
                return sock
        if isinstance(error, TimeoutError):
            raise ConnectTimeoutError(self, f"connecting to {self.host} timed out") from error
        raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error

    def _tunnel(self) -> None:
        self._is_tunnelling = True
        try:
            super()._tunnel()
        finally:
            self._is_tunnelling = False

    def request(self, method: str, url: str, body: Any = None, *arguments: Any, **options: Any) -> None:
        """Send a request; headers and a small body in one piece, as two would wake the server twice."""
        if not isinstance(body, bytes) or len(body) > _PIECE or options.get("chunked"):
            super().request(method, url, body, *arguments, **options)
            return
        gathered: list[bytes] = []
        self._gathered = gathered
        try:
            super().request(method, url, body, *arguments, **options)
        finally:
            self._gathered = None
        self.send(b"".join(gathered))

    def send(self, data: Any) -> None:
        if self._gathered is not None:
            self._gathered.append(data)
            return
        call = current_call.get()
        if call is None or self._is_tunnelling:
            super().send(data)
            return
        if self.sock is None:
            self.connect()
        call.was_sent = True
        if not isinstance(data, bytes | bytearray | memoryview):
            super().send(data)
            return
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            _limit(self.sock, call.read_timeout_s, call.left_s())
            super().send(view[start : start + _PIECE])


class _TlsConnection(_Connection, HTTPSConnection):
    pass


@cache
def make_pools(guard: AddressGuard | None) -> dict[str, type[HTTPConnectionPool]]:
    """Return what a `PoolManager` makes its pools of, by scheme.

    Args:
        guard: decides to which addresses they connect; None for all.
    """
    plain = type("HTTPConnection", (_Connection,), {"guard": guard})  # the names are in urllib3's messages
    tls = type("HTTPSConnection", (_TlsConnection,), {"guard": guard})
    return {
        "http": type("HTTPConnectionPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("HTTPSConnectionPool", (HTTPSConnectionPool,), {"ConnectionCls": tls}),
    }


def find_addresses(host: str, timeout_s: float) -> list[str]:
    """Return the addresses of a name; none where it is not known here."""
    try:
        return [str(one[4][0]) for one in _resolve(host, None, timeout_s)]
    except (OSError, UnicodeError):
        return []


def _resolve(host: str, port: int | None, left_s: float) -> list[Any]:
    """Look up a name in a thread of its own: the system's resolver cannot be interrupted."""
    host = host.strip("[]")
    if left_s <= 0:
        raise TimeoutError
    if left_s == _FOREVER or ":" in host or host.replace(".", "").isdigit():
        return socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM)
    look_up = partial(socket.getaddrinfo, host, port, allowed_gai_family(), socket.SOCK_STREAM)
    return ThreadedCall(look_up, "carboy-dns").wait(left_s, TimeoutError())


def _limit(sock: Any, timeout_s: float | None, left_s: float) -> None:
    if left_s <= 0:
        raise TimeoutError("the budget of the call is spent")
    least_s = left_s if timeout_s is None else min(timeout_s, left_s)
    known_s = sock.gettimeout()
    if known_s is None or not least_s <= known_s <= least_s + _SLACK_S:  # else it would only let other threads go first
        sock.settimeout(None if least_s == _FOREVER else least_s)


def _seconds(timeout: Any) -> float:
    return float(timeout) if isinstance(timeout, int | float) else _FOREVER
