"""Two ways to run a service: under a web server, and on AWS Lambda.

Each name is loaded when it is first asked for, so that a Lambda function loads nothing of the servers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carboy.events import Events, on_event
    from carboy.serve.lambda_.authorizer import AuthPolicy
    from carboy.serve.lambda_.handler import lambda_handler
    from carboy.serve.servers import Plan, check_plan, serve
    from carboy.serve.service import Service
    from carboy.serve.settings import ServeSettings

__all__ = [
    "AuthPolicy",
    "Events",
    "Plan",
    "ServeSettings",
    "Service",
    "check_plan",
    "lambda_handler",
    "on_event",
    "serve",
]

_HOMES = {
    "AuthPolicy": "carboy.serve.lambda_.authorizer",
    "Events": "carboy.events",
    "Plan": "carboy.serve.servers",
    "ServeSettings": "carboy.serve.settings",
    "Service": "carboy.serve.service",
    "check_plan": "carboy.serve.servers",
    "lambda_handler": "carboy.serve.lambda_.handler",
    "on_event": "carboy.events",
    "serve": "carboy.serve.servers",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
