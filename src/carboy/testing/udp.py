"""A UDP listener on loopback that keeps every datagram: for the X-Ray daemon, StatsD and their kind."""

import socket
import threading
import time
from typing import Self

_LARGEST = 65_535


class UdpListener:
    """Collects datagrams in a thread of its own.

    Attributes:
        datagrams: what came, in the order of arrival.
    """

    def __init__(self, port: int = 0) -> None:
        """Bind a port on loopback; 0 is any free one."""
        self.datagrams: list[bytes] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self._arrived = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._collect, name=f"udp-{self.port}", daemon=True)

    @property
    def address(self) -> str:
        """Return `127.0.0.1:PORT`."""
        return f"127.0.0.1:{self.port}"

    def wait_for(self, count: int, timeout_s: float = 10.0) -> list[bytes]:
        """Return the datagrams once there are at least that many.

        Raises:
            TimeoutError: fewer came in that time.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.datagrams) >= count, timeout_s):
                raise TimeoutError(f"{len(self.datagrams)} datagrams came, not {count}, within {timeout_s:g} s")
            return list(self.datagrams)

    def drain(self, quiet_s: float = 0.05) -> list[bytes]:
        """Return and forget the datagrams, once none has come for that long."""
        seen = -1
        while seen != len(self.datagrams):
            seen = len(self.datagrams)
            time.sleep(quiet_s)
        with self._arrived:
            taken, self.datagrams = self.datagrams, []
            return taken

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closing = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _collect(self) -> None:
        while True:
            datagram = self._socket.recv(_LARGEST)
            if self._is_closing:
                return
            with self._arrived:
                self.datagrams.append(datagram)
                self._arrived.notify_all()
