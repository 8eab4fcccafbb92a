"""Templates of what senders sign, split once into texts and the places that fill them."""

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

from carboy.raw_request import RawRequest
from carboy.webhooks.places import find_text, required_text
from carboy.webhooks.verification import public_address, text_bytes

PLACEHOLDERS = re.compile(
    r"\{(timestamp|url|method|path|id|body|body_sha256|body_sha256_hex|(?:header|query|form|field):[^{}]+|json:/[^{}]*)\}"
)
"""What a template may hold; `header:`, `query:`, `form:` and `field:` are followed by a name, `json:` by a pointer."""


class Template:
    """What a sender signs, as texts and placeholders in turn.

    Attributes:
        names: the placeholders, in their order.
    """

    def __init__(self, text: str) -> None:
        parts = PLACEHOLDERS.split(text)
        self.names: Sequence[str] = parts[1::2]
        self._is_body = text == "{body}"
        self._parts = [(at % 2 == 1, part, part.encode()) for at, part in enumerate(parts) if part]

    def fill(
        self,
        request: RawRequest,
        timestamp: str,
        fields: Sequence[tuple[str, str]] = (),
        id_place: str = "",
        public_url: str = "",
    ) -> bytes:
        """Return the bytes that are signed.

        Args:
            request: what came.
            timestamp: as the request has it.
            fields: the named parts of the signature's header.
            id_place: where `{id}` stands.
            public_url: see `public_address`.

        Raises:
            Unverified: there is no id.
        """
        if self._is_body:
            return request.body
        filled = []
        for is_place, name, data in self._parts:
            if not is_place:
                filled.append(data)
            elif name == "body":
                filled.append(request.body)
            elif name == "timestamp":
                filled.append(timestamp.encode())
            elif name == "body_sha256":
                filled.append(hashlib.sha256(request.body).digest())
            else:
                filled.append(text_bytes(_find(name, request, fields, id_place, public_url)))
        return b"".join(filled)


@lru_cache(maxsize=256)
def parse_template(text: str) -> Template:
    """Return the template of a text; the same one each time."""
    return Template(text)


def _find(name: str, request: RawRequest, fields: Sequence[tuple[str, str]], id_place: str, public_url: str) -> str:
    """Return what a placeholder stands for, other than the body and the time."""
    match name.partition(":"):
        case "url", _, _:
            return public_address(request, public_url)
        case "path", _, _:
            return request.target
        case "method", _, _:
            return request.method
        case "body_sha256_hex", _, _:
            return hashlib.sha256(request.body).hexdigest()
        case "id", _, _:
            return required_text(id_place, request)
        case "field", _, field:
            return next((value for one, value in fields if one == field), "")
        case "header", _, header:
            return request.headers.get(header.strip().lower(), "")
        case "json", _, pointer:
            return find_text(pointer, request)
        case _:
            return find_text(name, request)
