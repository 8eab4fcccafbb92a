"""requests' session, with limits on everything: the one place that sends.

A session may be shared by any number of threads, and used after a fork: the child opens connections of its own.
"""

import os
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.logs import request_id
from carboy.net.attempts import Attempts, rewind
from carboy.net.defaults import Given, default_retries, fill_timeout, make_retry
from carboy.net.truncated_responses import POOLS
from carboy.trace import outgoing_headers

__all__ = ["Session"]

_attempts: ContextVar[Attempts | None] = ContextVar("carboy_net_attempts", default=None)


class Session(requests.Session):
    """A session of requests whose calls end: with an answer, or with an error in time.

    Attributes:
        timeout: for calls that say nothing themselves; seconds, or a pair: to connect, and between two reads.
        retries: likewise: how often they are tried again.
        budget_s: likewise: the time for a call, with its waits and redirects.
    """

    __attrs__: list[str] = [*requests.Session.__attrs__, "timeout", "retries", "budget_s", "_clock"]  # noqa: RUF012 (pickled)

    def __init__(
        self,
        timeout: Any = None,
        retries: Given = None,
        *,
        budget_s: float | None = None,
        pool_size: int = 32,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Make a session; nothing is connected before the first call.

        Args:
            timeout: None for the process's default (`set_default_timeout`).
            retries: repeats, or the arguments of urllib3's `Retry`, or one; None for the process's default.
            budget_s: None for the process's default (`set_default_retries`).
            pool_size: how many servers, and how many connections to each, are kept.
            clock: for waits and budgets.
        """
        super().__init__()
        self.timeout: Any = timeout
        self.retries: Given = retries
        self._clock = clock
        self.budget_s = budget_s
        adapter = _Adapter(pool_size)
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
        token = _attempts.set(self._begin(retries, budget_s))
        try:
            return super().request(method, url, *arguments, **options)
        finally:
            _attempts.reset(token)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a prepared request; as in requests, but a time-out that is not said is the default one."""
        options["timeout"] = fill_timeout(options.get("timeout"), self.timeout)
        if _attempts.get() is not None:
            return super().send(request, **options)
        token = _attempts.set(self._begin(None, None))
        try:
            return super().send(request, **options)
        finally:
            _attempts.reset(token)

    def _begin(self, retries: Given, budget_s: float | None) -> Attempts:
        if budget_s is None:
            budget_s = default_retries().budget_s if self.budget_s is None else self.budget_s
        return Attempts(make_retry(retries if retries is not None else self.retries), budget_s, self._clock)


class _Adapter(HTTPAdapter):
    """Keeps the connections and tries again."""

    __attrs__: list[str] = [*HTTPAdapter.__attrs__, "_pid", "_pool_size"]  # noqa: RUF012

    def __init__(self, pool_size: int) -> None:
        self._pid = os.getpid()
        self._pool_size = pool_size
        super().__init__(pool_connections=pool_size, pool_maxsize=pool_size)

    def init_poolmanager(self, *sizes: Any, **options: Any) -> None:
        super().init_poolmanager(*sizes, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = POOLS
        return manager

    def add_headers(self, request: requests.PreparedRequest, **options: Any) -> None:
        """Let the request id and the trace go along; what the caller said himself stays."""
        headers = request.headers
        known = request_id()
        if known:
            headers.setdefault("X-Request-Id", known)
        headers.update(outgoing_headers(headers))

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, stream: bool = False, **options: Any
    ) -> requests.Response:
        """Send a request until an answer stands or the rules want no further try."""
        if self._pid != os.getpid():
            self._begin_anew()
        attempts = _attempts.get()
        while True:
            try:
                response = super().send(request, stream=stream, **options)
                if not stream:
                    _ = response.content  # read here: an answer that is cut in its body is tried again too
            except requests.RequestException as error:
                wait_s = attempts.wait_after_error(request, error) if attempts else None
                if wait_s is None or attempts is None:
                    raise
            else:
                wait_s = attempts.wait_after_answer(request, response) if attempts else None
                if wait_s is None or attempts is None:
                    return response
                response.close()
            attempts.clock.sleep(wait_s)
            rewind(request)

    def _begin_anew(self) -> None:
        """Leave the connections to the parent, without closing them: a lock of theirs may be held for ever."""
        self._left_behind = self.poolmanager, self.proxy_manager
        self.proxy_manager = {}
        self.init_poolmanager(self._pool_size, self._pool_size)
        self._pid = os.getpid()
