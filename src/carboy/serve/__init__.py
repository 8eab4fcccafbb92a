"""Two ways to run a service: under a web server, and on AWS Lambda.

Each name is loaded when it is first asked for, so that a Lambda function loads nothing of the servers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carboy.serve.servers import Plan, check_plan, serve
    from carboy.serve.service import Service
    from carboy.serve.settings import ServeSettings

__all__ = ["Plan", "ServeSettings", "Service", "check_plan", "serve"]

_HOMES = {
    "Plan": "carboy.serve.servers",
    "ServeSettings": "carboy.serve.settings",
    "Service": "carboy.serve.service",
    "check_plan": "carboy.serve.servers",
    "serve": "carboy.serve.servers",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
