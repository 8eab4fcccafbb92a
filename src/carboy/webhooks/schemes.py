"""The schemes that no template describes: Twilio, bearer tokens, HTTP basic, and none."""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from carboy.raw_request import RawRequest, authority_of
from carboy.webhooks.places import required_header
from carboy.webhooks.verification import (
    Unverified,
    any_equal,
    check_secret,
    decode_base64,
    keys_of,
    public_address,
    require,
    text_bytes,
)


@dataclass(frozen=True, slots=True)
class Twilio:
    """`X-Twilio-Signature`: the address and the form's fields, or the address with `bodySHA256` for other bodies.

    A form's fields are signed, not its bytes: two spellings of the same form carry the same signature.

    Attributes:
        public_url: the address that Twilio was given, where a proxy changes it; it may have a path.

    Source: twilio.com/docs/usage/security, "Validating Requests are coming from Twilio".
    """

    public_url: str = ""

    def verify(self, request: RawRequest, secrets: Sequence[str], now_s: float) -> None:
        """Compare the header with the HMAC of the address, with and without its port, by each secret."""
        given = text_bytes(required_header("X-Twilio-Signature", request))
        url = public_address(request, self.public_url)
        hashes = [value for name, value in parse_qsl(url.partition("?")[2]) if name == "bodySHA256"]
        fields = ""
        if hashes:
            digest = hashlib.sha256(request.body).hexdigest()
            if not all(hmac.compare_digest(digest.encode(), text_bytes(one.lower())) for one in hashes):
                raise Unverified("the body is not the one that bodySHA256 names")
        elif request.media_type == "application/x-www-form-urlencoded":
            fields = "".join(name + value for name, value in sorted(set(request.form())))
        elif request.body:
            raise Unverified("nothing signs a body that is no form and has no bodySHA256")
        texts = [text_bytes(spelling + fields) for spelling in _spellings(url)]
        expected = (base64.b64encode(hmac.digest(key, text, "sha1")) for key in keys_of(secrets) for text in texts)
        require(any_equal([given], expected))

    def check_secret(self, secret: str) -> str:
        """Return what is wrong with a secret; empty where nothing is."""
        return check_secret(secret, "text")


@dataclass(frozen=True, slots=True)
class Bearer:
    """The secret itself in a header: `Authorization: Bearer …`, or alone in another one (`X-Gitlab-Token`)."""

    header: str = "Authorization"

    def verify(self, request: RawRequest, secrets: Sequence[str], now_s: float) -> None:
        """Compare the header with each secret."""
        given = required_header(self.header, request)
        if self.header.lower() == "authorization":
            kind, _, given = given.partition(" ")
            if kind.lower() != "bearer":
                raise Unverified("the header Authorization is no bearer token", "missing")
        require(any_equal([text_bytes(given.strip(" "))], keys_of(secrets)))

    def check_secret(self, secret: str) -> str:
        """Return what is wrong with a secret; empty where nothing is."""
        return check_secret(secret, "text")


@dataclass(frozen=True, slots=True)
class Basic:
    """HTTP basic with a secret as the password.

    Attributes:
        username: the one to insist on; empty for any.

    Source: RFC 7617.
    """

    username: str = ""

    def verify(self, request: RawRequest, secrets: Sequence[str], now_s: float) -> None:
        """Compare the password with each secret."""
        kind, _, text = required_header("Authorization", request).partition(" ")
        if kind.lower() != "basic":
            raise Unverified("the header Authorization is not basic", "missing")
        username, _, password = decode_base64(text.strip(" ")).partition(b":")
        is_known = any_equal([password], keys_of(secrets))
        is_named = not self.username or hmac.compare_digest(username, self.username.encode())
        require(is_known and is_named)

    def check_secret(self, secret: str) -> str:
        """Return what is wrong with a secret; empty where nothing is."""
        return check_secret(secret, "text")


@dataclass(frozen=True, slots=True)
class Open:
    """Lets everything in; for profiles on which nothing is at stake, and for sources let in by a path token."""

    def verify(self, request: RawRequest, secrets: Sequence[str], now_s: float) -> None:
        """Return."""

    def check_secret(self, secret: str) -> str:
        """Return what is wrong with a secret: nothing, as none is used."""
        return ""


def _spellings(url: str) -> list[str]:
    """Return an address without a port, and with the one it has or implies."""
    scheme, separator, rest = url.partition("://")
    host = authority_of(url)
    path = rest[len(host) :]
    bare = re.sub(r":\d*$", "", host)
    port = host[len(bare) :] or (":80" if scheme == "http" else ":443")
    return [f"{scheme}{separator}{bare}{path}", f"{scheme}{separator}{bare}{port}{path}"]
