"""Transport: the one HTTP client between a provider's two functions, and what its failures mean.

Nothing is followed or sent twice, certificates are always verified, and the whole response is read within one limit. A
request that the provider may have read without a response is `unknown`; one of which no byte was sent is `not_sent`.
"""

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from secrets import token_hex
from traceback import extract_tb
from typing import Any, Protocol
from urllib.parse import urlsplit

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import CarboyError
from carboy.http_values import parse_retry_after
from carboy.logs import BoundLogger, get_logger
from carboy.net import CallFailed, Limits, ResponseTooLarge, Session, fetch, make_session
from carboy.services.sms.accounts import Accounts
from carboy.services.sms.numbers import mask_digits
from carboy.services.sms.providers import (
    AnswersQueries,
    Balance,
    Message,
    Outbox,
    Outcome,
    Receipt,
    Request,
    Response,
    TellsBalance,
)

log: BoundLogger = get_logger("carboy.sms")

_CODE = re.compile(r"(?!.*\d{7})[\w.:/-]*", re.ASCII)  # anything else may repeat a number or a parameter
_SHORTEST_SECRET = 3  # parameters that are shorter occur in any text


class Transport(Protocol):
    """Send messages to a provider."""

    def send(self, message: Message, template: str) -> Sequence[Outcome]:
        """Send a message and return the outcome for each receiver, in their order; never raises for the provider."""
        ...


@dataclass(slots=True)
class Sessions:
    """Kept connections, one session for each server, as proxies differ between servers.

    Attributes:
        pool_size: connections that are kept to each server.
        verify: a file with certificates to trust; empty for the system's.
    """

    pool_size: int
    verify: str = ""
    _sessions: dict[str, Session] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, url: str) -> Session:
        """Return the session for the server of a URL."""
        server = urlsplit(url).netloc
        with self._lock:
            if server not in self._sessions:
                session = make_session(url, self.pool_size)
                if self.verify:
                    session.verify = self.verify
                self._sessions[server] = session
            return self._sessions[server]


@dataclass(frozen=True, slots=True)
class HttpTransport:
    """Sends by a provider's two functions.

    Attributes:
        name: of the provider.
        provider: see `carboy.services.sms.providers.Provider`.
        accounts: signs requests.
        sessions: keeps the connections.
        limits: of one response.
        ca_setting: the setting that names the certificates to trust; empty without one.
        clock: for dates in `Retry-After`.
    """

    name: str
    provider: Any
    accounts: Accounts
    sessions: Sessions
    limits: Limits
    ca_setting: str = ""
    clock: Clock = SYSTEM_CLOCK
    _reported: set[str] = field(default_factory=set)

    def send(self, message: Message, template: str) -> Sequence[Outcome]:
        """Send a message; after a refused account once more, if the account has changed since."""
        account = self.accounts.get(self.name)
        outcomes = self._send(message, account)
        if all(one.kind == "account" for one in outcomes) and self.accounts.refresh(self.name, account):
            return self._send(message, self.accounts.get(self.name))
        return outcomes

    def look_up(self, message: Message, sent_at_ms: int) -> list[Receipt]:
        """Return what the provider's query lists for a message's receiver; an empty list without a response."""
        provider: AnswersQueries = self.provider
        response = self._exchange(provider.build_query(message, sent_at_ms, self.accounts.get(self.name)))
        return [] if isinstance(response, Outcome) else provider.read_query(response)

    def ask_balance(self) -> Balance | None:
        """Return what is left of the account; None if the provider does not say."""
        now_ms = self.clock.now_ms()
        response = self._ask_for_balance(now_ms)
        if not isinstance(response, Response):
            return None
        provider: TellsBalance = self.provider
        try:
            return provider.read_balance(response, now_ms)
        except Exception as error:  # noqa: BLE001 (as of a response to a message)
            log.error("sms_balance_unreadable", provider=self.name, error=_place_of(error))
            return None

    def account_fault(self) -> str | None:
        """Return why the provider cannot be used, as far as a request for the balance shows; None without a fault.

        A 403 does not count: an account may send and not read its balance.
        """
        response = self._ask_for_balance(self.clock.now_ms())
        if isinstance(response, Outcome):
            return f"it could not be reached ({response.code})"
        refused = response is not None and response.status == HTTPStatus.UNAUTHORIZED
        return "it refused the account (HTTP 401)" if refused else None

    def _ask_for_balance(self, now_ms: int) -> Response | Outcome | None:
        provider: TellsBalance = self.provider
        request = provider.build_balance_request(self.accounts.get(self.name), now_ms, token_hex(16))
        return None if request is None else self._exchange(request)

    def _exchange(self, request: Request) -> Response | Outcome:
        return send_request(self.sessions.get(request.url), request, self.limits, self.ca_setting)

    def _send(self, message: Message, account: Any) -> list[Outcome]:
        try:
            request = self.provider.build_request(message, account)
        except Exception as error:  # noqa: BLE001 (a provider's class may raise anything; its text may hold a number)
            log.error("sms_request_not_built", provider=self.name, error=_place_of(error))
            return [Outcome("account", type(error).__name__, "the request could not be built")] * len(message.receivers)
        response = self._exchange(request)
        if isinstance(response, Outcome):
            return [response] * len(message.receivers)
        try:
            read: Outcome | Mapping[str, Outcome] = self.provider.read_response(response)
        except Exception as error:  # noqa: BLE001 (likewise)
            log.error("sms_response_unreadable", provider=self.name, status=response.status, error=_place_of(error))
            read = Outcome("unknown", f"HTTP {response.status}", "the response could not be read")
        if isinstance(read, Outcome):
            return [self._finish(read, response, message)] * len(message.receivers)
        missing = Outcome("unknown", "", "the response does not mention the receiver")
        return [self._finish(read.get(one, missing), response, message) for one in message.receivers]

    def _finish(self, outcome: Outcome, response: Response, message: Message) -> Outcome:
        """Return an outcome with its words masked and the provider's wait; report an unlisted code once."""
        if not _CODE.fullmatch(outcome.code):
            outcome = replace(outcome, code=_hide(outcome.code, message))
        if not outcome.is_listed and outcome.code not in self._reported and len(self._reported) < 1000:
            self._reported.add(outcome.code)
            log.warning("sms_code_unlisted", provider=self.name, code=outcome.code, status=response.status)
        after = response.headers.get("retry-after")
        if outcome.kind == "throttled" and after:
            wait_s = parse_retry_after(after, self.clock.now_ms() / 1000)
            outcome = replace(outcome, retry_after_s=wait_s or outcome.retry_after_s)
        return replace(outcome, words=_hide(outcome.words, message)) if outcome.words else outcome


@dataclass(frozen=True, slots=True)
class OutboxTransport:
    """Writes messages into a file."""

    name: str
    provider: Outbox
    accounts: Accounts

    def send(self, message: Message, template: str) -> Sequence[Outcome]:
        """Write one line for each receiver."""
        try:
            outcome = self.provider.write(message, self.accounts.get(self.name), template)
        except CarboyError as error:
            outcome = Outcome("not_sent", type(error).__name__, error.why)
        return [outcome] * len(message.receivers)


def send_request(session: Session, request: Request, limits: Limits, ca_setting: str = "") -> Response | Outcome:
    """Return the response, or the outcome without one: `not_sent` or `unknown`.

    Args:
        session: keeps the connections.
        request: signed and ready.
        limits: of the response.
        ca_setting: the setting that the message about an untrusted certificate names.
    """
    try:
        reply = fetch(
            session,
            request.url,
            request.headers,
            limits,
            what="the SMS provider",
            method=request.method,
            body=request.body or None,
        )
    except ResponseTooLarge as error:
        return Outcome("unknown", type(error).__name__, "the response is too large")
    except CallFailed as error:
        code = type(error.__cause__ or error).__name__
        if error.was_sent:
            return Outcome("unknown", code, "the request may have been read, and no response came")
        if "CERTIFICATE_VERIFY_FAILED" in str(error.__cause__):
            hint = f"; {ca_setting} names the certificates to trust" if ca_setting else ""
            return Outcome("not_sent", code, f"the server's certificate is not trusted{hint}")
        return Outcome("not_sent", code, "no connection was made")
    return Response(reply.status, {name.lower(): value for name, value in reply.headers.items()}, reply.body)


def _hide(words: str, message: Message) -> str:
    """Return a provider's words without the numbers, codes and parameters of the message."""
    for secret in sorted({message.text, *(value for _, value in message.params)}, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            words = words.replace(secret, "****")
    return mask_digits(words)


def _place_of(error: Exception) -> str:
    """Return the type and the place of an error, without its text."""
    last = extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {last.filename}:{last.lineno}"
