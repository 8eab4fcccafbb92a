"""Serve with werkzeug's development server: one process, a debugger on request, a fresh start on every change."""

import signal
from typing import TYPE_CHECKING

from carboy.serve.listener import open_listener
from carboy.serve.service import MakeApp, Service

if TYPE_CHECKING:
    from carboy.serve.servers import OnReady, Plan

__all__ = ["serve_dev"]


def serve_dev(plan: "Plan", make_app: MakeApp, on_ready: "OnReady") -> None:
    """Serve until it is interrupted; nothing is drained.

    Raises:
        CarboyError: the port is taken.
    """
    from werkzeug.serving import is_running_from_reloader, make_server, run_with_reloader

    if not is_running_from_reloader():
        open_listener(plan.host, plan.port).close()  # our words, not werkzeug's, when it is taken

    def run() -> None:
        service = Service(make_app())
        service.prepare()
        server = make_server(plan.host, plan.port, service.app, threaded=True)
        service.start()
        on_ready(service, f"http://{plan.host}:{server.server_port}")
        try:
            server.serve_forever()
        finally:
            service.stop(drain_s=0.0)

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if plan.reload:
        run_with_reloader(run)
    else:
        run()
