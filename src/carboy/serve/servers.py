"""Run the web server that a plan names."""

import os
import sys
from contextlib import suppress

from carboy.errors import CarboyError
from carboy.serve.listener import open_listener
from carboy.serve.plan import OnReady, Plan
from carboy.serve.service import MakeApp, Service
from carboy.serve.settings import ServeSettings
from carboy.web.metrics.shared_files import share_metrics


def serve(plan: Plan, make_app: MakeApp, settings: ServeSettings, on_ready: OnReady) -> None:
    """Serve until a signal asks for a stop; then finish what was accepted, stop the jobs, and return.

    Args:
        plan: what to run.
        make_app: makes the application; called in each process that serves.
        settings: timeouts and limits.
        on_ready: called when the first process answers; a closed stdout or stderr does not stop the server.

    Raises:
        CarboyError: the port is taken, the server cannot be started, or requests had to be cut at its end.
    """

    def announce(service: Service, url: str) -> None:
        try:
            on_ready(service, url)
        except BrokenPipeError:
            _discard_output()

    if plan.server == "dev" or plan.reload:
        from carboy.serve.dev import serve_dev

        serve_dev(plan, make_app, announce)
        return
    share_metrics()
    listener = open_listener(plan.host, plan.port)
    from carboy.serve.gunicorn_ import serve_gunicorn

    if not serve_gunicorn(plan, listener, make_app, settings, announce):
        raise CarboyError(
            "open requests were cut", f"they took longer than {settings.drain_s:g} s", "give them more by DRAIN_S"
        )


def _discard_output() -> None:
    """Write to the null device from now on, so that what is left in a buffer does not fail at the end."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(null, stream.fileno())
    os.close(null)
