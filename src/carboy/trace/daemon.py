"""Send documents to the X-Ray daemon: one UDP socket for the process, which never waits and never fails."""

import socket
import threading
from ipaddress import ip_address

from carboy.clock import SYSTEM_CLOCK, Clock

DEFAULT_ADDRESS = "127.0.0.1:2000"
_LOOK_UP_AGAIN_S, _ASK_AGAIN_S = 30.0, 1.0


def parse_daemon_address(text: str) -> tuple[str, int] | None:
    """Return host and port of `AWS_XRAY_DAEMON_ADDRESS`: `HOST:PORT`, or `tcp:HOST:PORT udp:HOST:PORT`; None for neither."""  # noqa: E501
    parts = text.split()
    if len(parts) == 2:
        parts = [part for part in parts if part.startswith("udp:")]
    if len(parts) != 1:
        return None
    host, _, port = parts[0].removeprefix("udp:").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    return (host, int(port)) if host and port.isascii() and port.isdigit() and 0 < int(port) < 65536 else None


class Daemon:
    """The daemon's address and the socket to it.

    The socket is connected, so that the kernel reports a missing listener; for a second after that, nothing is sent. A
    name is resolved in a separate thread; documents are dropped until then.

    Attributes:
        dropped: documents that could not be sent.
    """

    def __init__(self, host: str, port: int, clock: Clock = SYSTEM_CLOCK) -> None:
        self.dropped: int = 0
        self._host, self._port, self._clock = host, port, clock
        self._looked_up_at_s = float("-inf")
        self._socket: socket.socket | None = None
        self._paused_until_s = 0.0
        try:
            self._open(socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET, host)
        except ValueError:
            self._look_up()

    def send(self, datagram: bytes) -> None:
        """Send one datagram, or drop it where it cannot be sent at once."""
        connected = self._socket
        if connected is None or self._paused_until_s:
            if connected is None or self._clock.monotonic_s() < self._paused_until_s:
                self._drop()
                return
            self._paused_until_s = 0.0
        try:
            connected.send(datagram)
        except ConnectionRefusedError:
            self.dropped += 1
            self._paused_until_s = self._clock.monotonic_s() + _ASK_AGAIN_S
        except OSError:
            self.dropped += 1

    def close(self) -> None:
        """Close the socket; what is sent later is dropped."""
        if self._socket is not None:
            self._socket.close()

    def _drop(self) -> None:
        self.dropped += 1
        if self._socket is None and self._clock.monotonic_s() - self._looked_up_at_s > _LOOK_UP_AGAIN_S:
            self._look_up()

    def _look_up(self) -> None:
        self._looked_up_at_s = self._clock.monotonic_s()
        threading.Thread(target=self._resolve, name="carboy-xray-daemon", daemon=True).start()

    def _resolve(self) -> None:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
        except OSError:
            return
        family, _, _, _, address = found[0]
        self._open(family, str(address[0]))

    def _open(self, family: int, host: str) -> None:
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.setblocking(False)
        try:
            made.connect((host, self._port))
        except OSError:  # unreachable
            made.close()
        else:
            self._socket = made
