"""Clients that are slow, far away, silent, or do not close: run beside a load, they must not slow others down.

`python -m tests.lab.slow_clients PORT KIND` runs them in a process of its own until SIGTERM.
"""

import asyncio
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["KINDS", "slow_clients"]

_GET = b"GET / HTTP/1.1\r\nHost: x\r\n%s\r\n"
_POST = b"POST /echo HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n"
_CLOSE = b"Connection: close\r\n"
_DISTANCE_S = 0.1
_BYTE_S = 1.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _linger(streams: Streams, request: bytes = _GET % _CLOSE) -> None:
    """Read the response to its end, and leave the socket open."""
    reader, writer = streams
    writer.write(request)
    await reader.read()
    await asyncio.sleep(5)


async def _linger_after_an_error(streams: Streams) -> None:
    await _linger(streams, b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")


async def _be_distant(streams: Streams) -> None:
    """Wait a round trip before each step, as a client far away does; connections are not kept."""
    reader, writer = streams
    await asyncio.sleep(_DISTANCE_S)
    writer.write(_GET % _CLOSE)
    await reader.read()
    await asyncio.sleep(_DISTANCE_S)


async def _half_close(streams: Streams) -> None:
    reader, writer = streams
    writer.write(_GET % b"")
    writer.write_eof()
    await reader.read()
    await asyncio.sleep(5)


async def _reset(streams: Streams) -> None:
    """Reset the connection in the middle of a body."""
    _, writer = streams
    writer.write(_POST % b"Content-Length: 100000" + b"x" * 1000)
    await asyncio.sleep(_DISTANCE_S)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _drip(streams: Streams, first: bytes, drop: bytes) -> None:
    """Send a few bytes a second until the server closes the connection."""
    reader, writer = streams
    writer.write(first)
    end = asyncio.ensure_future(reader.read())
    while not end.done():
        writer.write(drop)
        await asyncio.wait([end], timeout=_BYTE_S)
    end.exception()  # a reset is an end as well
    await asyncio.sleep(5)


def _dripping(first: bytes, drop: bytes = b"a") -> Callable[[Streams], Coroutine[Any, Any, None]]:
    return lambda streams: _drip(streams, first, drop)


async def _read_slowly(streams: Streams) -> None:
    """Ask for a response of 8 MB, and read a little of it a second."""
    reader, writer = streams
    writer.write(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
    while await reader.read(1000):
        await asyncio.sleep(_BYTE_S)


async def _be_silent(streams: Streams) -> None:
    reader, _ = streams
    await reader.read()


KINDS: dict[str, tuple[int, Callable[[Streams], Coroutine[Any, Any, None]]]] = {
    "lingering": (5, _linger),
    "lingering after an error": (5, _linger_after_an_error),
    "distant": (24, _be_distant),
    "half-closed": (24, _half_close),
    "resetting": (24, _reset),
    "bad chunks": (40, _dripping(_POST % b"Transfer-Encoding: chunked" + b"2\r\n")),
    "slow chunks": (40, _dripping(_POST % b"Transfer-Encoding: chunked" + b"ffff\r\n")),
    "slow headers": (40, _dripping(_POST[:20])),
    "slow bodies": (40, _dripping(_POST % b"Content-Length: 1000")),
    "slow bodies that wait for 100": (40, _dripping(_POST % b"Content-Length: 1000\r\nExpect: 100-continue")),
    "slow large bodies": (40, _dripping(_POST % b"Content-Length: 5000000")),
    "slow handshakes": (40, _dripping(b"\x16\x03\x01\x02\x00\x01\x00\x01", b"\x01")),
    "slow readers": (40, _read_slowly),
    "silent": (1300, _be_silent),
}
"""How many there are of each kind, and what each does, again and again."""


@contextmanager
def slow_clients(port: int, kind: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run clients of one kind for the length of the block, in a process of their own; all are connected by then."""
    command = [sys.executable, "-m", __name__, str(port), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


async def _repeat(port: int, act: Callable[[Streams], Coroutine[Any, Any, None]], connected: asyncio.Semaphore) -> None:
    while True:
        with suppress(OSError):
            streams = await asyncio.open_connection("127.0.0.1", port, limit=4096)
            connected.release()
            with suppress(OSError):
                await act(streams)
            streams[1].transport.abort()
        await asyncio.sleep(0.05)


async def _run(port: int, kind: str) -> None:
    amount, act = KINDS[kind]
    connected = asyncio.Semaphore(0)
    tasks = [asyncio.ensure_future(_repeat(port, act, connected)) for _ in range(amount)]
    for _ in range(amount):
        await connected.acquire()
    sys.stdout.write("connected\n")
    sys.stdout.flush()
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    asyncio.run(_run(int(sys.argv[1]), sys.argv[2]))
