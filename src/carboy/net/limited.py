"""One request with every limit kept: time to connect, between two reads and in total, size, no redirect, no repeat."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import Refused, Unreachable
from carboy.extras import extra
from carboy.net.defaults import make_retry
from carboy.net.guard import AddressGuard

if TYPE_CHECKING:
    from carboy.net.prepared_calls import PreparedCall
    from carboy.net.session import Session

_CHUNK = 65_536


class CallFailed(Unreachable):
    """No whole response came.

    Attributes:
        was_sent: False where no byte of the request was sent, so that it may be sent elsewhere; True where the server
            may have read and done it.
    """

    def __init__(self, what: str, why: str, hint: str, was_sent: bool = True) -> None:
        super().__init__(what, why, hint)
        self.was_sent = was_sent
        self.args: tuple[Any, ...] = (what, why, hint, was_sent)


class TimedOut(CallFailed):
    """No whole response came within the time to connect, the time between two reads or the total."""


class ResponseTooLarge(Refused):
    """The response has more bytes than the limit; the request was sent."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of time and memory for one response.

    Attributes:
        connect_timeout_s: for all addresses of the host, the look-up of its name included.
        read_timeout_s: between two reads.
        total_s: from the look-up to the last byte of the body.
        size_bytes: of the body, decompressed.
    """

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    total_s: float = 60.0
    size_bytes: int = 8_388_608


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response; the names of headers are found in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def make_session(
    url: str, pool_size: int = 8, *, guard: AddressGuard | None = None, clock: Clock = SYSTEM_CLOCK
) -> "Session":
    """Return a session for the calls of `fetch`, which any number of threads may share.

    Proxies and certificates are read from the environment now and not at every call; `.netrc` is not read, cookies are
    not kept, nothing is tried twice.

    Args:
        url: of the server, for which a proxy may be set.
        pool_size: connections that are kept.
        guard: decides which addresses may be called; None for all.
        clock: for the total time.
    """
    with extra("net"):
        from http.cookiejar import DefaultCookiePolicy

        from carboy.net.session import Session

    session = Session(retries=make_retry(0), pool_size=pool_size, guard=guard, clock=clock)
    surroundings = session.merge_environment_settings(url, {}, None, None, None)
    session.trust_env = False
    session.proxies, session.verify = surroundings["proxies"], surroundings["verify"]
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


def prepare_call(session: "Session", method: str, url: str) -> "PreparedCall":
    """Return what the calls to one server have in common, for `fetch`: its URL is read and checked once.

    Raises:
        requests.RequestException: the address cannot be called.
    """
    with extra("net"):
        from carboy.net.prepared_calls import PreparedCall

    return PreparedCall(session, method, url)


def fetch(
    session: "Session",
    url: str,
    headers: Mapping[str, str],
    limits: Limits,
    *,
    what: str,
    method: str = "GET",
    body: bytes | None = None,
    truncate: bool = False,
    common: "PreparedCall | None" = None,
) -> Reply:
    """Send a request and return the response, whatever its status; a redirect is returned, not followed.

    Args:
        session: keeps the connections; see `make_session`.
        url: with its query.
        headers: further ones.
        limits: kept.
        what: what could not be done, for messages.
        method: such as `POST`.
        body: the request's.
        truncate: return what came of a body that is larger than allowed, late or cut: the status is what counts.
        common: of `prepare_call`, with the same session, method and server.

    Raises:
        TimedOut: no whole response in time.
        CallFailed: no whole response; `was_sent` says whether the server may have read the request.
        ResponseTooLarge: the response is larger than allowed.
        ForbiddenAddress: the session's guard refuses the address.
    """
    with extra("net"):
        from requests import RequestException, Timeout
        from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

    with session.open_call(budget_s=limits.total_s) as call:
        call.read_timeout_s = limits.read_timeout_s
        timeout = (limits.connect_timeout_s, limits.read_timeout_s)
        try:
            raw = None if common is None or call.left_s() <= 0 else common.send(url, headers, body, timeout)
            if raw is None:
                raw = _send_by_requests(session, method, url, headers, body, timeout, common)
            try:
                return Reply(raw.status, raw.headers, _read(raw, limits.size_bytes, what, truncate=truncate))
            finally:
                raw.close()
                raw.release_conn()
        except (RequestException, HTTPError, OSError, ValueError) as error:  # ValueError: a URL that cannot be sent
            is_late = isinstance(error, Timeout | ConnectTimeoutError | ReadTimeoutError | TimeoutError)
            is_late = is_late and not isinstance(error, NewConnectionError)  # urllib3 has it as a kind of timeout
            is_late = is_late or call.left_s() <= 0
            kind, why = (TimedOut, "too late") if is_late else (CallFailed, _in_words(error))
            hint = "check the network and the address"
            raise kind(what, f"no whole response came: {why}", hint, call.was_sent) from error


def _send_by_requests(
    session: "Session",
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    timeout: tuple[float, float],
    common: "PreparedCall | None",
) -> Any:
    from requests import Request

    prepared = (
        session.prepare_request(Request(method, url, headers=dict(headers), data=body))
        if common is None
        else common.request(url, headers, body)
    )
    return session.send(prepared, timeout=timeout, allow_redirects=False, stream=True).raw


def _in_words(error: BaseException) -> str:
    """Return why a call failed, by the one of the libraries' nested errors that says most."""
    from http.client import HTTPException

    from urllib3.exceptions import InvalidHeader, NameResolutionError

    nested: list[BaseException] = [error]
    for one in nested:
        within = (*one.args, getattr(one, "reason", None), one.__cause__, one.__context__)
        nested += [each for each in within if isinstance(each, BaseException) and each not in nested]
        match one:
            case NameResolutionError():
                return "the host's name was not found"
            case ssl.SSLCertVerificationError():
                return f"the server's certificate is not valid: {one.verify_message}"
            case ssl.SSLError():
                return f"TLS failed: {one.reason}"
            case ConnectionRefusedError():
                return "the server refused the connection"
            case ConnectionError():
                return "the server ended the connection"
            case HTTPException() | InvalidHeader():
                return "the response is not valid HTTP"
    return type(error).__name__


def _read(raw: Any, size_bytes: int, what: str, *, truncate: bool) -> bytes:
    from urllib3.exceptions import HTTPError

    content = bytearray()
    try:
        while len(content) <= size_bytes and (chunk := raw.read1(_CHUNK, decode_content=True)):
            content += chunk
    except (HTTPError, OSError, ValueError):
        raw.close()
        if not truncate:
            raise
    if len(content) > size_bytes:
        raw.close()  # or the rest would be read to keep the connection
        if not truncate:
            raise ResponseTooLarge(what, f"the response has more than {size_bytes} bytes", "check the address")
    return bytes(content[:size_bytes])
