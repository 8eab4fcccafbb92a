"""Send HTTP/1.1 requests over many connections at once and time the answers: one thread, no HTTP library."""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Call", "Load", "LoadReport"]

_PAUSE_S = 0.02  # between two tries to connect


@dataclass(frozen=True, slots=True)
class Call:
    """One request to send.

    Attributes:
        key: what it is remembered by; several calls may share one.
        method: in upper case.
        target: path and query.
        body: sent with its length.
        headers: name to value.
    """

    key: str
    method: str = "GET"
    target: str = "/"
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class LoadReport:
    """What came of it.

    Attributes:
        seconds: from the first request to the last answer.
        statuses: how often each status was answered.
        answers: the last status of each key; 0 where no answer came.
        errors: how often a connection failed, was cut, or stayed silent, by the error's name.
        latencies_s: of every answered request, in the order of the answers.
    """

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    answers: dict[str, int] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    latencies_s: "array[float]" = field(default_factory=lambda: array("d"))

    @property
    def rate_per_s(self) -> float:
        """Return answers per second."""
        return len(self.latencies_s) / self.seconds if self.seconds else 0.0

    def latency_s(self, percentile: float) -> float:
        """Return the latency that so many percent of the answers did not exceed; 0 when there were none."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percentile / 100))] if ordered else 0.0

    def keys_answered(self, *statuses: int) -> list[str]:
        """Return the keys whose last answer had one of these statuses."""
        return [key for key, status in self.answers.items() if status in statuses]

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON has them, without the single answers."""
        latencies_ms = {f"p{part:g}": round(self.latency_s(part) * 1000, 2) for part in (50, 99, 99.9)}
        return {
            "seconds": round(self.seconds, 3),
            "rate_per_s": round(self.rate_per_s, 1),
            "latencies_ms": latencies_ms,
            "statuses": {str(status): times for status, times in sorted(self.statuses.items())},
            "errors": dict(self.errors),
        }


class Load:
    """One run: distributes calls to its lanes and collects the results."""

    def __init__(
        self, url: str, calls: Iterator[Call], connections: int, seconds: float, timeout_s: float, tries: int
    ) -> None:
        address = urlsplit(url)
        self.host: str = address.hostname or "127.0.0.1"
        self.port: int = address.port or 80
        self.report: LoadReport = LoadReport()
        self.timeout_s: float = timeout_s
        self.tries: int = tries
        self._calls, self._connections, self._seconds = calls, connections, seconds
        self._end_s = float("inf")

    async def run(self) -> LoadReport:
        """Work until the calls or the time are over."""
        began_s = time.perf_counter()
        self._end_s = min(self._end_s, began_s + self._seconds)
        lanes = [_Lane(self) for _ in range(self._connections)]
        watch = asyncio.create_task(self._watch(lanes))
        await asyncio.gather(*(lane.run() for lane in lanes))
        self.report.seconds = time.perf_counter() - began_s
        watch.cancel()
        return self.report

    def next_call(self) -> Call | None:
        """Return what to send next, or None when it is over."""
        return None if self.is_over else next(self._calls, None)

    @property
    def is_over(self) -> bool:
        """Return whether no further call begins."""
        return time.perf_counter() >= self._end_s

    def stop(self) -> None:
        """Let no further call begin; those under way are still waited for."""
        self._end_s = time.perf_counter()

    async def _watch(self, lanes: "list[_Lane]") -> None:
        """Give up on answers that take too long; one look at all is cheaper than a timer for each."""
        while True:
            await asyncio.sleep(min(0.25, self.timeout_s / 4))
            latest_s = time.perf_counter() - self.timeout_s
            for lane in lanes:
                lane.give_up_if_sent_before(latest_s)


class _Lane(asyncio.Protocol):
    """One connection after the other, and the call that is under way on it."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._call: Call | None = None
        self._tries = 0
        self._sent_at_s = 0.0
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._over: asyncio.Future[None]
        self._is_lost = asyncio.Event()

    async def run(self) -> None:
        """Send calls until none is left; reconnect whenever the connection ends."""
        loop = asyncio.get_running_loop()
        while self._take():
            self._over = loop.create_future()
            try:
                async with asyncio.timeout(self._load.timeout_s):
                    await loop.create_connection(lambda: self, self._load.host, self._load.port)
                await self._over
            except (OSError, EOFError, ValueError) as error:
                self._fail(error)
                await asyncio.sleep(_PAUSE_S)
            finally:
                await self._hang_up()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._is_lost.clear()
        self._send(transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._read(at_end=False)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._call is not None and self._buffer and exc is None:
            self._read(at_end=True)
        self._is_lost.set()
        self._end(None if self._call is None else exc or EOFError("the connection ended before the answer did"))

    def give_up_if_sent_before(self, latest_s: float) -> None:
        """End the connection if its answer is overdue."""
        if self._transport is not None and self._call is not None and self._sent_at_s < latest_s:
            self._end(TimeoutError("no answer in time"))

    async def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            await self._is_lost.wait()  # else its end would be taken for the next connection's
            self._transport = None

    def _take(self) -> bool:
        """Have a call to send: the one left over, or the next."""
        if self._call is None:
            self._call, self._tries = self._load.next_call(), 0
        return self._call is not None

    def _send(self, transport: asyncio.Transport) -> None:
        assert self._call is not None
        self._buffer.clear()
        self._tries += 1
        self._sent_at_s = time.perf_counter()
        transport.write(_render(self._call, self._load.host))

    def _read(self, at_end: bool) -> None:
        if self._call is None or self._transport is None:
            return
        try:
            answer = _parse_answer(self._buffer, self._call.method, at_end)
        except ValueError as error:
            self._end(error)
            return
        if answer is None:
            return
        status, is_last = answer
        report = self._load.report
        report.latencies_s.append(time.perf_counter() - self._sent_at_s)
        report.statuses[status] += 1
        report.answers[self._call.key] = status
        self._call = None
        if is_last or not self._take():
            self._end(None)
        else:
            self._send(self._transport)

    def _end(self, error: Exception | None) -> None:
        if self._over.done():
            return
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)

    def _fail(self, error: Exception) -> None:
        """Record a failure; forget the call once it was tried often enough."""
        self._load.report.errors[type(error).__name__] += 1
        if self._transport is None:
            self._tries += 1  # it was not even sent
        if self._call is not None and (self._tries >= self._load.tries or self._load.is_over):
            self._load.report.answers.setdefault(self._call.key, 0)
            self._call = None


def _render(call: Call, host: str) -> bytes:
    headers = "".join(f"{name}: {value}\r\n" for name, value in call.headers.items())
    length = f"Content-Length: {len(call.body)}\r\n" if call.body or call.method not in {"GET", "HEAD"} else ""
    head = f"{call.method} {call.target} HTTP/1.1\r\nHost: {host}\r\n{headers}{length}\r\n"
    return head.encode("latin-1") + call.body


def _parse_answer(buffer: bytearray, method: str, at_end: bool) -> tuple[int, bool] | None:
    """Return a whole answer's status and whether the connection ends with it; None while bytes are missing.

    Raises:
        ValueError: this is no HTTP/1.1 answer.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = buffer[:end].lower()
    if not head.startswith(b"http/1."):
        raise ValueError("not an HTTP/1.1 answer")
    status = int(head[9:12])
    if status < 200:
        del buffer[: end + 4]
        return _parse_answer(buffer, method, at_end)
    is_last = b"\r\nconnection: close" in head
    if method == "HEAD" or status in {204, 304}:
        return status, is_last
    if (at := head.find(b"\r\ncontent-length:")) >= 0:
        length = int(head[at + 17 :].partition(b"\r\n")[0])
        return (status, is_last) if len(buffer) >= end + 4 + length else None
    if b"\r\ntransfer-encoding: chunked" in head:
        return (status, is_last) if buffer.endswith(b"0\r\n\r\n") else None
    return (status, True) if at_end else None
