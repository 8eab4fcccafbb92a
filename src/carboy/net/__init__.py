"""HTTP out, as `requests` has it, but with a budget: time-outs always set, repeats that are safe, connections kept.

from carboy import net

net.get("https://api.example/orders").json()
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from carboy.lazy import lazy_names
from carboy.net.defaults import InvalidDefault, set_default_retries, set_default_timeout
from carboy.net.functions import delete, get, head, options, patch, post, put, request

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

__getattr__: Callable[[str], Any] = lazy_names(
    __name__,
    {
        ".session": ("Session",),
        "requests": ("Response", "exceptions"),
    },
    part="net",
)
