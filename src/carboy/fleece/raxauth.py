"""Fleece's `raxauth`: check a Rackspace token, over `carboy.net`."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import quote

from carboy import net
from carboy.fleece.httperror import HTTPError

__all__ = ["TOKEN_URL_FMT", "authenticate", "validate"]

TOKEN_URL_FMT = "https://identity.api.rackspacecloud.com/v2.0/tokens/{token}"  # noqa: S105


def authenticate(url_format: str = TOKEN_URL_FMT) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that checks the argument `token` before each call, and fills in `userinfo` if it was given."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if not kwargs.get("token"):
                raise HTTPError(status=401)
            userinfo = validate(kwargs["token"], url_format)
            if "userinfo" in kwargs:
                kwargs["userinfo"] = userinfo
            return function(*args, **kwargs)

        return wrapped

    return wrap


def validate(token: str, url_format: str = TOKEN_URL_FMT) -> Any:
    """Return what Rackspace knows of a token.

    Raises:
        HTTPError: 401 where it is not valid, 503 where Rackspace gives no answer.
    """
    headers = {"x-auth-token": token, "accept": "application/json"}
    try:
        answer = net.get(url_format.format(token=quote(token, safe="")), headers=headers, allow_redirects=False)
        if answer.status_code < 500 and answer.status_code != 429:
            if answer.status_code == 200:
                return answer.json()
            raise HTTPError(status=401)
    except net.exceptions.RequestException:
        pass  # the message would hold the token
    raise HTTPError(status=503, message="the identity service gives no answer")
