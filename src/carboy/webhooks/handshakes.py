"""Handshakes: requests by which a sender asks whether an address wants its webhooks; answered, and never kept."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import orjson

from carboy.http_values import MISSING
from carboy.raw_request import RawRequest
from carboy.webhooks.places import find, find_text, is_place
from carboy.webhooks.verification import Unverified, matches_any, text_bytes

_MAX_CHARS = 4096  # of what is echoed


@dataclass(frozen=True, slots=True)
class Reply:
    """The response to a handshake."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Handshake:
    """A handshake of a source, as its settings describe it.

    Attributes:
        when: what the request must have: `method=HEAD`, or a place and its value, such as `/type=url_verification`; a
            value of `*` is any.
        echo: the place whose value is sent back; empty for none.
        reply: how it is sent back: as text, as the member `name` of a JSON object, or as the header `name`.
        name: see `reply`.
        hmac_name: a member of the JSON object that gets the hex HMAC-SHA256 of the value by the first secret.
        body: what is sent back in place of a value.
        secret: a place whose value must be `handshake_secret` of the source; another value is a 403.
        is_signed: whether the handshake must prove itself as the source's webhooks do.
        status: of the response.
    """

    when: tuple[str, ...] = ()
    echo: str = ""
    reply: Literal["text", "json", "header"] = "text"
    name: str = ""
    hmac_name: str = ""
    body: str = ""
    secret: str = ""
    is_signed: bool = False
    status: int = 200

    def respond(self, request: RawRequest, secrets: Sequence[str], handshake_secrets: Sequence[str]) -> Reply | None:
        """Return the response to a request; None where it is no handshake of this form.

        Raises:
            Unverified: the handshake's secret is wrong.
        """
        if not all(_has(condition, request) for condition in self.when):
            return None
        value = find_text(self.echo, request) if self.echo else ""
        if self.echo and not value:
            return None
        if self.secret and not matches_any(find_text(self.secret, request), handshake_secrets):
            raise Unverified("the secret of the handshake is wrong", "handshake")
        return self._reply(value[:_MAX_CHARS], secrets)

    def _reply(self, value: str, secrets: Sequence[str]) -> Reply:
        if self.reply == "json":
            document = {self.name: value} if self.name else {}
            if self.hmac_name and secrets:
                document[self.hmac_name] = hmac.digest(text_bytes(secrets[0]), text_bytes(value), hashlib.sha256).hex()
            return Reply(self.status, {"Content-Type": "application/json"}, orjson.dumps(document))
        if self.reply == "header":
            safe = value if value.isascii() and value.isprintable() else ""
            return Reply(self.status, {self.name: safe, "Content-Type": "text/plain"}, b"")
        kind = "application/json" if self.body.startswith("{") else "text/plain; charset=utf-8"
        return Reply(self.status, {"Content-Type": kind}, text_bytes(self.body or value))


HANDSHAKES: Mapping[str, tuple[Handshake, ...]] = {
    "slack": (Handshake(when=("/type=url_verification",), echo="/challenge", is_signed=True),),
}
"""The handshakes of schemes that belong to one sender, by the scheme's name."""


def handshake_faults(handshake: Handshake) -> list[str]:
    """Return what is wrong with how a handshake is described."""
    faults = [f"`when` names no place: {one}" for one in handshake.when if not _is_condition(one)]
    faults += [
        f"`{key}` must be header:NAME, query:NAME, form:NAME or a JSON pointer"
        for key, place in (("echo", handshake.echo), ("secret", handshake.secret))
        if place and not is_place(place)
    ]
    if not handshake.when and not handshake.echo:
        faults.append("needs `when` or `echo`, or every request would be one")
    if handshake.hmac_name and not handshake.is_signed:
        faults.append("needs `is_signed = true` beside `hmac_name`, or it would sign for anyone")
    if handshake.reply == "header" and not handshake.name:
        faults.append("needs `name`: the header of the reply")
    return faults


def _is_condition(condition: str) -> bool:
    place, equals, _ = condition.partition("=")
    return bool(equals) and (place == "method" or is_place(place))


def _has(condition: str, request: RawRequest) -> bool:
    place, _, value = condition.partition("=")
    if place == "method":
        return request.method == value.upper()
    if value == "*":
        return find(place, request) is not MISSING
    return find_text(place, request) == value
