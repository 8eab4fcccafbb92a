"""Two ways to run a service: under a web server, and on AWS Lambda.

Each name is loaded when it is first asked for, so that a Lambda function loads nothing of the servers.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from carboy.lazy import lazy_names

if TYPE_CHECKING:
    from carboy.events import Events, on_event
    from carboy.serve.lambda_.authorizer import AuthPolicy
    from carboy.serve.lambda_.handler import lambda_handler
    from carboy.serve.plan import Plan, check_plan
    from carboy.serve.servers import serve
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

__getattr__: Callable[[str], Any] = lazy_names(
    __name__,
    {
        ".lambda_.authorizer": ("AuthPolicy",),
        ".lambda_.handler": ("lambda_handler",),
        ".plan": ("Plan", "check_plan"),
        ".servers": ("serve",),
        ".service": ("Service",),
        ".settings": ("ServeSettings",),
        "carboy.events": ("Events", "on_event"),
    },
)
