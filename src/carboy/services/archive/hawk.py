"""Hawk: a request that says who sends it by a MAC over its time, method and address.

Source: github.com/mozilla/hawk, API.md. The body is left out: only GETs are sent here.
"""

import base64
import hmac
from urllib.parse import urlsplit


def hawk_header(method: str, url: str, user_id: str, key: str, ext: str, *, at_s: int, nonce: str) -> str:
    """Return the `Authorization` header of a request.

    Args:
        method: in upper case.
        url: as it will be sent.
        user_id: whose key it is.
        key: shared with the server.
        ext: further text that is signed, such as an organization; like the others without `"`.
        at_s: the wall clock, seconds since the epoch.
        nonce: new for every request.
    """
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    port = parts.port or (80 if parts.scheme == "http" else 443)
    lines = ["hawk.1.header", str(at_s), nonce, method, target, parts.hostname or "", str(port), "", ext, ""]
    mac = base64.b64encode(hmac.digest(key.encode(), "\n".join(lines).encode(), "sha256")).decode()
    return f'Hawk id="{user_id}", ts="{at_s}", nonce="{nonce}", ext="{ext}", mac="{mac}"'
