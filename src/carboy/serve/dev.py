"""Serve with werkzeug's development server: one process, a debugger on request, a fresh start on every change."""

import signal
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from carboy.serve.listener import address_of, open_listener
from carboy.serve.service import MakeApp, Service

if TYPE_CHECKING:
    from carboy.serve.servers import OnReady, Plan

__all__ = ["serve_dev"]


def serve_dev(plan: "Plan", make_app: MakeApp, on_ready: "OnReady") -> None:
    """Serve until it is interrupted; nothing is drained.

    Raises:
        CarboyError: the port is taken.
    """
    from werkzeug.serving import is_running_from_reloader, run_simple

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if plan.reload and not is_running_from_reloader():  # this process only starts the one that serves, again and again
        open_listener(plan.host, plan.port).close()
        run_simple(plan.host, plan.port, _nothing, use_reloader=True)
        return
    service = Service(make_app())
    service.prepare()
    port, url = plan.port, f"http://{plan.host}:{plan.port}"
    if not plan.reload:
        with open_listener(plan.host, plan.port) as listener:
            port, url = listener.getsockname()[1], address_of(listener)
    service.start()
    on_ready(service, url)
    is_debug = service.flask is not None and service.flask.debug
    try:
        run_simple(plan.host, port, service.app, use_reloader=plan.reload, use_debugger=is_debug, threaded=True)
    finally:
        service.stop(drain_s=0.0)


def _nothing(_environ: Any, _start_response: Any) -> Iterable[bytes]:
    return []
