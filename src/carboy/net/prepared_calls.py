"""Calls to one server that are made often: what they have in common is prepared once.

They take a connection of the session's pool themselves, as what requests does for each call costs as much as the call.
With a proxy, and while calls are traced, they go through requests.
"""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from weakref import ref

from requests import Request
from requests.utils import check_header_validity, resolve_proxies, select_proxy

from carboy.logs import request_id
from carboy.trace import active_tracer, outgoing_headers

if TYPE_CHECKING:
    from requests import PreparedRequest
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

    from carboy.net.session import Session


class PreparedCall:
    """The calls of one method to one server.

    Args:
        session: keeps the connections.
        method: such as `POST`.
        url: it is read and checked here.

    Raises:
        requests.RequestException: the address cannot be called.
    """

    def __init__(self, session: "Session", method: str, url: str) -> None:
        self._session, self._method, self._url = session, method, url
        self._prepared: PreparedRequest = session.prepare_request(Request(method, url))
        self._target = self._prepared.path_url
        given = {name: value for name, value in self._prepared.headers.items() if name.lower() != "content-length"}
        self._headers: dict[str, tuple[str, str]] = {name.lower(): (name, str(value)) for name, value in given.items()}
        proxies = resolve_proxies(self._prepared, dict(session.proxies), session.trust_env)
        self._has_proxy = select_proxy(self._prepared.url or "", proxies) is not None
        self._pool: Callable[[], HTTPConnectionPool | None] = lambda: None  # weak: the session closes it
        self._pid = 0

    def send(
        self, url: str, headers: Mapping[str, str], body: bytes | None, timeout: tuple[float, float]
    ) -> "BaseHTTPResponse | None":
        """Send a request; None where it has to go through requests.

        Args:
            url: of the same server; its path and query are plain ASCII where they are not those of the prepared URL.
            headers: further ones; `Authorization` of the prepared URL wins, as it does in requests.
            body: the request's.
            timeout: to connect, and between two reads.

        Raises:
            urllib3.exceptions.HTTPError: no response.
            ForbiddenAddress: the session's guard refuses the address.
        """
        pool = None if self._has_proxy or active_tracer() is not None else self._current_pool()
        if pool is None:
            return None
        from urllib3 import Timeout

        return pool.urlopen(
            self._method,
            self._target if url == self._url else "/" + url.partition("://")[2].partition("/")[2],
            body=body,
            headers=self._merge(headers),
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
            timeout=Timeout(connect=timeout[0], read=timeout[1]),
        )

    def request(self, url: str, headers: Mapping[str, str], body: bytes | None) -> "PreparedRequest":
        """Return a request as requests sends it; the arguments are those of `send`."""
        made = self._prepared.copy()
        if url != self._url:
            made.url = url
        made.headers.clear()
        made.headers.update(self._merge(headers))
        made.prepare_body(body, None)
        return made

    def _merge(self, headers: Mapping[str, str]) -> dict[str, str]:
        for item in headers.items():
            check_header_validity(item)
        merged = {**self._headers, **{name.lower(): (name, value) for name, value in headers.items()}}
        if "authorization" in self._headers:
            merged["authorization"] = self._headers["authorization"]
        known = request_id()
        if known:
            merged.setdefault("x-request-id", ("X-Request-Id", known))
        found = dict(merged.values())
        return {**found, **outgoing_headers(found)}

    def _current_pool(self) -> "HTTPConnectionPool | None":
        """Return the pool of connections; a new one after a fork, and where the session was closed."""
        pool = self._pool()
        if self._pid != os.getpid() or pool is None:
            pool = self._session.pool_of(self._prepared)
            if pool is not None:
                self._pool, self._pid = ref(pool), os.getpid()
        return pool
