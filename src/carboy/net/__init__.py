"""HTTP client: `requests` with a time budget, safe repeats, kept connections and an SSRF guard.

from carboy import net

net.get("https://api.example/orders").json()
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from carboy.lazy import lazy_names
from carboy.net.defaults import InvalidDefault, set_default_retries, set_default_timeout
from carboy.net.functions import delete, get, head, options, patch, post, put, request
from carboy.net.guard import AddressGuard, ForbiddenAddress
from carboy.net.limited import CallFailed, Limits, Reply, ResponseTooLarge, TimedOut, fetch, make_session, prepare_call

if TYPE_CHECKING:
    from requests import Response, exceptions

    from carboy.net.prepared_calls import PreparedCall
    from carboy.net.session import Session

__all__ = [
    "AddressGuard",
    "CallFailed",
    "ForbiddenAddress",
    "InvalidDefault",
    "Limits",
    "PreparedCall",
    "Reply",
    "Response",
    "ResponseTooLarge",
    "Session",
    "TimedOut",
    "delete",
    "exceptions",
    "fetch",
    "get",
    "head",
    "make_session",
    "options",
    "patch",
    "post",
    "prepare_call",
    "put",
    "request",
    "set_default_retries",
    "set_default_timeout",
]

__getattr__: Callable[[str], Any] = lazy_names(
    __name__,
    {
        ".prepared_calls": ("PreparedCall",),
        ".session": ("Session",),
        "requests": ("Response", "exceptions"),
    },
    part="net",
)
