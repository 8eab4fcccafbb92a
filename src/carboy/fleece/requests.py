"""Fleece's `requests`: calls with time-outs and repeats, over `carboy.net`; everything else is requests' own."""
# ruff: noqa: F822
# pyright: reportUnsupportedDunderAll=false

from typing import Any

from carboy import net
from carboy.extras import extra
from carboy.net import delete, get, head, options, patch, post, put, request, set_default_timeout

__all__ = [  # noqa: RUF022 (what `__getattr__` finds too, for an import of everything)
    "delete", "get", "head", "options", "patch", "post", "put", "request", "set_default_retries", "set_default_timeout",
    "Session", "session", "Retry", "HTTPAdapter", "Request", "Response", "PreparedRequest", "codes", "exceptions",
    "adapters", "auth", "cookies", "models", "sessions", "structures", "utils", "ConnectionError", "ConnectTimeout",
    "FileModeWarning", "HTTPError", "JSONDecodeError", "ReadTimeout", "RequestException", "Timeout", "TooManyRedirects",
    "URLRequired",
]  # fmt: skip


def set_default_retries(total: int = 10, **arguments: Any) -> None:
    """Set the arguments of urllib3's `Retry` for calls that say nothing; what is not given is urllib3's own default."""
    net.set_default_retries(total, **{"backoff_factor": 0, "status_forcelist": (), **arguments})


def __getattr__(name: str) -> Any:
    if name in {"Session", "session"}:
        return net.Session
    with extra("net"):
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3 import Retry
    known = {"Retry": Retry, "HTTPAdapter": HTTPAdapter}
    return known[name] if name in known else getattr(requests, name)
