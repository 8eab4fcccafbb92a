"""What is kept, as values: on its way in, in the index, and on its way out.

They are apart from the index, as an archive without a database does without SQLAlchemy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from carboy.jobs import Job

__all__ = ["Accepted", "Archived", "Item", "NewItem", "Page", "Submission"]


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


@dataclass(frozen=True, slots=True)
class Submission:
    """What one request brought; it is kept whole or not at all.

    Attributes:
        items: what to keep.
        job: what is to be done with each, given the row's id; None where nothing is.
        now_ms: when it arrived.
        request_id: of the request that brought it.
    """

    items: Sequence[NewItem]
    job: Job[...] | None
    now_ms: int
    request_id: str


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


@dataclass(frozen=True, slots=True)
class Page:
    """Items in the order of time, and where the next page begins; None at the end."""

    items: list[Item]
    next: tuple[int, int] | None
