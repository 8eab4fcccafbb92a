"""Serve the console on an address of its own (`CONSOLE_BIND`), apart from the public webhooks."""

import socket
import threading
from typing import TYPE_CHECKING, Any

from carboy.logs import BoundLogger, get_logger
from carboy.web.console.mounting import Console
from carboy.web.http.middleware import RequestMiddleware
from carboy.web.settings import parse_bind

if TYPE_CHECKING:
    from carboy.web.runtime import Runtime

log: BoundLogger = get_logger("carboy.console")

_TIMEOUT_S = 30.0


class ConsoleListener:
    """A threaded HTTP server for the console; the first worker that binds the address serves it.

    Args:
        runtime: of the application; its `CONSOLE_BIND` names the address.
    """

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime
        self._server: Any = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that is served; 0 where another worker serves it."""
        return 0 if self._server is None else int(self._server.server_port)

    def start(self) -> None:
        """Serve in a thread; an address that is taken is logged."""
        address, console = parse_bind(self._runtime.web.console_bind or ""), self._runtime.find(Console)
        if address is None or console is None:
            return
        try:
            self._server = _make_server(self._runtime, console, address)
        except OSError as error:
            log.warning("console_not_served", bind=self._runtime.web.console_bind, why=error.strerror)
            return
        self._thread = threading.Thread(target=self._server.serve_forever, name="carboy-console", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and free the address."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


def _make_server(runtime: "Runtime", console: Console, address: tuple[str, int]) -> Any:
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

    class Handler(WSGIRequestHandler):
        timeout = _TIMEOUT_S

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing: the middleware logs each request."""

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET

    def call(environ: Any, start_response: Any) -> Any:
        return console.app.wsgi_app(environ, start_response)

    server = Server(address, Handler)
    middleware = RequestMiddleware(
        call,
        trusted_proxies=runtime.web.trusted_proxies,
        trusts_prefix=runtime.web.trust_forwarded_prefix,
        is_logged=True,
        show_path=runtime.show_path,
        error_page=console.error_page,
    )
    server.set_app(middleware)
    return server
