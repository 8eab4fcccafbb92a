"""One call's state over all its redirects and repeats: the time left, what was sent, whether it is tried again.

The rules are urllib3's (`Retry`), with three of ours: the budget holds for the whole call, what may have reached the
server is repeated only for the methods that the rules name, and a body that cannot be rewound is not sent twice.
"""

import ssl
from contextvars import ContextVar
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from requests.exceptions import (
    ConnectTimeout,
    ContentDecodingError,
    ReadTimeout,
    RequestException,
    RetryError,
    UnrewindableBodyError,
)
from requests.utils import rewind_body
from urllib3.exceptions import HTTPError, MaxRetryError, ResponseError

from carboy.clock import Clock
from carboy.http_values import parse_retry_after

if TYPE_CHECKING:
    from requests import PreparedRequest, Response
    from urllib3 import Retry

_RETRY_AFTER_MAX_S = 21_600.0  # the default of urllib3, where `Retry` has no limit yet


class Call:
    """One call: its deadline, and its tries over all its redirects.

    Attributes:
        was_sent: whether any byte of a request was handed to a connection since the last redirect or repeat.
        read_timeout_s: seconds between two reads or writes; None for no limit but the budget's.
    """

    __slots__ = (
        "_budget_s",
        "_is_budget_given",
        "_once_only",
        "_retry",
        "_until_s",
        "clock",
        "read_timeout_s",
        "was_sent",
    )

    def __init__(self, retry: "Retry", budget_s: float, clock: Clock, is_budget_given: bool = True) -> None:
        self._is_budget_given = is_budget_given
        self.clock: Clock = clock
        self.was_sent: bool = False
        self.read_timeout_s: float | None = None
        self._retry, self._budget_s, self._until_s = retry, budget_s, clock.monotonic_s() + budget_s
        self._once_only: object = None

    def left_s(self) -> float:
        """Return the seconds that are left of the budget; 0 or less when it is spent."""
        return self._until_s - self.clock.monotonic_s()

    def end_default_budget(self) -> None:
        """End a budget that no caller gave: the body of a streamed response is read at the caller's own pace."""
        if not self._is_budget_given:
            self._until_s = float("inf")

    def begin_try(self, request: "PreparedRequest") -> None:
        """Note that a request is about to be sent.

        Raises:
            ConnectTimeout: the budget is spent.
            UnrewindableBodyError: its body was sent before, and can be read only once.
        """
        if self.left_s() <= 0:
            raise self.spent(ConnectTimeout, request)
        if request.body is not None and request.body is self._once_only:
            why = "the redirect asks for the body again, and it can be read only once: send bytes or a file"
            raise UnrewindableBodyError(why, request=request)
        if not _can_resend(request):
            self._once_only = request.body
        self.was_sent = False

    def spent(self, kind: type[RequestException], request: "PreparedRequest") -> RequestException:
        """Return the error which says that the budget is spent."""
        return kind(f"the budget of {self._budget_s:g} s is spent", request=request)

    def wait_after_error(self, request: "PreparedRequest", error: RequestException) -> float | None:
        """Return the seconds to wait before the next try; None when the error is final.

        Raises:
            ReadTimeout: the error is the end of the budget.
            ConnectTimeout: likewise, and nothing was sent.
        """
        if self.left_s() <= 0:
            raise self.spent(ReadTimeout if self.was_sent else ConnectTimeout, request) from error
        reason = _reason(error)
        if reason is None or not _can_resend(request):
            return None
        if self.was_sent and not self._may_repeat(request):
            return None
        try:
            self._retry = self._retry.increment(request.method, request.url, error=reason)
        except HTTPError:  # all tries are used up, or the rules allow none after this kind of error
            return None
        wait_s = self._retry.get_backoff_time()
        if wait_s >= self.left_s():
            return None
        _rewind(request)
        return wait_s

    def wait_after_answer(self, request: "PreparedRequest", response: "Response") -> float | None:
        """Return the seconds to wait before the next try; None when the response stands.

        Raises:
            RetryError: all tries failed, and the rules ask for an error then (`raise_on_status`).
        """
        retry = self._retry
        after = response.headers.get("Retry-After") if retry.respect_retry_after_header else None
        if not retry.is_retry(request.method or "", response.status_code, after is not None):
            return None
        if not _can_resend(request):
            return None
        try:
            self._retry = retry.increment(request.method, request.url, response=response.raw)
        except MaxRetryError as error:
            self._give_up(error, request, response)
            return None
        asked_s = parse_retry_after(after, self.clock.now_ms() / 1000)
        wait_s = max(
            self._retry.get_backoff_time(), min(asked_s, getattr(retry, "retry_after_max", _RETRY_AFTER_MAX_S))
        )
        if wait_s < self.left_s():
            _rewind(request)
            return wait_s
        self._retry = retry
        spent = ResponseError(f"status {response.status_code}, and the budget of {self._budget_s:g} s is spent")
        self._give_up(spent, request, response)
        return None

    def _may_repeat(self, request: "PreparedRequest") -> bool:
        methods = self._retry.allowed_methods
        return not methods or (request.method or "").upper() in methods

    def _give_up(self, reason: Exception, request: "PreparedRequest", response: "Response") -> None:
        if self._retry.history and self._retry.raise_on_status:
            why = reason.reason if isinstance(reason, MaxRetryError) else reason
            url = urlsplit(request.url or "")
            what = f"{request.method} {url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
            raise RetryError(f"{what}: {why}", request=request, response=response) from reason


current_call: ContextVar[Call | None] = ContextVar("carboy_net_call", default=None)
"""The call that this thread is in the middle of."""


def _reason(error: RequestException) -> HTTPError | None:
    """Return urllib3's error; None where another try would end the same."""
    if isinstance(error, ContentDecodingError) or not error.args:
        return None
    reason = error.args[0]
    if isinstance(reason, MaxRetryError):
        reason = reason.reason
    if not isinstance(reason, HTTPError):
        return None
    cause = reason.args[-1] if reason.args else None
    return None if isinstance(cause, ssl.SSLCertVerificationError) else reason


def _rewind(request: "PreparedRequest") -> None:
    if not _is_in_memory(request):
        rewind_body(request)


def _can_resend(request: "PreparedRequest") -> bool:
    return _is_in_memory(request) or isinstance(getattr(request, "_body_position", None), int)


def _is_in_memory(request: "PreparedRequest") -> bool:
    body: object = request.body  # files and generators too, whatever its type says
    return isinstance(body, str | bytes | None)
