"""HTTP out, as `requests` has it, but with a budget: time-outs always set, repeats that are safe, connections kept.

from carboy import net

net.get("https://api.example/orders").json()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from carboy.extras import extra
from carboy.net.calls import delete, get, head, options, patch, post, put, request
from carboy.net.defaults import InvalidDefault, set_default_retries, set_default_timeout

if TYPE_CHECKING:
    from requests import Response, exceptions

    from carboy.net.session import Session

__all__ = [
    "InvalidDefault",
    "Response",
    "Session",
    "delete",
    "exceptions",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "set_default_retries",
    "set_default_timeout",
]

_HOMES = {"Session": "carboy.net.session", "Response": "requests", "exceptions": "requests"}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)  # these need requests, which is imported when it is used
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with extra("net"):
        return getattr(import_module(home), name)
