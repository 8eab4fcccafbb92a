"""Certificates by URL: fetched once in a while, checked, and kept."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import Refused, Unreachable
from carboy.extras import extra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

__all__ = ["Certificates", "fetch_url"]

_CHUNK = 16_384


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
        ttl_s: how long one is kept before it is fetched again.
        size: how many are kept.
    """

    def __init__(
        self, fetch: Callable[[str], bytes], clock: Clock = SYSTEM_CLOCK, ttl_s: float = 3600.0, size: int = 16
    ) -> None:
        self._fetch, self._clock, self._ttl_s, self._size = fetch, clock, ttl_s, size
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def key(self, url: str) -> "RSAPublicKey":
        """Return the key of a certificate that is valid now.

        Raises:
            Refused: it is not valid now, or what the URL gives is no certificate of an RSA key.
            UpstreamError: it could not be fetched.
        """
        with self._lock:
            kept = self._kept.get(url)
        if kept is None or self._clock.monotonic_s() >= kept.stale_at_s:
            kept = self._read(self._fetch(url))
            with self._lock:
                self._kept[url] = kept
                self._kept.move_to_end(url)
                while len(self._kept) > self._size:
                    self._kept.popitem(last=False)
        if not kept.not_before_ms <= self._clock.now_ms() <= kept.not_after_ms:
            raise _refused("the certificate is not valid now")
        return kept.key

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


def fetch_url(
    url: str,
    *,
    connect_timeout_s: float = 2.0,
    read_timeout_s: float = 5.0,
    total_s: float = 10.0,
    limit_bytes: int = 65_536,
    clock: Clock = SYSTEM_CLOCK,
) -> bytes:
    """Return what a GET of a URL gives, following no redirect.

    Raises:
        Refused: any status but 200 below 500, or more than `limit_bytes`.
        Unreachable: no whole answer in time, or a 5xx.
    """
    with extra("net"):
        import requests
        import urllib3

    give_up_at_s = clock.monotonic_s() + total_s
    timeout = (connect_timeout_s, read_timeout_s)
    data = b""
    try:
        with requests.get(url, timeout=timeout, allow_redirects=False, stream=True) as answer:
            if answer.status_code >= 500:
                raise _unreachable(f"{url} answered {answer.status_code}")
            if answer.status_code != 200:
                raise _refused(f"{url} answered {answer.status_code}")
            while chunk := answer.raw.read1(_CHUNK, decode_content=True):
                data += chunk
                if len(data) > limit_bytes:
                    raise _refused(f"{url} gives more than {limit_bytes} bytes")
                if clock.monotonic_s() > give_up_at_s:
                    raise _unreachable(f"{url} takes longer than {total_s:g} s")
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _unreachable(f"{url} did not answer: {type(error).__name__}") from error
    return data


def _unreachable(why: str) -> Unreachable:
    return Unreachable("a certificate could not be fetched", why, "try again later")


def _refused(why: str) -> Refused:
    return Refused("a certificate was not accepted", why, "look at who sent the message")
