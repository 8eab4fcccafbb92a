"""Certificates by URL: fetched once in a while and checked; failures are remembered, and fetches are limited."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import Refused, Unreachable, UpstreamError
from carboy.extras import extra
from carboy.net import Limits, fetch, make_session

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

_REFUSED_S = 300.0  # how long it is remembered that a URL has no certificate
_UNREACHABLE_S = 1.0  # the same of one that did not answer: SNS tries again
_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class _Kept:
    key: "RSAPublicKey"
    not_before_ms: float
    not_after_ms: float
    stale_at_s: float


class Certificates:
    """The RSA keys of certificates, by the URL of each; for any number of threads.

    Args:
        fetch: gets the PEM text at a URL; raises an `UpstreamError`.
        clock: for the dates of certificates and the age of what is kept.
        ttl_s: how long one is kept before it is fetched again; one that then cannot be fetched stays in use.
        size: how many are kept.
        max_per_minute: how many fetches there are in a minute at most, in all: URLs come from unverified messages.
    """

    def __init__(
        self,
        fetch: Callable[[str], bytes],
        clock: Clock = SYSTEM_CLOCK,
        ttl_s: float = 3600.0,
        size: int = 16,
        max_per_minute: int = 12,
    ) -> None:
        self._fetch, self._clock, self._ttl_s, self._size = fetch, clock, ttl_s, size
        self._max_per_minute = max_per_minute
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._failed: OrderedDict[str, tuple[float, UpstreamError]] = OrderedDict()
        self._fetched_at_s: deque[float] = deque()
        self._fetching = threading.Lock()

    def key(self, url: str) -> "RSAPublicKey":
        """Return the key of a certificate that is valid now.

        Raises:
            Refused: it is not valid now, or what the URL gives is no certificate of an RSA key.
            UpstreamError: it could not be fetched.
        """
        kept = self._kept.get(url)
        if kept is None or self._clock.monotonic_s() >= kept.stale_at_s:
            kept = self._renew(url)
        if not kept.not_before_ms <= self._clock.now_ms() <= kept.not_after_ms:
            raise _refused("the certificate is not valid now")
        return kept.key

    def _renew(self, url: str) -> _Kept:
        """Fetch a certificate, one thread at a time; the others wait for it for a moment."""
        if not self._fetching.acquire(timeout=_WAIT_S):
            raise Unreachable("a certificate could not be fetched", "another fetch takes long", "it is tried again")
        try:
            now_s = self._clock.monotonic_s()
            kept = self._kept.get(url)
            if kept is not None and now_s < kept.stale_at_s:
                return kept
            try:
                self._check_limits(url, now_s)
                fresh = self._kept[url] = self._read(self._fetch(url))
            except UpstreamError as error:
                wait_s = _UNREACHABLE_S if isinstance(error, Unreachable) else _REFUSED_S
                self._failed.setdefault(url, (now_s + wait_s, error))
                if kept is not None:
                    return kept
                raise
            self._failed.pop(url, None)
            self._kept.move_to_end(url)
            return fresh
        finally:
            for known in (self._kept, self._failed):
                while len(known) > self._size:
                    known.popitem(last=False)
            self._fetching.release()

    def _check_limits(self, url: str, now_s: float) -> None:
        """Raise what a fetch of this URL failed with a moment ago, or `Unreachable` where there were too many."""
        until_s, error = self._failed.get(url, (0.0, None))
        if error is not None and now_s < until_s:
            raise error
        self._failed.pop(url, None)
        while self._fetched_at_s and now_s - self._fetched_at_s[0] >= 60:
            self._fetched_at_s.popleft()
        if len(self._fetched_at_s) >= self._max_per_minute:
            raise Unreachable("a certificate was not fetched", "too many were fetched just now", "it is tried again")
        self._fetched_at_s.append(now_s)

    def _read(self, pem: bytes) -> _Kept:
        with extra("archive"):
            from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
            from cryptography.x509 import load_pem_x509_certificate

        try:
            certificate = load_pem_x509_certificate(pem)
            key = certificate.public_key()
        except ValueError as error:
            raise _refused("what was fetched is no certificate") from error
        if not isinstance(key, RSAPublicKey):
            raise _refused("the certificate is of no RSA key")
        dates = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        not_before_ms, not_after_ms = (date.timestamp() * 1000 for date in dates)
        return _Kept(key, not_before_ms, not_after_ms, self._clock.monotonic_s() + self._ttl_s)


def fetch_url(url: str, limits: Limits = Limits(2.0, 5.0, 10.0, 65_536)) -> bytes:  # noqa: B008 (frozen)
    """Return what a GET of a URL gives, following no redirect.

    Raises:
        Refused: any status but 200 below 500, or more than allowed.
        Unreachable: no whole answer in time, or a 5xx.
    """
    what = "a certificate could not be fetched"
    with make_session(url) as session:
        reply = fetch(session, url, {}, limits, what=what)
    if reply.status >= 500:
        raise Unreachable(what, f"{url} answered {reply.status}", "try again later")
    if reply.status != 200:
        raise _refused(f"{url} answered {reply.status}")
    return reply.body


def _refused(why: str) -> Refused:
    return Refused("a certificate was not accepted", why, "look at who sent the message")
