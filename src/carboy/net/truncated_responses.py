"""Connections that tell an answer cut inside its headers from one that has few of them.

`http.client` takes the end of the stream for the end of the headers: an answer cut there looks like an empty 200.
"""

from http.client import HTTPResponse, RemoteDisconnected
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

__all__ = ["POOLS"]


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


class _WholeResponse(HTTPResponse):
    fp: Any
    headers: Any

    def begin(self) -> None:
        if self.headers is not None:
            return  # as the original: it has begun
        lines = _Lines(self.fp)
        self.fp = lines
        super().begin()
        if self.fp is lines:
            self.fp = lines.stream
        if not lines.last:
            self.close()
            raise RemoteDisconnected("the connection ended inside the headers")


class _Connection(HTTPConnection):
    response_class = _WholeResponse


class _TlsConnection(HTTPSConnection):
    response_class = _WholeResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection  # pyright: ignore[reportAssignmentType]


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection  # pyright: ignore[reportAssignmentType]


POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _TlsPool}
"""What a `PoolManager` makes its pools of, by scheme."""
