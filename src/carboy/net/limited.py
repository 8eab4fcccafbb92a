"""One GET with every limit kept: time to connect, between two reads and in all, size, no redirect."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import Refused, Unreachable
from carboy.extras import extra

if TYPE_CHECKING:
    from carboy.net.session import Session

__all__ = ["Limits", "Reply", "fetch", "make_session"]

_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Limits:
    """How much time and memory one answer may take."""

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    total_s: float = 60.0
    size_bytes: int = 8_388_608


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; the names of headers are found in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def make_session(url: str, pool_size: int = 8) -> "Session":
    """Return a session for one server that any number of threads may share.

    Proxies and certificates are read from the environment now and not at every call; `.netrc` is not read, cookies are
    not kept, nothing is tried twice.

    Args:
        url: of the server, for which a proxy may be set.
        pool_size: connections that are kept.
    """
    with extra("net"):
        from http.cookiejar import DefaultCookiePolicy

        from carboy.net.session import Session

    session = Session(retries=0, pool_size=pool_size)
    surroundings = session.merge_environment_settings(url, {}, None, None, None)
    session.trust_env = False
    session.proxies, session.verify = surroundings["proxies"], surroundings["verify"]
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


def fetch(
    session: "Session",
    url: str,
    headers: Mapping[str, str],
    limits: Limits,
    *,
    what: str,
    clock: Clock = SYSTEM_CLOCK,
) -> Reply:
    """Return what a GET of a URL gives, whatever its status.

    Args:
        session: keeps the connections.
        url: with its query.
        headers: further ones.
        limits: kept.
        what: what could not be done, for messages.
        clock: for the time in all.

    Raises:
        Unreachable: no whole answer in time.
        Refused: the answer is larger than allowed.
    """
    with extra("net"):
        from requests import RequestException
        from urllib3.exceptions import HTTPError

    give_up_at_s = clock.monotonic_s() + limits.total_s
    timeout = (limits.connect_timeout_s, limits.read_timeout_s)
    try:
        with session.get(url, headers=headers, timeout=timeout, allow_redirects=False, stream=True) as answer:
            body = bytearray()
            while chunk := answer.raw.read1(_CHUNK, decode_content=True):
                body += chunk
                if len(body) > limits.size_bytes:
                    answer.raw.close()  # or the rest would be read to keep the connection
                    raise Refused(what, f"the answer has more than {limits.size_bytes} bytes", "look at the address")
                if clock.monotonic_s() > give_up_at_s:
                    answer.raw.close()
                    raise Unreachable(what, f"the answer takes longer than {limits.total_s:g} s", "try again later")
            return Reply(answer.status_code, answer.headers, bytes(body))
    except (RequestException, HTTPError) as error:
        reason = f"no whole answer came: {type(error).__name__}"
        raise Unreachable(what, reason, "look at the network and the address; it is tried again") from error
