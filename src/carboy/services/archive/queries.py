"""Read archived items back: from the object store, or from the index while they wait."""

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from carboy.errors import Fault, InvalidInput, Missing, UpstreamError
from carboy.http_values import parse_cursor, render_cursor, render_time
from carboy.logs import BoundLogger, get_logger
from carboy.services.archive.destinations.events import event_of
from carboy.services.archive.destinations.expressions import compile_expression, is_match
from carboy.services.archive.items import Item, TimeRange, event_id
from carboy.services.archive.object_reads import ObjectReads, Result
from carboy.services.archive.objects import ObjectMissing, ObjectUnavailable
from carboy.services.archive.sources import THREATSTACK

if TYPE_CHECKING:
    from carboy.services.archive.index import Index

log: BoundLogger = get_logger("carboy.archive")

_PAGE = 500
_FILTERED_PAGES = 20


class Expired(Missing):
    """An item's object was removed: by a lifecycle rule of the bucket, or by a person.

    Attributes:
        item: what the index still knows of it.
    """

    def __init__(self, error: Missing, item: Item) -> None:
        super().__init__(error.what, error.why, error.hint)
        self.item = item


@dataclass(frozen=True, slots=True)
class Reading:
    """An item as it is read back.

    Attributes:
        item: what is known of it.
        body: its bytes; None where they cannot be read.
        reason: why they cannot be read.
        is_expired: a lifecycle rule of the bucket, or a person, has removed the object.
    """

    item: Item
    body: bytes | None
    reason: str = ""
    is_expired: bool = False

    @property
    def document(self) -> bytes:
        """The item as JSON: as received; an object with its facts and `body_base64`, or `unreadable`, otherwise."""
        if self.body is None:
            created = {"created_at": self.item.at_ms} if self.item.source == THREATSTACK else {}
            expired = {"expired": True} if self.is_expired else {}
            return orjson.dumps({**facts(self.item), **created, "unreadable": self.reason, **expired})
        if self._is_json:
            return self.body.strip()
        return orjson.dumps({**facts(self.item), "body_base64": base64.b64encode(self.body).decode()})

    @property
    def line(self) -> bytes:
        """The item as one line of JSON: an alert as received; any other webhook with its facts and its `body`."""
        if self.item.source != THREATSTACK and self.body is not None and self._is_json:
            return orjson.dumps({**facts(self.item), "body": orjson.loads(self.body)})
        document = self.document
        return document if b"\n" not in document else orjson.dumps(orjson.loads(document))

    @property
    def _is_json(self) -> bool:
        return self.body is not None and (self.item.source == THREATSTACK or is_json(self.body))


Page = tuple[Sequence[Reading], str | None]
"""The items of a page, oldest first, and the cursor of the next page."""


class Reader:
    """Finds items in the index and reads their bytes from the object store."""

    def __init__(self, index: "Index", objects: ObjectReads) -> None:
        self._index, self._objects = index, objects

    def one(self, source: str, item_id: str) -> tuple[Item, bytes]:
        """Return the newest version of an id and its bytes: of an alert the full one where it was fetched.

        Raises:
            Missing: it was never accepted.
            Expired: its object was removed since.
            ObjectUnavailable: its object cannot be read while others can.
        """
        item = self._index.newest(source, item_id)
        if item is None:
            raise Missing(f"`{item_id}`", "nothing of that id was ever accepted", "check the id and its source")
        [body] = self._bytes([item])
        if isinstance(body, ObjectMissing):
            raise Expired(body, item) from body
        if isinstance(body, UpstreamError):
            raise body
        return item, body

    def has(self, source: str) -> bool:
        """Return whether anything of a source was ever accepted."""
        return self._index.last_received_ms(source) is not None

    def check_cursor(self, cursor: str) -> None:
        """Raise `InvalidInput` for a cursor that no response of ours had."""
        read_cursor(cursor)

    def page(self, span: TimeRange, limit: int, cursor: str | None) -> Page:
        """Return the items of a time range, oldest first, and the cursor of the next page.

        With an expression that few items match a page may be short, or empty, and still have a next one.
        """
        if not span.filter:
            return self._page(span, limit, cursor)
        search = compile_expression(span.filter)
        found: list[Reading] = []
        for _ in range(_FILTERED_PAGES):
            page, cursor = self._page(span, max(1, limit - len(found)), cursor)
            found += [one for one in page if one.body is not None and is_match(search, _document(one.item, one.body))]
            if cursor is None or len(found) >= limit:
                break
        return found, cursor

    def _page(self, span: TimeRange, limit: int, cursor: str | None) -> Page:
        page = self._index.between(span, limit=limit, after=read_cursor(cursor) if cursor else None)
        found = _readings(page.items, self._bytes(page.items))
        return found, render_cursor(*page.next) if page.next else None

    def _bytes(self, items: Sequence[Item]) -> list[Result]:
        """Return the bytes of each item, or why they cannot be read; what waits in the index needs no store."""
        read = iter(self._objects.get_all([key for item in items if (key := _key_of(item))]))
        return [checked(item, next(read)) if _key_of(item) else item.body or b"" for item in items]


def _document(item: Item, body: bytes) -> dict[str, Any]:
    return event_of(item, item.received_at_ms, body).document


def _key_of(item: Item) -> str | None:
    """Return the key of the object to read; None where the bytes are in the index."""
    if item.detail == "kept" and item.detail_key:
        return item.detail_key
    return None if item.state == "accepted" and item.body is not None else item.object_key


def _readings(items: Sequence[Item], results: Sequence[Result]) -> list[Reading]:
    """Return the reading of each item; one that could not be read has the reason in its place.

    Raises:
        UpstreamError: nothing could be read, and not because of the objects: the store itself does not work.
    """
    errors = [one for one in results if isinstance(one, UpstreamError)]
    if len(errors) == len(results):
        for error in errors:
            if not isinstance(error, ObjectMissing | ObjectUnavailable):
                raise error
    for error in errors[:1]:  # one line for a page: the others are in the response
        log.warning("archive_unreadable", error=str(error), hint=error.hint, count=len(errors))
    return [
        Reading(item, None, one.why, isinstance(one, ObjectMissing))
        if isinstance(one, UpstreamError)
        else Reading(item, one)
        for item, one in zip(items, results, strict=True)
    ]


def checked(item: Item, body: Result) -> Result:
    """Return what was read; `ObjectUnavailable` for an alert that is not JSON: its object was changed or damaged."""
    if isinstance(body, bytes) and item.source == THREATSTACK and not is_json(body):
        return ObjectUnavailable(
            f"the alert `{item.item_id}` could not be read",
            f"its object `{item.detail_key or item.object_key}` is not the JSON that was archived",
            "see `carboy archive verify`",
        )
    return body


def read_all(
    page: Callable[[TimeRange, int, str | None], Page], span: TimeRange, cursor: str | None = None
) -> Iterator[Reading]:
    """Yield all items of a time range, oldest first, a page in memory at a time.

    Args:
        page: as `Reader.page`.
        span: what to read.
        cursor: where to begin; None for the start.
    """
    is_more = True
    while is_more:
        found, cursor = page(span, _PAGE, cursor)
        yield from found
        is_more = cursor is not None


def stream(
    page: Callable[[TimeRange, int, str | None], Page], span: TimeRange, cursor: str | None = None
) -> Iterator[bytes]:
    """Return the lines of all items of a time range; the first page is read before this returns.

    Where a later page cannot be read, the last line is an object with `success: false`, why, and as `next` the cursor
    from which to go on.

    Raises:
        UpstreamError: the first page could not be read.
    """
    found, following = page(span, _PAGE, cursor)

    def lines() -> Iterator[bytes]:
        readings, at = found, following
        while True:
            for one in readings:
                yield one.line + b"\n"
            if at is None:
                return
            try:
                readings, at = page(span, _PAGE, at)
            except Exception as error:  # noqa: BLE001 (the status is sent: a broken stream must not look complete)
                log.warning("archive_stream_broken", error=type(error).__name__, why=str(error))
                detail = "the list is not complete: a service that this one needs did not do its part"
                yield orjson.dumps({"success": False, "status": 503, "detail": detail, "next": at}) + b"\n"
                return

    return lines()


def facts(item: Item) -> dict[str, Any]:
    """Return what is known of a webhook beside its bytes: its id, times, content type and kept headers."""
    return {
        "id": event_id(item),
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
