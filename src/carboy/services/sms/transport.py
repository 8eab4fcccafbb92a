"""The one HTTP client between a provider's two functions.

Connections are kept, certificates always verified, nothing is followed or tried twice. What matters most is what an
error means: a request that may have been read and was not answered is `unknown`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from carboy.errors import CarboyError
from carboy.extras import extra
from carboy.logs import BoundLogger, get_logger
from carboy.services.sms.accounts import Accounts
from carboy.services.sms.providers import Message, Outbox, Outcome, Receipt, Request, Response

if TYPE_CHECKING:
    from requests import Session

__all__ = ["HttpCarrier", "OutboxCarrier", "Transport", "make_session", "send_request"]

log: BoundLogger = get_logger("carboy.sms")

_MAX_ANSWER_BYTES = 1_048_576
_CHUNK = 65_536


class Transport(Protocol):
    """Takes messages to a provider."""

    def carry(self, message: Message, template: str) -> Sequence[Outcome]:
        """Send a message and return how it ended for each receiver, in their order; never raises for the provider."""
        ...


@dataclass(frozen=True, slots=True)
class HttpCarrier:
    """Carries by a provider's two functions.

    Attributes:
        name: of the provider.
        provider: see `carboy.services.sms.providers.Provider`.
        accounts: what to sign with.
        session: keeps the connections.
        timeout_s: to connect, and to wait for an answer.
    """

    name: str
    provider: Any
    accounts: Accounts
    session: "Session"
    timeout_s: tuple[float, float]

    def carry(self, message: Message, template: str) -> Sequence[Outcome]:
        """Send it; where our account is refused and was renewed meanwhile, once more with the new one."""
        account = self.accounts.get(self.name)
        outcomes = self._carry(message, account)
        if all(one.kind == "account" for one in outcomes) and self.accounts.refresh(self.name, account):
            return self._carry(message, self.accounts.get(self.name))
        return outcomes

    def look_up(self, message: Message, sent_at_ms: int) -> list[Receipt]:
        """Return what the provider's query has of a message's receiver; nothing where there is no answer."""
        response = self.ask(self.provider.build_query(message, sent_at_ms, self.accounts.get(self.name)))
        found: list[Receipt] = [] if isinstance(response, Outcome) else self.provider.read_query(response)
        return found

    def ask(self, request: Request) -> Response | Outcome:
        """Send any request of the provider's."""
        return send_request(self.session, request, self.timeout_s)

    def _carry(self, message: Message, account: Any) -> list[Outcome]:
        try:
            request = self.provider.build_request(message, account)
        except Exception as error:
            log.error("sms_request_not_built", provider=self.name, exc_info=error)
            return [Outcome("account", type(error).__name__, "the request could not be built")] * len(message.receivers)
        response = self.ask(request)
        if isinstance(response, Outcome):
            return [response] * len(message.receivers)
        try:
            read: Outcome | Mapping[str, Outcome] = self.provider.read_response(response)
        except Exception as error:
            log.error("sms_answer_unreadable", provider=self.name, status=response.status, exc_info=error)
            read = Outcome("unknown", f"HTTP {response.status}", "the answer could not be read")
        if isinstance(read, Outcome):
            return [read] * len(message.receivers)
        missing = Outcome("unknown", "", "the answer does not say")
        return [read.get(receiver, missing) for receiver in message.receivers]


@dataclass(frozen=True, slots=True)
class OutboxCarrier:
    """Carries into a file."""

    name: str
    provider: Outbox
    accounts: Accounts

    def carry(self, message: Message, template: str) -> Sequence[Outcome]:
        """Write the lines."""
        try:
            outcome = self.provider.write(message, self.accounts.get(self.name), template)
        except CarboyError as error:
            outcome = Outcome("not_sent", type(error).__name__, error.why)
        return [outcome] * len(message.receivers)


def make_session(pool_size: int) -> "Session":
    """Return a session that any number of threads may share.

    Proxies and further certificates are read from the environment once; `.netrc` is not read, cookies are not kept,
    nothing is tried twice.
    """
    with extra("net"):
        from http.cookiejar import DefaultCookiePolicy

        from requests import Session
        from requests.adapters import HTTPAdapter

    session = Session()
    surroundings = session.merge_environment_settings("https://", {}, None, None, None)
    session.trust_env = False
    session.proxies = surroundings["proxies"]
    session.verify = surroundings["verify"] or True
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=pool_size, max_retries=0))
    return session


def send_request(session: "Session", request: Request, timeout_s: tuple[float, float]) -> Response | Outcome:
    """Return the answer; or what it means that there was none: `not_sent` or `unknown`."""
    from requests import RequestException
    from requests.exceptions import ConnectTimeout, InvalidURL, ProxyError, SSLError
    from urllib3.exceptions import HTTPError

    try:
        with session.request(
            request.method,
            request.url,
            data=request.body or None,
            headers=dict(request.headers),
            timeout=timeout_s,
            allow_redirects=False,
            stream=True,
        ) as answer:
            body = bytearray()
            while chunk := answer.raw.read1(_CHUNK, decode_content=True):
                body += chunk
                if len(body) > _MAX_ANSWER_BYTES:
                    answer.raw.close()
                    return Outcome("unknown", "", "the answer is too large")
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Response(answer.status_code, headers, bytes(body))
    except (ConnectTimeout, ProxyError, InvalidURL) as error:
        return _not_sent(error)
    except SSLError as error:
        return _not_sent(error) if _is_before_the_request(error) else _unknown(error)
    except (RequestException, HTTPError) as error:
        return _not_sent(error) if _is_before_the_request(error) else _unknown(error)


def _is_before_the_request(error: BaseException) -> bool:
    """Return whether a connection failed while it was made: then nothing of the request was written."""
    from ssl import SSLCertVerificationError

    from urllib3.exceptions import NameResolutionError, NewConnectionError

    before = (NewConnectionError, NameResolutionError, SSLCertVerificationError)
    seen: set[int] = set()
    pending: list[Any] = [error]
    while pending:
        one = pending.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, before):
            return True
        pending += [one.__cause__, getattr(one, "reason", None), *one.args]
    return False


def _not_sent(error: BaseException) -> Outcome:
    return Outcome("not_sent", type(error).__name__, "no connection was made")


def _unknown(error: BaseException) -> Outcome:
    return Outcome("unknown", type(error).__name__, "the request may have been read, and no answer came")
