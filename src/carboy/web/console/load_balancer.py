"""Let people in whom an AWS Application Load Balancer has logged in, by the token that it signs.

Source: Elastic Load Balancing, "Authenticate users using an Application Load Balancer": ES256, the header's `signer`
is the load balancer's ARN, the key is at `https://public-keys.auth.elb.<region>.amazonaws.com/<kid>`.
"""

import base64
import re
import time
from functools import lru_cache
from typing import Any

import orjson
from flask import Request

from carboy.extras import extra
from carboy.logs import BoundLogger, get_logger
from carboy.web.console.roles import scopes_of
from carboy.web.console.visitors import Visitor
from carboy.web.runtime import Runtime

log: BoundLogger = get_logger("carboy.console")

_KEY_ID = re.compile(r"[A-Za-z0-9-]{1,100}")
_LEEWAY_S = 60


def visitor_of_alb(current: Runtime, given: Request) -> Visitor | None:
    """Return the person that the load balancer vouches for; None where it does not, or the person has no role."""
    token = given.headers.get("X-Amzn-Oidc-Data", "")
    if not token:
        return None
    arn = current.web.console_alb_arn
    try:
        claims = read_alb_claims(token, arn, current.clock.now_ms() // 1000)
    except ValueError as error:
        log.warning("alb_token_refused", why=str(error))
        return None
    scopes = scopes_of(claims, current.web)
    if not scopes:
        return None
    return Visitor(str(claims.get("email") or claims.get("sub") or ""), frozenset(scopes))


def read_alb_claims(token: str, arn: str, now_s: float, fetch: Any = None) -> dict[str, Any]:
    """Return the claims of a load balancer's token.

    Args:
        token: the header `x-amzn-oidc-data`; its base64 is padded.
        arn: of the one load balancer that may sign.
        now_s: seconds since the epoch.
        fetch: returns the PEM of a key by region and key id; from AWS by default.

    Raises:
        ValueError: the signature, the signer or the time is wrong.
    """
    try:
        head, _, _ = token.split(".")
        header = orjson.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
        algorithm, signer, key_id = header["alg"], header["signer"], str(header["kid"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError("it is not a token") from error
    if algorithm != "ES256" or signer != arn or not _KEY_ID.fullmatch(key_id):
        raise ValueError("another load balancer signed it, or by another algorithm")
    region = arn.split(":")[3]
    claims = _verify(token, (fetch or _fetch_key)(region, key_id))
    if not isinstance(claims.get("exp"), int | float) or claims["exp"] + _LEEWAY_S < now_s:
        raise ValueError("it is over")
    return claims


def _verify(token: str, pem: str) -> dict[str, Any]:
    with extra("console"):
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    key = load_pem_public_key(pem.encode())
    if len(raw) != 64 or not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("its signature is wrong")
    numbers = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    try:
        key.verify(encode_dss_signature(*numbers), signed.encode("ascii"), ec.ECDSA(SHA256()))
    except InvalidSignature as error:
        raise ValueError("its signature is wrong") from error
    payload = signed.partition(".")[2]
    claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if not isinstance(claims, dict):
        raise ValueError("it has no claims")
    return claims


@lru_cache(maxsize=8)
def _fetch_key(region: str, key_id: str) -> str:
    from carboy import net

    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    url = f"https://public-keys.auth.elb.{region}.{suffix}/{key_id}"
    if region.startswith("us-gov-"):
        url = f"https://s3-{region}.amazonaws.com/aws-elb-public-keys-prod-{region}/{key_id}"
    started = time.monotonic()
    answer = net.request("GET", url, timeout=5)
    if answer.status_code != 200:
        raise ValueError(f"its key is not known ({time.monotonic() - started:.1f} s)")
    return str(answer.text)
