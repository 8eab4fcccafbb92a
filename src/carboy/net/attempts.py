"""Decide whether a call is tried again, and when; sending and waiting are left to `session`.

The rules are urllib3's (`Retry`), with three of ours: the budget holds for the whole call, what may have reached the
server is repeated only for the methods that the rules name, and a body that cannot be rewound is not sent twice.
"""

import ssl
from typing import TYPE_CHECKING

from requests.exceptions import ContentDecodingError, RequestException, RetryError
from requests.utils import rewind_body
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ProxyError,
    ResponseError,
)

from carboy.clock import Clock
from carboy.retry import parse_retry_after

if TYPE_CHECKING:
    from requests import PreparedRequest, Response
    from urllib3 import Retry

__all__ = ["Attempts", "rewind"]


class Attempts:
    """The tries of one call, over all its redirects."""

    __slots__ = ("_budget_s", "_retry", "_until_s", "clock")

    def __init__(self, retry: "Retry", budget_s: float, clock: Clock) -> None:
        self.clock: Clock = clock
        self._retry, self._budget_s, self._until_s = retry, budget_s, clock.monotonic_s() + budget_s

    def wait_after_error(self, request: "PreparedRequest", error: RequestException) -> float | None:
        """Return the seconds to wait before the next try; None when there is none, and the error stands."""
        reason = _reason(error)
        if reason is None or not _can_resend(request):
            return None
        if not _is_before_sending(reason) and not self._may_repeat(request):
            return None
        try:
            self._retry = self._retry.increment(request.method, request.url, error=reason)
        except HTTPError:  # all tries are used up, or the rules want none after this kind of error
            return None
        wait_s = self._retry.get_backoff_time()
        return wait_s if self._affords(wait_s) else None

    def wait_after_answer(self, request: "PreparedRequest", response: "Response") -> float | None:
        """Return the seconds to wait before the next try; None when the answer stands.

        Raises:
            RetryError: it was tried again in vain, and the rules want an error then (`raise_on_status`).
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
        wait_s = max(self._retry.get_backoff_time(), min(asked_s, retry.retry_after_max))
        if self._affords(wait_s):
            return wait_s
        self._retry = retry
        spent = ResponseError(f"status {response.status_code}, and the budget of {self._budget_s:g} s is spent")
        self._give_up(spent, request, response)
        return None

    def _affords(self, wait_s: float) -> bool:
        return self.clock.monotonic_s() + wait_s < self._until_s

    def _may_repeat(self, request: "PreparedRequest") -> bool:
        methods = self._retry.allowed_methods
        return not methods or (request.method or "").upper() in methods

    def _give_up(self, reason: Exception, request: "PreparedRequest", response: "Response") -> None:
        if self._retry.history and self._retry.raise_on_status:
            raise RetryError(reason, request=request, response=response)


def _reason(error: RequestException) -> HTTPError | None:
    """Return what urllib3 said; None where another try would end the same."""
    if isinstance(error, ContentDecodingError) or not error.args:
        return None
    reason = error.args[0]
    if isinstance(reason, MaxRetryError):
        reason = reason.reason
    if not isinstance(reason, HTTPError):
        return None
    cause = reason.args[-1] if reason.args else None
    return None if isinstance(cause, ssl.SSLCertVerificationError) else reason


def _is_before_sending(reason: Exception) -> bool:
    if isinstance(reason, ProxyError):
        reason = reason.original_error
    return isinstance(reason, ConnectTimeoutError | NewConnectionError)


def rewind(request: "PreparedRequest") -> None:
    """Make a request's body ready to be sent again."""
    if not _is_held(request):
        rewind_body(request)


def _can_resend(request: "PreparedRequest") -> bool:
    return _is_held(request) or isinstance(getattr(request, "_body_position", None), int)


def _is_held(request: "PreparedRequest") -> bool:
    body: object = request.body  # files and generators too, whatever its type says
    return isinstance(body, str | bytes | None)
