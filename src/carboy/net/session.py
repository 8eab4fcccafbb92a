"""Session of requests with timeouts, retries and budgets; every call is sent here.

A session may be shared by any number of threads, and used after a fork: the child opens connections of its own.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.logs import request_id
from carboy.net.attempts import Call, current_call
from carboy.net.defaults import Given, check_budget, default_retries, fill_timeout, make_retry
from carboy.net.guard import AddressGuard
from carboy.net.http_connections import find_addresses, make_pools
from carboy.trace import outgoing_headers

if TYPE_CHECKING:
    from urllib3 import HTTPConnectionPool


class Session(requests.Session):
    """A session of requests with timeouts, retries and a total budget for every call.

    Attributes:
        timeout: of calls without their own; seconds, or a pair: to connect, and between two reads.
        retries: likewise: how often they are tried again.
        budget_s: likewise: the time for a call, with its waits, redirects and body.
    """

    __attrs__: list[str] = [*requests.Session.__attrs__, "timeout", "retries", "budget_s", "_clock"]  # noqa: RUF012 (pickled)

    def __init__(
        self,
        timeout: Any = None,
        retries: Given = None,
        *,
        budget_s: float | None = None,
        pool_size: int = 32,
        guard: AddressGuard | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Make a session; nothing is connected before the first call.

        Args:
            timeout: None for the process's default (`set_default_timeout`).
            retries: repeats, or the arguments of urllib3's `Retry`, or one; None for the process's default.
            budget_s: None for the process's default (`set_default_retries`).
            guard: decides which addresses may be called, redirects included; None for all.
            pool_size: how many servers, and how many connections to each, are kept.
            clock: for waits and budgets.
        """
        super().__init__()
        self.timeout: Any = timeout
        self.retries: Given = retries
        self._clock = clock
        self.budget_s = budget_s
        adapter = _Adapter(pool_size, guard)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    if TYPE_CHECKING:  # they hand their options on to `request`
        get: Callable[..., requests.Response]
        options: Callable[..., requests.Response]
        head: Callable[..., requests.Response]
        post: Callable[..., requests.Response]
        put: Callable[..., requests.Response]
        patch: Callable[..., requests.Response]
        delete: Callable[..., requests.Response]

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        *arguments: Any,
        retries: Given = None,
        budget_s: float | None = None,
        **options: Any,
    ) -> requests.Response:
        """Send a request; the arguments are those of requests, with `retries` and `budget_s` for this call alone."""
        with self.open_call(retries, budget_s) as call:
            response = super().request(method, url, *arguments, **options)
            self._hand_over(call, options)
            return response

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a prepared request as in requests; without a timeout the default one is used."""
        options["timeout"] = fill_timeout(options.get("timeout"), self.timeout)
        if current_call.get() is not None:
            return super().send(request, **options)
        with self.open_call() as call:
            response = super().send(request, **options)
            self._hand_over(call, options)
            return response

    @contextmanager
    def open_call(self, retries: Given = None, budget_s: float | None = None) -> Iterator[Call]:
        """Begin a call: what `send` sends in the block shares one budget and one count of repeats.

        Args:
            retries: None for the session's.
            budget_s: None for the session's; given, it holds for the body of a streamed response too.
        """
        budgets = (budget_s, self.budget_s)
        given_s = next((one for one in budgets if one is not None), None)
        check_budget(given_s)
        retry = make_retry(retries if retries is not None else self.retries)
        call = Call(retry, default_retries().budget_s if given_s is None else given_s, self._clock, given_s is not None)
        token = current_call.set(call)
        try:
            yield call
        finally:
            current_call.reset(token)

    def pool_of(self, request: requests.PreparedRequest) -> "HTTPConnectionPool | None":
        """Return the pool of the connections to a request's server; None where an adapter that is not ours has them.

        Raises:
            ForbiddenAddress: the guard refuses the host.
        """
        adapter = self.get_adapter(request.url or "")
        return adapter.pool_of(request, self.verify, self.cert) if isinstance(adapter, _Adapter) else None

    def _hand_over(self, call: Call, options: Mapping[str, Any]) -> None:
        if options.get("stream") or self.stream:
            call.end_default_budget()


class _Adapter(HTTPAdapter):
    """Keeps the connections and tries again."""

    __attrs__: list[str] = [*HTTPAdapter.__attrs__, "_pid", "_pool_size", "_guard"]  # noqa: RUF012

    def __init__(self, pool_size: int, guard: AddressGuard | None) -> None:
        self._pid = os.getpid()
        self._pool_size, self._guard = pool_size, guard
        super().__init__(pool_connections=pool_size, pool_maxsize=pool_size)

    def init_poolmanager(self, *sizes: Any, **options: Any) -> None:
        super().init_poolmanager(*sizes, **options)
        self.poolmanager.pool_classes_by_scheme = make_pools(self._guard)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = make_pools(self._guard)
        return manager

    def add_headers(self, request: requests.PreparedRequest, **options: Any) -> None:
        """Add the request id and the trace; headers of the caller stay."""
        headers = request.headers
        known = request_id()
        if known:
            headers.setdefault("X-Request-Id", known)
        headers.update(outgoing_headers(headers))

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, stream: bool = False, **options: Any
    ) -> requests.Response:
        """Send a request until it succeeds or the retry rules allow no further try."""
        self._check(request, options.get("proxies"))
        call = current_call.get()
        if call is None:  # an adapter that was mounted elsewhere
            return super().send(request, stream=stream, **options)
        call.read_timeout_s = _read_timeout(options.get("timeout"))
        while True:
            call.begin_try(request)
            try:
                response = super().send(request, stream=stream, **options)
                if not stream:
                    _ = response.content  # read here: a response that is cut in its body is tried again too
            except requests.RequestException as error:
                wait_s = call.wait_after_error(request, error)
                if wait_s is None:
                    raise
            else:
                wait_s = call.wait_after_answer(request, response)
                if wait_s is None:
                    return response
                response.close()
            call.clock.sleep(wait_s)

    def pool_of(self, request: requests.PreparedRequest, verify: Any, cert: Any) -> "HTTPConnectionPool":
        """Return the pool of the connections to a request's server, without a proxy."""
        self._check(request, None)
        pool: Any = self.get_connection_with_tls_context(request, verify, cert=cert)
        self.cert_verify(pool, request.url, verify, cert)  # type: ignore[no-untyped-call]
        return pool  # type: ignore[no-any-return]

    def _check(self, request: requests.PreparedRequest, proxies: Any) -> None:
        """Check the host, and that the connections are those of this process."""
        if self._pid != os.getpid():
            self._leave_connections()
        if self._guard is None:
            return
        host = urlsplit(request.url or "").hostname or ""
        self._guard.check_host(host)
        if select_proxy(request.url or "", proxies):  # the proxy connects: a name that is known here is checked here
            self._guard.check_addresses(host, find_addresses(host, 2.0))

    def _leave_connections(self) -> None:
        """Drop the parent's connections after a fork, without closing them: their locks may be taken."""
        self._left_behind = self.poolmanager, self.proxy_manager
        self.proxy_manager = {}
        self.init_poolmanager(self._pool_size, self._pool_size)
        self._pid = os.getpid()


def _read_timeout(timeout: Any) -> float | None:
    seconds = timeout[1] if isinstance(timeout, tuple) else getattr(timeout, "read_timeout", timeout)
    return float(seconds) if isinstance(seconds, int | float) else None
