"""A client's socket that buffers what the client does not read yet, so that a slow reader holds no thread."""

import errno
import select
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from carboy.clock import SYSTEM_CLOCK
from carboy.serve.deadlines import Deadlines

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MAX_UNSENT_BYTES = 1_048_576
_MAX_JOINED_BYTES = 65_536


class BufferBudget:
    """Bytes that are buffered for all clients of a process together.

    Args:
        max_bytes: above that, responses are no longer buffered, and the slowest requests are refused.
    """

    def __init__(self, max_bytes: int = 67_108_864) -> None:
        self._max_bytes, self._used_bytes = max_bytes, 0
        self._lock = threading.Lock()

    def change(self, by_bytes: int) -> None:
        """Count bytes that were added, or, below 0, removed."""
        with self._lock:
            self._used_bytes += by_bytes

    @property
    def is_spent(self) -> bool:
        """Whether nothing more should be buffered."""
        return self._used_bytes > self._max_bytes


class ClientSocket(socket.socket):
    """An accepted connection whose `sendall` waits only for what exceeds the buffer.

    One thread at a time uses it: the one that handles a request, then the one that polls.

    Args:
        accepted: the socket as it was accepted; it is closed by taking its descriptor.
        budget: shared by all clients.
        deadlines: ends a thread's wait for this client.
        timeout_s: how long a client may read nothing.

    Attributes:
        unsent: the end of a response that the client has not read yet.
        slot: what the thread that sends gives to another while it waits for this client.
        request_head: request line and `X-Request-Id` of the request under way, as they came.
        holds_head: whether the next `sendall` waits for the one after it: head and body become one call to the kernel.
    """

    def __init__(self, accepted: socket.socket, budget: BufferBudget, deadlines: Deadlines, timeout_s: float) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self.unsent: bytearray = bytearray()
        self.request_head: tuple[list[bytes], str | None] = ([], None)
        self._budget, self._deadlines, self._timeout_s = budget, deadlines, timeout_s
        self._counted_bytes = 0
        self._waited_s = 0.0
        self.slot: threading.Semaphore | None = None
        self.holds_head: bool = False
        self._head = b""

    def setblocking(self, flag: bool, /) -> None:
        """Change the mode where it is another: gunicorn sets it at every request, each time by a call to the kernel."""
        if flag != (self.gettimeout() is None):
            super().setblocking(flag)

    def sendall(self, data: "ReadableBuffer", flags: int = 0, /) -> None:
        """Send, or buffer, all of the data.

        Raises:
            OSError: the client closed the connection, or read nothing for too long.
        """
        view = memoryview(data)
        if self.holds_head:
            self.holds_head, self._head = False, bytes(view)
            return
        if self._head:
            head, self._head = self._head, b""
            if len(view) <= _MAX_JOINED_BYTES:
                view = memoryview(head + view)
            else:
                self.sendall(head)
        if not self.unsent:
            with suppress(BlockingIOError):
                view = view[self.send(view, socket.MSG_DONTWAIT | flags) :]
        if view:
            self.unsent += view
            while not self.flush() and (len(self.unsent) > _MAX_UNSENT_BYTES or self._budget.is_spent):
                self._wait_for_client()

    def release_head(self) -> None:
        """Send a head that no body followed; a client that is gone is noticed at the next read."""
        self.holds_head = False
        if self._head:
            with suppress(OSError):
                self.sendall(b"")

    def queue(self, data: bytes) -> None:
        """Send a short response, or buffer it; never wait, whatever the budget.

        Raises:
            OSError: the client closed the connection.
        """
        self.unsent += data
        self.flush()

    def flush(self) -> bool:
        """Send what the client takes without waiting; return whether all is sent.

        Raises:
            OSError: the client closed the connection.
        """
        with suppress(BlockingIOError):
            while self.unsent:
                del self.unsent[: self.send(self.unsent, socket.MSG_DONTWAIT)]
        self._budget.change(len(self.unsent) - self._counted_bytes)
        self._counted_bytes = len(self.unsent)
        return not self.unsent

    def close(self) -> None:
        """Close at once, without waiting for the client."""
        self._budget.change(-self._counted_bytes)
        self._counted_bytes = 0
        super().close()

    def _wait_for_client(self) -> None:
        began_s = SYSTEM_CLOCK.monotonic_s()
        wait = self._deadlines.begin(self._timeout_s, lambda: shut(self, socket.SHUT_RDWR), self._waited_s)
        poll = select.poll()
        poll.register(self, select.POLLOUT)
        if self.slot is not None:
            self.slot.release()
        poll.poll()
        if self.slot is not None:
            self.slot.acquire()
        self._waited_s += SYSTEM_CLOCK.monotonic_s() - began_s
        if not self._deadlines.finish(wait):
            raise BrokenPipeError(errno.EPIPE, "the client did not read the response in time")


def shut(client: socket.socket, how: int) -> None:
    """End one or both directions of a connection, also under TLS; never wait."""
    with suppress(OSError):
        socket.socket.shutdown(client, how)
