"""Serve with werkzeug's development server: one process, a debugger on request, a restart on every change."""

import ctypes
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from carboy.config.environ import read_environ
from carboy.errors import CarboyError
from carboy.serve.listener import address_of, open_listener
from carboy.serve.plan import OnReady, Plan
from carboy.serve.service import MakeApp, Service

if TYPE_CHECKING:
    from werkzeug.serving import WSGIRequestHandler

_PR_SET_PDEATHSIG = 1
_RELOADER = "stat"  # watchdog, which werkzeug prefers where it is installed, loses events on a busy machine


def serve_dev(plan: Plan, make_app: MakeApp, on_ready: OnReady) -> None:
    """Serve until an interrupt; nothing is drained.

    With `reload` this process listens, and restarts the one that serves after each change of a file.

    Raises:
        CarboyError: the port is taken.
    """
    from werkzeug.serving import is_running_from_reloader

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not plan.reload:
        _serve(plan, make_app, on_ready)
    elif is_running_from_reloader():
        _serve_until_a_change(plan, make_app, on_ready)
    else:
        _restart_on_changes(plan)


def _serve(plan: Plan, make_app: MakeApp, on_ready: OnReady) -> None:
    from werkzeug.serving import make_server

    with open_listener(plan.host, plan.port) as listener:
        service = _load(make_app)
        app = service.app
        if _is_debug(service):
            from werkzeug.debug import DebuggedApplication

            app = DebuggedApplication(app, evalex=True)
            app.trusted_hosts.append(plan.host)
        handler = _handler(service.runtime is not None)
        host, port = listener.getsockname()[:2]
        server = make_server(host, port, app, threaded=True, request_handler=handler, fd=listener.fileno())
        service.start()
        on_ready(service, address_of(listener))
        try:
            server.serve_forever()
        finally:
            service.stop(drain_s=0.0)


def _restart_on_changes(plan: Plan) -> None:
    open_listener(plan.host, plan.port).close()  # a taken port is reported in our words
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # the process that serves prints the address
    _run_reloading(plan, _broken)


def _serve_until_a_change(plan: Plan, make_app: MakeApp, on_ready: OnReady) -> None:
    """Serve on the socket that the parent opened, and end when a file changes, also where the project does not load."""
    _end_with_parent(os.getppid())
    try:
        service = _load(make_app)
    except Exception as error:  # noqa: BLE001 - whatever a project's code raises while it is being written
        _report(error)
        _run_reloading(plan, _broken, request_handler=_handler(is_quiet=True))
        return
    service.start()
    with socket.fromfd(int(read_environ()["WERKZEUG_SERVER_FD"]), socket.AF_INET, socket.SOCK_STREAM) as listener:
        on_ready(service, address_of(listener))
    try:
        handler = _handler(service.runtime is not None)
        _run_reloading(plan, service.app, use_debugger=_is_debug(service), threaded=True, request_handler=handler)
    finally:
        service.stop(drain_s=0.0)


def _end_with_parent(parent: int) -> None:
    """Have the kernel stop this process when its parent is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def _run_reloading(plan: Plan, app: Any, **options: Any) -> None:
    from werkzeug.serving import run_simple

    run_simple(plan.host, plan.port, app, use_reloader=True, reloader_type=_RELOADER, **options)


def _load(make_app: MakeApp) -> Service:
    service = Service(make_app())
    service.prepare()
    return service


def _is_debug(service: Service) -> bool:
    return service.flask is not None and service.flask.debug


def _handler(is_quiet: bool) -> "type[WSGIRequestHandler]":
    """Return a handler that logs requests without colour, unless the application logs them itself."""
    from werkzeug.serving import WSGIRequestHandler

    class Handler(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            if not is_quiet:
                self.log("info", "%r %s %s", self.requestline, code, size)

    return Handler


def _report(error: Exception) -> None:
    if isinstance(error, CarboyError):
        sys.stderr.write(f"error: {error}\nhint: {error.hint}\n")
    else:
        traceback.print_exception(error)
    sys.stderr.write("waiting for the next change of a file\n")


def _broken(_environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
    return [b"The application could not be loaded; the terminal says why.\n"]
