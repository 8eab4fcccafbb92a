"""An HTTP/1.1 server on loopback that a test controls: correct responses, and every kind of fault.

One thread and one event loop per server; what can be said is in `answers`.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Self

from carboy.testing.answers import Answer, Cut, Drip, Hold, Raw, Request, Stall, Step, render, render_until
from carboy.testing.ports import HOST, free_port

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time left: close() sends RST
_LOOK_AGAIN_S = 0.002


class LoopbackServer:
    """A server that answers as scripted and remembers what it was asked.

    Steps given to `script` are used up first, one a request; then every request gets `answer`.

    Attributes:
        requests: every complete request, in the order of arrival.
        connections: how many connections were opened so far; fewer than requests means that they were kept.
    """

    def __init__(
        self,
        answer: Step | Callable[[Request], Step] = Answer(),  # noqa: B008 (frozen)
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        record: bool = True,
    ) -> None:
        """Choose what to answer; nothing listens before `start` or `with`.

        Args:
            answer: one step for every request, or a function that is called in the server's thread and returns at once.
            port: 0 for any free one, kept over `stop` and `start`.
            tls: speak TLS with this; see `carboy.testing.certificate_authority`.
            record: keep every request; turn off under load.
        """
        self.requests: list[Request] = []
        self.connections: int = 0
        self.port: int = port
        self._answer = answer
        self._script: deque[Step] = deque()
        self._tls = tls
        self._record = record
        self._open: set[_Connection] = set()
        self._greeting: dict[socket.socket, asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread
        self._listener: socket.socket

    @property
    def url(self) -> str:
        """Return the address without a path: `http://127.0.0.1:PORT`, or `https://localhost:PORT`."""
        return f"https://localhost:{self.port}" if self._tls else f"http://{HOST}:{self.port}"

    @property
    def open_connections(self) -> int:
        """Return how many connections are open now."""
        return len(self._open)

    def script(self, *steps: Step) -> Self:
        """Add steps that are used up before the standing answer, one a request."""
        self._script.extend(steps)
        return self

    def start(self) -> Self:
        """Listen; what was scripted and recorded is kept from before a `stop`."""
        self.port = self.port or free_port()
        self._listener = socket.create_server((HOST, self.port), backlog=1024)
        self._listener.setblocking(False)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"loopback-{self.port}", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(self._listener), self._loop).result()
        return self

    def stop(self) -> None:
        """Close every connection and refuse new ones."""
        if self._loop is None:
            return
        asyncio.run_coroutine_threadsafe(self._close(self._listener), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _listen(self, listener: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it closed the connection
            connection, _ = listener.accept()
            connection.setblocking(False)
            self._greeting[connection] = asyncio.get_running_loop().create_task(self._greet(connection))

    async def _greet(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(self._connect, connection, ssl=self._tls)
        except OSError:
            pass  # a handshake that fails is the client's affair
        finally:
            del self._greeting[connection]

    async def _close(self, listener: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(listener)
        listener.close()
        while self._open or self._greeting:
            for connection in list(self._open):
                connection.abort()
            for unknown in list(self._greeting):  # ends a handshake by itself; Python 3.11 fails to cancel one
                with contextlib.suppress(OSError):
                    unknown.shutdown(socket.SHUT_RDWR)
            await asyncio.sleep(0)

    def _connect(self) -> "_Connection":
        self.connections += 1
        return _Connection(self._decide, self._open, self.connections)

    def _decide(self, request: Request) -> Step:
        """Record a request and return its response."""
        if self._record:
            self.requests.append(request)
        if self._script:
            return self._script.popleft()
        return self._answer(request) if callable(self._answer) else self._answer


class _Connection(asyncio.Protocol):
    """One connection: reads requests one after the other and carries out the step that each gets."""

    def __init__(self, step: Callable[[Request], Step], peers: "set[_Connection]", number: int) -> None:
        self._step = step
        self._peers = peers
        self._number = number
        self._buffer = bytearray()
        self._request: Request | None = None  # the one being answered
        self._sent_continue = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._peers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._peers.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._request is None:
            self._next()

    def abort(self) -> None:
        self._transport.abort()

    def _next(self) -> None:
        if not self._buffer or self._transport.is_closing():
            return
        try:
            parsed = parse_request(self._buffer, self._number)
        except ValueError:
            self._transport.write(b"".join(render(Answer(400, headers={"Connection": "close"}))))
            self._transport.close()
            return
        if isinstance(parsed, Request):
            self._request, self._sent_continue = parsed, False
            self._carry_out(parsed, self._step(parsed))
        elif parsed and not self._sent_continue:
            self._sent_continue = True
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _carry_out(self, request: Request, step: Step) -> None:
        match step:
            case Answer(delay_s=0.0):
                self._send(request, step)
            case Answer():
                self._loop.call_later(step.delay_s, self._send, request, step)
            case Stall():
                self._later(step.answer, self._transport.write, render_until(step.answer, step.at, request.method))
            case Cut():
                self._later(step.answer, self._cut, render_until(step.answer, step.at, request.method), step.reset)
            case Drip():
                head, body = render(step.answer, request.method)
                if step.headers_at_once:
                    self._transport.write(head)
                    head = b""
                self._later(step.answer, self._drip, request, step, head + body)
            case Raw():
                self._cut(step.data, False)
            case Hold():
                self._hold(request, step)

    def _later(self, answer: Answer, action: Callable[..., object], *args: object) -> None:
        self._loop.call_later(answer.delay_s, action, *args)

    def _send(self, request: Request, answer: Answer) -> None:
        head, body = render(answer, request.method)
        self._transport.write(head + body)
        self._done(request)

    def _cut(self, data: bytes, reset: bool) -> None:
        self._transport.write(data)
        if reset and not self._transport.is_closing():
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()
        else:
            self._transport.close()

    def _drip(self, request: Request, step: Drip, rest: bytes) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(rest[: step.size])
        if rest := rest[step.size :]:
            self._loop.call_later(step.every_s, self._drip, request, step, rest)
        else:
            self._done(request)

    def _hold(self, request: Request, step: Hold) -> None:
        if step.until.is_set():
            self._carry_out(request, step.answer)
        elif not self._transport.is_closing():
            self._loop.call_later(_LOOK_AGAIN_S, self._hold, request, step)

    def _done(self, request: Request) -> None:
        self._request = None
        if request.headers.get("connection", "").lower() == "close":
            self._transport.close()
        elif self._buffer:
            self._loop.call_soon(self._next)


def parse_request(buffer: bytearray, connection: int = 1) -> Request | bool:
    """Take one request off the front of a buffer.

    Returns:
        The request; or, where bytes are still missing, whether the peer waits for a `100 Continue`.

    Raises:
        ValueError: this is no HTTP/1.1 request.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return False
    lines = buffer[:end].decode("latin-1").split("\r\n")
    method, target, _version = lines[0].split(" ")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if "chunked" in headers.get("transfer-encoding", ""):
        unchunked = _unchunk(buffer, end + 4)
    else:
        length = int(headers.get("content-length", "0"))
        stop = end + 4 + length
        unchunked = (bytes(buffer[end + 4 : stop]), stop) if len(buffer) >= stop else None
    if unchunked is None:
        return headers.get("expect", "").lower() == "100-continue"
    body, stop = unchunked
    del buffer[:stop]
    return Request(method, target, headers, body, time.monotonic(), connection)


def _unchunk(buffer: bytearray, start: int) -> tuple[bytes, int] | None:
    """Return a chunked body and where it ends, or None while it is not whole (RFC 9112, section 7.1)."""
    body = bytearray()
    while (line_end := buffer.find(b"\r\n", start)) >= 0:
        size = int(buffer[start:line_end].partition(b";")[0], 16)
        start = line_end + 2
        if size == 0:
            trailer_end = start if buffer[start : start + 2] == b"\r\n" else buffer.find(b"\r\n\r\n", start) + 2
            return (bytes(body), trailer_end + 2) if buffer[trailer_end : trailer_end + 2] == b"\r\n" else None
        body += buffer[start : start + size]
        start += size + 2
    return None


@contextmanager
def closed_port() -> Iterator[int]:
    """Reserve a port that refuses connections."""
    with closing(socket.socket()) as holder:
        holder.bind((HOST, 0))
        yield holder.getsockname()[1]


@contextmanager
def silent_port() -> Iterator[int]:
    """Reserve a port that takes connections (and what is sent on them) and sends nothing, not even in TLS."""
    with closing(socket.create_server((HOST, 0), backlog=64)) as listener:
        yield listener.getsockname()[1]


@contextmanager
def deaf_port() -> Iterator[int]:
    """Reserve a port on which connecting stalls: its accept queue is full."""
    with closing(socket.create_server((HOST, 0), backlog=0)) as listener:
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex((HOST, port))
            yield port
        finally:
            for filler in fillers:
                filler.close()
