"""What is kept, as values: on its way in, in the index, and on its way out.

They are apart from the index, as an archive without a database does without SQLAlchemy.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, unquote

import orjson

from carboy.jobs import Job
from carboy.services.archive.object_keys import MAX_CREATED_AT_MS, parse_key

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class NewItem:
    """Something to keep; see `tables.ITEMS` for what the fields mean."""

    source: str
    item_id: str
    digest: bytes
    sha256: bytes
    at_ms: int
    object_key: str
    content_type: str
    body: bytes
    detail: str = "off"
    headers: bytes | None = None
    severity: str | None = None
    organization_id: str | None = None
    origin: str | None = None
    type: str | None = None
    duplicates_ms: int = 0  # how long the same content under the same id is a duplicate; 0 means without limit


class Gathered(Protocol):
    """The deliveries of a transaction."""

    def add(self, submission: "Submission", item: NewItem, row: int) -> None:
        """Add the deliveries of an item that is new."""
        ...

    def write(self, connection: "Connection") -> None:
        """Write them, in the transaction that keeps the items."""
        ...


@dataclass(frozen=True, slots=True)
class Submission:
    """What one request brought; it is kept whole or not at all.

    Attributes:
        items: what to keep.
        job: what is to be done with each, given the row's id; None for imported items, which are archived already and
            of several versions count by when they were received.
        now_ms: when it arrived.
        request_id: of the request that brought it.
        gather: begins to gather the deliveries of what is new of it; None where there are no destinations.
    """

    items: Sequence[NewItem]
    job: Job[...] | None
    now_ms: int
    request_id: str
    gather: Callable[[], Gathered] | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a submission: for each item its row, and whether it had been kept before."""

    rows: tuple[int, ...]
    is_new: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Archived:
    """What became of an item: `state` is `copied` or `archived`."""

    row: int
    state: str
    object_key: str
    detail: str
    detail_key: str | None = None
    detail_sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A row of the index as it is read."""

    id: int
    source: str
    item_id: str
    sha256: bytes
    at_ms: int
    received_at_ms: int
    state: str
    detail: str
    object_key: str
    detail_key: str | None
    detail_sha256: bytes | None
    content_type: str
    headers: bytes | None
    body: bytes | None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A range of an item's own time, `start_ms <= at < end_ms`, and filters of the items in it; None takes all.

    Attributes:
        origin: an alert's own `source`.
        id_prefix: the beginning of the id as it is stored.
        filter: an expression over the event; empty for all.
    """

    source: str
    start_ms: int
    end_ms: int
    severity: str | None = None
    organization_id: str | None = None
    origin: str | None = None
    event_type: str | None = None
    id_prefix: str | None = None
    filter: str = ""


def event_id(item: Item | NewItem) -> str:
    """Return the id of an item as its sender wrote it."""
    if "=" not in item.item_id:  # nothing in it had to be escaped for its key
        return item.item_id
    key = parse_key(item.object_key)
    return key.id if key else item.item_id


def render_body(body: bytes) -> dict[str, str]:
    """Return bytes as a member of a queue's message: `text`, or `base64` for what is not UTF-8."""
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def parse_body(message: Mapping[str, Any]) -> bytes:
    """Return the bytes in a message that `render_body` made."""
    return message["text"].encode() if "text" in message else base64.b64decode(message["base64"])


def metadata_of(item: NewItem | Item, received_at_ms: int) -> dict[str, str]:
    """Return the metadata of an item's object, by which other tools know it and `carboy archive import` finds it again.

    `id` and `source`; `time` and `received`, milliseconds since the epoch; of an empty body the event's `digest`;
    `headers`, a JSON object, where there is room (S3 takes 2 KB of metadata in all). Values are percent-encoded.
    """
    found = {
        "id": event_id(item),
        "source": item.source,
        "time": str(item.at_ms),
        "received": str(received_at_ms),
    }
    if isinstance(item, NewItem) and not item.body:
        found["digest"] = item.digest.hex()  # of the headers, which may have no room
    quoted = {name: quote(value, safe=_SAFE, errors="surrogatepass") for name, value in found.items()}
    headers = quote(item.headers, safe=_SAFE) if item.headers else ""
    room = _MAX_METADATA - sum(len(name) + len(value) for name, value in quoted.items())
    return {**quoted, **({"headers": headers} if 0 < len(headers) < room else {})}


def headers_of(metadata: Mapping[str, str]) -> bytes | None:
    """Return the kept headers in an object's metadata, a JSON object; None without any."""
    text = unquote(metadata.get("headers", ""))
    try:
        return text.encode() if isinstance(orjson.loads(text), dict) else None
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None


def time_of(metadata: Mapping[str, str], name: str) -> int | None:
    """Return a time in an object's metadata, milliseconds since the epoch; None without one."""
    text = metadata.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) <= MAX_CREATED_AT_MS else None


_SAFE = " !#$&'()*+,-./:;<=>?@[]^_`{|}~\""
_MAX_METADATA = 1800


@dataclass(frozen=True, slots=True)
class Page:
    """Items in the order of time, and where the next page begins; None at the end."""

    items: list[Item]
    next: tuple[int, int] | None
