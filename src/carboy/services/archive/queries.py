"""Read archived things back: from the object store, or from the index while they wait."""

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from carboy.errors import Fault, InvalidInput, Missing
from carboy.http_values import parse_cursor, render_cursor, render_time
from carboy.services.archive.items import Item
from carboy.services.archive.object_keys import parse_key
from carboy.services.archive.objects import Store
from carboy.services.archive.sources import THREATSTACK

if TYPE_CHECKING:
    from carboy.services.archive.index import Index

__all__ = ["Reader", "TimeRange", "read_all", "read_cursor"]

_PAGE = 500


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A range of time and what else is asked of the items in it."""

    source: str
    start_ms: int
    end_ms: int
    severity: str | None = None
    organization_id: str | None = None
    origin: str | None = None


class Reader:
    """Finds items in the index and reads their bytes.

    Args:
        index: where they are found.
        store: where their bytes are.
        parallel: objects read at the same time for one answer.
    """

    def __init__(self, index: "Index", store: Store, parallel: int) -> None:
        self._index, self._store = index, store
        self._pool = ThreadPoolExecutor(max(1, parallel), thread_name_prefix="archive-read")

    def one(self, source: str, item_id: str) -> tuple[Item, bytes]:
        """Return the newest version of an id and its bytes: of an alert the full one where it was fetched.

        Raises:
            Missing: it was never accepted.
        """
        item = self._index.newest(source, item_id)
        if item is None:
            raise Missing(f"`{item_id}`", "nothing of that id was ever accepted", "check the id and its source")
        return item, self._bytes(item)

    def check_cursor(self, cursor: str) -> None:
        """Refuse a cursor that is none of ours; `InvalidInput`."""
        read_cursor(cursor)

    def page(self, span: TimeRange, limit: int, cursor: str | None) -> tuple[list[bytes], str | None]:
        """Return the JSON of the items of a span, oldest first, and the cursor of the next page."""
        page = self._index.between(
            span.source,
            span.start_ms,
            span.end_ms,
            limit=limit,
            after=read_cursor(cursor) if cursor else None,
            severity=span.severity,
            organization_id=span.organization_id,
            origin=span.origin,
        )
        return self._rendered(page.items), render_cursor(*page.next) if page.next else None

    def _rendered(self, items: Sequence[Item]) -> list[bytes]:
        bodies: Iterable[bytes] = map(self._bytes, items) if len(items) < 2 else self._pool.map(self._bytes, items)
        return [render(item, body) for item, body in zip(items, bodies, strict=True)]

    def _bytes(self, item: Item) -> bytes:
        if item.detail == "kept" and item.detail_key:
            return self._store.get(item.detail_key)
        if item.state == "accepted" and item.body is not None:
            return item.body
        return self._store.get(item.object_key)


def read_all(
    page: Callable[[TimeRange, int, str | None], tuple[list[bytes], str | None]],
    span: TimeRange,
    cursor: str | None = None,
) -> Iterator[bytes]:
    """Yield the JSON of all items of a span, oldest first, a page in memory at a time.

    Args:
        page: as `Reader.page`.
        span: what is asked for.
        cursor: where to begin; None for the start.
    """
    is_more = True
    while is_more:
        rendered, cursor = page(span, _PAGE, cursor)
        yield from rendered
        is_more = cursor is not None


def render(item: Item, body: bytes) -> bytes:
    """Return an item as JSON: JSON as it came, anything else in an object that holds its bytes."""
    if item.source == THREATSTACK or is_json(body):
        return body.strip()
    return orjson.dumps({**facts(item), "body_base64": base64.b64encode(body).decode()})


def facts(item: Item) -> dict[str, Any]:
    """Return what is known of a webhook beside its bytes."""
    key = parse_key(item.object_key)
    return {
        "id": key.id if key else item.item_id,
        "source": item.source,
        "time": render_time(item.at_ms),
        "received_at": render_time(item.received_at_ms),
        "content_type": item.content_type,
        "headers": orjson.loads(item.headers) if item.headers else {},
    }


def is_json(body: bytes) -> bool:
    """Return whether bytes are a JSON document."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


def read_cursor(text: str) -> tuple[int, int]:
    """Return the time and the row that a page's `next` stands for.

    Raises:
        InvalidInput: it is not the `next` of an earlier answer.
    """
    try:
        at_ms, row = parse_cursor(text, 2)
    except ValueError as error:
        raise InvalidInput("`cursor` cannot be used", str(error), "", [Fault("cursor", str(error))]) from error
    return at_ms, row
