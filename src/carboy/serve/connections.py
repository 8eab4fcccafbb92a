"""A worker's connections: the steps that its polling thread takes for them, none of which waits for a client.

Source: RFC 9112, section 9.6 (how to close a connection).
"""

import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Literal

from carboy.extras import extra
from carboy.logs import get_logger
from carboy.serve.client_socket import BufferBudget, ClientSocket, shut
from carboy.serve.deadlines import Deadlines
from carboy.serve.refusals import client_address, render_refusal
from carboy.serve.request_buffer import RequestBuffer
from carboy.serve.settings import ServeSettings
from carboy.web.http.request_ids import choose_request_id

with extra("serve"):
    from gunicorn.workers.gthread import TConn  # type: ignore[import-untyped]

_LINGER_S = 2.0
_LINGER_BYTES = 1_048_576

Phase = Literal["receiving", "answering", "sending", "closing"]


class Connection(TConn):  # type: ignore[misc]
    """A client's connection.

    Attributes:
        phase: what happens on it.
        request: what arrived of the next request.
        until_s: when the phase ends, on the monotonic clock.
        wait: the number of the thread's wait for the client.
        counted_bytes: of the request, in the budget for all clients.
        lingered_bytes: discarded since the response was sent.
        slot: taken by the thread while it is busy; None where it has a pool of its own.
        is_kept: whether another request may follow.
        step: what the polling thread does at the next event; None while a thread has the connection.
    """

    sock: Any
    parser: Any
    wait = -1
    until_s: float = 0.0
    counted_bytes = 0
    lingered_bytes = 0
    is_kept = False
    slot: Any = None
    step: "Step | None" = None

    def __init__(self, cfg: Any, client: ClientSocket, address: Any, server: Any) -> None:
        super().__init__(cfg, client, address, server)
        self.phase: Phase = "receiving"
        self.request: RequestBuffer = RequestBuffer()
        self.data_ready = True


Step = Callable[[Connection, Any], None]


class Connections:
    """The connections of a worker, those that no thread has in the order of their last activity.

    Args:
        config: gunicorn's.
        timeouts: timeouts and limits.
        poller: gunicorn's selector; its events call the steps.
        deadlines: ends the waits of threads.
        dispatch: passes a request to a thread.

    Attributes:
        is_buffered: whether requests are received here. Under TLS, HTTP/2 and the PROXY and uWSGI protocols a thread
            receives them.
    """

    def __init__(
        self,
        config: Any,
        timeouts: ServeSettings,
        poller: selectors.BaseSelector,
        deadlines: Deadlines,
        dispatch: Callable[[Connection], None],
    ) -> None:
        self._config, self._timeouts, self._poller = config, timeouts, poller
        self._deadlines, self._dispatch = deadlines, dispatch
        self._budget = BufferBudget()
        self._polled: dict[Connection, None] = {}
        self._answering: set[Connection] = set()
        self._is_stopping = False
        is_plain = not config.is_ssl and config.proxy_protocol == "off" and config.http_protocols == ["h1"]
        self.is_buffered: bool = is_plain and config.protocol == "http"

    def __len__(self) -> int:
        return len(self._polled) + len(self._answering)

    @property
    def is_idle(self) -> bool:
        """Whether no request or response is under way."""
        return not self._answering and not any(map(_is_under_way, self._polled))

    @property
    def has_room(self) -> bool:
        """Whether another connection can be added, if need be in place of a silent one."""
        return len(self) < self._config.worker_connections or bool(self._polled)

    def add(self, client: socket.socket, address: Any, server: Any) -> None:
        """Receive requests on a connection that was accepted; where there is no room, drop the longest silent one."""
        if len(self) >= self._config.worker_connections:
            self.shed()
        kept = ClientSocket(client, self._budget, self._deadlines, self._timeouts.body_timeout_s)
        self._await_request(Connection(self._config, kept, address, server), self._timeouts.header_timeout_s)

    def finish(self, connection: Connection, *, is_kept: bool) -> None:
        """Go on with a connection whose request was answered."""
        self._answering.discard(connection)
        self._forget_bytes(connection)
        connection.is_kept = is_kept
        self._send_rest(connection)

    def shed(self) -> bool:
        """Drop the connection that was silent longest, preferably one that is closing; return whether there was one."""
        chosen = next((one for one in self._polled if one.phase == "closing"), next(iter(self._polled), None))
        if chosen is None:
            return False
        if chosen.phase == "receiving" and chosen.request.data:
            self._refuse(chosen, 503, "there are too many connections")
        if chosen in self._polled:
            self._drop(chosen)
        return True

    def sweep(self) -> None:
        """End what is overdue."""
        now_s = time.monotonic()
        for connection in [one for one in self._polled if one.until_s <= now_s]:
            if connection.phase == "receiving" and connection.request.data:
                what = "body" if connection.request.head_bytes else "request"
                self._refuse(connection, 408, f"the {what} did not arrive in time")
            else:
                self._drop(connection)

    def begin_to_stop(self) -> None:
        """Shorten the time that silent connections are kept."""
        self._is_stopping = True
        now_s = time.monotonic()
        for connection in self._polled:
            if connection.phase == "receiving" and not connection.request.data:
                connection.until_s = min(connection.until_s, now_s + self._stop_linger_s(connection))

    def close(self) -> None:
        """Close all that no thread has."""
        for connection in list(self._polled):
            self._drop(connection)

    def _await_request(self, connection: Connection, timeout_s: float, arrived: bytes = b"") -> None:
        connection.phase = "receiving"
        connection.request = RequestBuffer()
        if self._is_stopping:
            timeout_s = min(timeout_s, self._stop_linger_s(connection))
        connection.until_s = time.monotonic() + timeout_s
        if arrived:
            self._take_bytes(connection, arrived)
        elif connection.parser or not self.is_buffered:
            self._watch(connection, selectors.EVENT_READ, self._receive)
        else:
            self._receive(connection)  # of a new connection they are often there already

    def _receive(self, connection: Connection, _file: Any = None) -> None:
        if not self.is_buffered:
            self._hand_over(connection)
            return
        try:
            data = connection.sock.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._watch(connection, selectors.EVENT_READ, self._receive)
        except OSError:
            self._drop(connection)
        else:
            self._take_bytes(connection, data)

    def _take_bytes(self, connection: Connection, data: bytes) -> None:
        request = connection.request
        if not data:  # the client has ended its side
            if request.data:
                self._hand_over(connection)
            else:
                self._drop(connection)
            return
        is_first, had_head = not request.data, request.head_bytes > 0
        request.feed(data)
        self._budget.change(len(data))
        connection.counted_bytes += len(data)
        if request.head_bytes and not had_head:
            connection.until_s = time.monotonic() + self._timeouts.body_timeout_s
            connection.sock.request_head = (request.request_line, request.request_id)
            if request.expects_continue and not request.is_ready:
                with suppress(OSError):
                    connection.sock.queue(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif is_first and connection.parser:  # a new one has had its time since it was accepted
            connection.until_s = time.monotonic() + self._timeouts.header_timeout_s
        if request.is_ready:
            self._hand_over(connection)
            return
        self._watch(connection, selectors.EVENT_READ, self._receive)
        if self._budget.is_spent:
            self._refuse_one_body()

    def _send_rest(self, connection: Connection, _file: Any = None) -> None:
        """Send what the client has not read yet, then await its next request or close."""
        connection.phase = "sending"
        try:
            if getattr(connection.sock, "unsent", b"") and not connection.sock.flush():
                connection.until_s = time.monotonic() + self._timeouts.body_timeout_s
                self._watch(connection, selectors.EVENT_WRITE, self._send_rest)
                return
        except OSError:
            self._drop(connection)
            return
        if not connection.is_kept:
            self._close(connection)
            return
        arrived = connection.parser.unreader.take_buffered()
        if arrived and not self.is_buffered:
            connection.parser.unreader.unread(arrived)
            self._hand_over(connection)
        else:
            self._await_request(connection, self._timeouts.keepalive_s, arrived)

    def _close(self, connection: Connection) -> None:
        """Close at once where nothing more arrives; else read on for a moment, or a reset may overtake the response."""
        try:
            pending = socket.socket.recv(connection.sock, 65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            pending = b"" if connection.request.is_whole else b"?"
        except (OSError, ValueError):
            pending = b""
        if not pending:
            self._drop(connection)
            return
        shut(connection.sock, socket.SHUT_WR)
        connection.phase = "closing"
        connection.until_s = time.monotonic() + _LINGER_S
        self._watch(connection, selectors.EVENT_READ, self._discard)

    def _discard(self, connection: Connection, _file: Any) -> None:
        try:
            data = socket.socket.recv(connection.sock, 65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        connection.lingered_bytes += len(data)
        if not data or connection.lingered_bytes > _LINGER_BYTES:
            self._drop(connection)

    def _refuse(self, connection: Connection, status: int, detail: str) -> None:
        request = connection.request
        request_id = choose_request_id(request.request_id)
        client = client_address(connection.client)
        log = get_logger(__name__)
        log.warning("request_refused", request_id=request_id, status=status, reason=detail, client=client)
        response = render_refusal(status, detail, request.request_line, request_id)
        try:
            connection.sock.queue(response)
        except OSError:
            self._drop(connection)
            return
        self._forget_bytes(connection)
        connection.is_kept = False
        self._send_rest(connection)

    def _refuse_one_body(self) -> None:
        slowest = next((one for one in self._polled if one.phase == "receiving" and one.request.data), None)
        if slowest is not None:
            self._refuse(slowest, 503, "there are too many slow requests")

    def _watch(self, connection: Connection, events: int, step: Step) -> None:
        if connection.step != step:
            change = self._poller.register if connection.step is None else self._poller.modify
            change(connection.sock, events, partial(step, connection))
            connection.step = step
        self._polled.pop(connection, None)
        self._polled[connection] = None

    def _unwatch(self, connection: Connection) -> None:
        if connection.step is not None:
            connection.step = None
            del self._polled[connection]
            with suppress(OSError, KeyError, ValueError):
                self._poller.unregister(connection.sock)

    def _drop(self, connection: Connection) -> None:
        self._unwatch(connection)
        self._forget_bytes(connection)
        with suppress(OSError):
            connection.sock.close()

    def _hand_over(self, connection: Connection) -> None:
        self._unwatch(connection)
        connection.phase = "answering"
        self._answering.add(connection)
        self._dispatch(connection)

    def _forget_bytes(self, connection: Connection) -> None:
        self._budget.change(-connection.counted_bytes)
        connection.counted_bytes = 0

    def _stop_linger_s(self, connection: Connection) -> float:
        return self._timeouts.drain_linger_s if connection.parser else _LINGER_S


def _is_under_way(connection: Connection) -> bool:
    return connection.phase == "sending" or (connection.phase == "receiving" and bool(connection.request.data))
