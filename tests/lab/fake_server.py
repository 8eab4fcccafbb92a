"""What the stand-ins for services on the internet share: their life in this process, and in one of their own.

One of its own is controlled over its control path, so that load does not share the interpreter under test.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, Self

from carboy.testing.answers import Request, Step
from carboy.testing.http_server import LoopbackServer
from carboy.testing.ports import HOST

__all__ = ["CONTROL_PATH", "StandIn", "StandInProcess", "serve_until_stopped", "start_process"]

CONTROL_PATH = "/_control"


class StandIn(ABC):
    """A server on a free port of loopback that answers by `_answer`; use it as a context manager.

    Attributes:
        port: where it listens; 0 before the first start unless one was asked for.
    """

    def __init__(self, *, port: int = 0) -> None:
        self.port: int = port
        self._server = LoopbackServer(self._answer, port=port, record=False)

    @property
    def connections(self) -> int:
        """Return how many connections were opened so far."""
        return self._server.connections

    def start(self) -> Self:
        """Listen."""
        self._server.start()
        self.port = self._server.port
        return self

    def stop(self) -> None:
        """Refuse connections until `start`; what it knows and counted is kept."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def _answer(self, request: Request) -> Step:
        """Return what a request gets; called in the server's thread."""


class StandInProcess:
    """A stand-in in a process of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process: subprocess.Popen[bytes] = process
        self.port: int = port

    def _ask(self, method: str, body: bytes = b"") -> dict[str, Any]:
        connection = HTTPConnection(HOST, self.port, timeout=30)
        try:
            connection.request(method, CONTROL_PATH, body)
            answer = connection.getresponse()
            report: dict[str, Any] = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(report["error"])
        return report


@contextmanager
def start_process(command: Sequence[str]) -> "Iterator[tuple[subprocess.Popen[bytes], int]]":
    """Run a stand-in's command for the length of the block; the process, and the port that its first line names."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the stand-in ended with code {process.wait()} before it listened")
            yield process, json.loads(line)["port"]
        finally:
            process.kill()


def serve_until_stopped(server: StandIn, addresses: dict[str, str]) -> None:
    """Serve until SIGTERM or SIGINT; the first line on stdout is an object with `port`, `pid` and the addresses.

    Args:
        server: it has started.
        addresses: where clients are to look, by name.
    """
    is_over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: is_over.set())
    sys.stdout.write(json.dumps({"port": server.port, **addresses, "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    is_over.wait()
