"""Single calls, on one session that the process keeps: its connections serve every call, its cookies none."""

from functools import cache
from typing import TYPE_CHECKING, Any

from carboy.extras import extra

if TYPE_CHECKING:
    from requests import Response

    from carboy.net.session import Session


def request(method: str, url: str, **options: Any) -> "Response":
    """Send a request and return the answer, whatever its status.

    Args:
        method: such as `GET`.
        url: with its scheme.
        options: as `requests.request` takes them, and `retries` and `budget_s` as `Session` takes them. A `timeout`
            of None is the default one: there is always a limit.

    Raises:
        requests.RequestException: no whole answer came; as in requests.
    """
    return _shared().request(method, url, **options)


def get(url: str, params: Any = None, **options: Any) -> "Response":
    """Send a GET; see `request`."""
    return _shared().get(url, params=params, **options)


def options(url: str, **options: Any) -> "Response":
    """Send an OPTIONS; see `request`."""
    return _shared().options(url, **options)


def head(url: str, **options: Any) -> "Response":
    """Send a HEAD, whose redirects are not followed; see `request`."""
    return _shared().head(url, **options)


def post(url: str, data: Any = None, json: Any = None, **options: Any) -> "Response":
    """Send a POST, which is not repeated once bytes were sent; see `request`."""
    return _shared().post(url, data=data, json=json, **options)


def put(url: str, data: Any = None, **options: Any) -> "Response":
    """Send a PUT; see `request`."""
    return _shared().put(url, data=data, **options)


def patch(url: str, data: Any = None, **options: Any) -> "Response":
    """Send a PATCH, which is not repeated once bytes were sent; see `request`."""
    return _shared().patch(url, data=data, **options)


def delete(url: str, **options: Any) -> "Response":
    """Send a DELETE; see `request`."""
    return _shared().delete(url, **options)


@cache
def _shared() -> "Session":
    with extra("net"):
        from http.cookiejar import DefaultCookiePolicy

        from carboy.net.session import Session
    session = Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # one caller's cookies are not another's
    return session
