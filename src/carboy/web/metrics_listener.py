"""Where Prometheus reads the metrics: `GET /metrics` with a key of scope `metrics:read`, or `METRICS_BIND` without."""

import platform
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from carboy import __version__
from carboy.clock import SYSTEM_CLOCK
from carboy.errors import ConfigurationError
from carboy.extras import extra
from carboy.logs import BoundLogger, get_logger
from carboy.problems import Problem
from carboy.web.metrics.processes import collect_processes
from carboy.web.metrics.registry import CONTENT_TYPE, Metrics
from carboy.web.metrics.shared_files import locked
from carboy.web.settings import parse_bind

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

    from flask import Flask
    from flask.typing import ResponseReturnValue

    from carboy.web.runtime import Runtime

log: BoundLogger = get_logger("carboy.web")

_PATIENCE_S = 5.0
_STOP_WITHIN_S = 0.1


def add_metrics(app: "Flask", runtime: "Runtime") -> None:
    """Add `GET /metrics` for keys of scope `metrics:read`, with the version, and what all workers together use."""
    metrics = runtime.metrics
    collect_processes(metrics)
    build = (__version__, platform.python_version())
    metrics.collect(
        "carboy_build_info", "Version of Carboy and of Python; always 1.", lambda: [(build, 1.0)], ("version", "python")
    )

    def show() -> "ResponseReturnValue":
        from carboy.web.authentication import authenticate

        authenticate("metrics:read")
        if metrics.is_off:
            raise Problem(404, "metrics are off here: on AWS Lambda, or without `pip install 'carboy[metrics]'`")
        return metrics.render(), 200, {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}

    app.add_url_rule("/metrics", "carboy_metrics", show)


class MetricsServer:
    """Serves `METRICS_BIND` from one worker of the instance; another takes over when that one ends.

    Args:
        metrics: what is served.
        bind: `HOST:PORT`.

    Raises:
        MissingExtra: prometheus-client is not installed.
    """

    def __init__(self, metrics: Metrics, bind: str) -> None:
        with extra("metrics"):
            import prometheus_client  # noqa: F401 (says what is missing)
        self._metrics, self._bind = metrics, bind
        self._listener: MetricsListener | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Serve as soon as no other worker does; an address that is taken is logged."""
        backend = self._metrics.backend
        folder = backend.folder if backend is not None else None
        if folder is None:
            self._listen(patience_s=0.0)
        else:
            wait = threading.Thread(target=self._wait_for_turn, args=(folder,), name="carboy-metrics-turn", daemon=True)
            wait.start()

    def stop(self) -> None:
        """Stop serving and free the address."""
        self._stopped.set()
        if self._listener is not None:
            self._listener.stop()

    def _wait_for_turn(self, folder: Path) -> None:
        with locked(folder / "listener"):
            if not self._stopped.is_set():
                self._listen(patience_s=_PATIENCE_S)
                self._stopped.wait()

    def _listen(self, patience_s: float) -> None:
        """Bind the address; try again for a while, as the worker before this one may not have freed it yet."""
        deadline_s = SYSTEM_CLOCK.monotonic_s() + patience_s
        while True:
            try:
                self._listener = MetricsListener(self._metrics, self._bind)
            except ConfigurationError as error:
                if SYSTEM_CLOCK.monotonic_s() < deadline_s and not self._stopped.wait(0.1):
                    continue
                log.error("metrics_not_served", why=error.why, hint=error.hint)
            else:
                self._listener.start()
            return


class MetricsListener:
    """An HTTP server for `/metrics` on an address of its own, in a thread, without a key; start it after any fork.

    Args:
        metrics: what is served.
        bind: `HOST:PORT`; port 0 takes any that is free.

    Raises:
        ConfigurationError: the address is not HOST:PORT, or it is taken.
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
        """The port of the server."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Serve in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and free the address."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _server(metrics: Metrics, address: tuple[str, int]) -> "ThreadingHTTPServer":
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        timeout = 5  # seconds for the request

        def do_GET(self) -> None:
            is_known = self.path.partition("?")[0] == "/metrics"
            body = metrics.render() if is_known else b"not found: see /metrics\n"
            self.send_response(200 if is_known else 404)
            self.send_header("Content-Type", CONTENT_TYPE if is_known else "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 (the name is the standard library's)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing: a scrape comes every few seconds."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET

    return Server(address, Handler)


def _refusal(why: str) -> ConfigurationError:
    return ConfigurationError("the setting `METRICS_BIND` cannot be used", why, "choose a free HOST:PORT")
