"""`/metrics`: what the process counts, to a key of scope `metrics:read`, or to anyone at `METRICS_BIND`."""

import os
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from carboy.errors import ConfigurationError
from carboy.web.metrics.registry import CONTENT_TYPE, Metrics, Sample
from carboy.web.settings import parse_bind

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

    from flask import Flask
    from flask.typing import ResponseReturnValue

    from carboy.web.runtime import Runtime

__all__ = ["MetricsListener", "add_metrics"]

_STOP_WITHIN_S = 0.1


def add_metrics(app: "Flask", held: "Runtime") -> None:
    """Add `/metrics`, and what every process can tell: its memory, threads and jobs."""
    metrics = held.metrics
    metrics.collect("process_resident_memory_bytes", "Memory held by the process.", _memory)
    metrics.collect("process_threads", "Threads of the process.", lambda: [((), threading.active_count())])

    def tell() -> "ResponseReturnValue":
        from carboy.web.auth.authenticate import authenticate

        authenticate("metrics:read")
        return metrics.render(), 200, {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}

    app.add_url_rule("/metrics", "carboy_metrics", tell)


class MetricsListener:
    """Serves `/metrics` on an address of its own, in a thread, without a key; start it after any fork.

    Args:
        metrics: what it tells.
        bind: `HOST:PORT`; port 0 takes any that is free.

    Raises:
        ConfigurationError: the address is none, or it is taken.
    """

    def __init__(self, metrics: Metrics, bind: str) -> None:
        address = parse_bind(bind)
        if address is None:
            raise _refusal("it is not HOST:PORT")
        try:
            self._server = _server(metrics, address)
        except OSError as error:
            raise _refusal(f"it cannot be listened on: {error.strerror}") from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_STOP_WITHIN_S,), name="carboy-metrics", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and free the address."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _server(metrics: Metrics, address: tuple[str, int]) -> "ThreadingHTTPServer":
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    from carboy.db import fail_fast

    class Handler(BaseHTTPRequestHandler):
        timeout = 5  # seconds for a client to say what it wants

        def do_GET(self) -> None:
            is_known = self.path.partition("?")[0] == "/metrics"
            with fail_fast():
                body = metrics.render() if is_known else b"not found: see /metrics\n"
            self.send_response(200 if is_known else 404)
            self.send_header("Content-Type", CONTENT_TYPE if is_known else "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 (the name is the standard library's)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing: a scrape every few seconds is no event."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET

    return Server(address, Handler)


def _memory() -> Iterator[Sample]:
    with open("/proc/self/statm", encoding="ascii") as file:
        yield (), int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _refusal(why: str) -> ConfigurationError:
    return ConfigurationError("the setting `METRICS_BIND` cannot be used", why, "choose a free HOST:PORT")
