"""Queries of the event list: newest first, by cursor, and never a scan of the whole table."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from carboy.errors import UpstreamError
from carboy.jobs import first_id
from carboy.services.archive.tables import ITEMS

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from carboy.services.archive.object_reads import ObjectReads

_FIRST_WINDOW = 1_000  # rows that a view of a filtered list looks at first
_WINDOW = 20_000  # rows that one view of a filtered list looks at
_SEARCHED = 300
_SEARCH_S = 2.0
_LAST = "\U0010ffff"

_COLUMNS = (
    ITEMS.c.id, ITEMS.c.source, ITEMS.c.item_id, ITEMS.c.event_type, ITEMS.c.at, ITEMS.c.received_at, ITEMS.c.state,
    ITEMS.c.detail, ITEMS.c.severity, ITEMS.c.content_type, ITEMS.c.version, ITEMS.c.newest, ITEMS.c.object_key,
    ITEMS.c.size,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are listed; empty fields take all. Times are those of reception, milliseconds since the epoch."""

    source: str = ""
    type: str = ""
    state: str = ""
    severity: str = ""
    prefix: str = ""
    start_ms: int | None = None
    end_ms: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether every row between the times is listed."""
        return not (self.source or self.type or self.state or self.severity)


@dataclass(frozen=True, slots=True)
class EventPage:
    """Rows, the newest first; `next` is the id before which the next page begins, None at the end.

    Attributes:
        is_cut: whether the search stopped at its bound before it had a whole page.
    """

    rows: Sequence[Any]
    next: int | None
    is_cut: bool = False


def find_events(engine: "Engine", chosen: EventFilter, sources: Sequence[str], before: int | None, limit: int) -> Any:
    """Return a page of events before an id; its cost does not grow with the table.

    The names of all sources are for a search by the beginning of an id.
    """
    if chosen.prefix:
        return _by_prefix(engine, chosen, sources, before, limit)
    bounds = _bounds(chosen, before)
    query = select(*_COLUMNS).where(*bounds).order_by(ITEMS.c.id.desc())
    rows: Sequence[Any] = ()
    if chosen.is_plain:
        with engine.connect() as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
        return EventPage(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)
    edge = select(ITEMS.c.id).where(*bounds).order_by(ITEMS.c.id.desc()).offset(_WINDOW - 1).limit(1)
    with engine.connect() as connection:
        for size in (_FIRST_WINDOW, _WINDOW):
            window = query.limit(size).subquery()
            wanted = select(window).where(*_conditions(window.c, chosen)).order_by(window.c.id.desc()).limit(limit + 1)
            rows = connection.execute(wanted).all()
            if len(rows) > limit:
                break
        last = None if len(rows) > limit else connection.execute(edge).scalar()
    if len(rows) > limit:
        return EventPage(rows[:limit], rows[limit - 1].id)
    return EventPage(rows, last, is_cut=last is not None)


def _bounds(chosen: EventFilter, before: int | None) -> list[Any]:
    found: list[Any] = []
    if chosen.start_ms is not None:
        found.append(ITEMS.c.id >= first_id(chosen.start_ms))
    ends = [one for one in (before, None if chosen.end_ms is None else first_id(chosen.end_ms)) if one is not None]
    if ends:
        found.append(ITEMS.c.id < min(ends))
    return found


def _conditions(columns: Any, chosen: EventFilter) -> list[Any]:
    pairs = (
        (columns.source, chosen.source), (columns.event_type, chosen.type), (columns.state, chosen.state),
        (columns.severity, chosen.severity),
    )  # fmt: skip
    return [column == wanted for column, wanted in pairs if wanted]


def _by_prefix(
    engine: "Engine", chosen: EventFilter, sources: Sequence[str], before: int | None, limit: int
) -> EventPage:
    names = [chosen.source] if chosen.source else sources
    found: list[Any] = []
    with engine.connect() as connection:
        for name in names:
            query = (
                select(*_COLUMNS)
                .where(
                    ITEMS.c.source == name, ITEMS.c.item_id >= chosen.prefix, ITEMS.c.item_id < chosen.prefix + _LAST
                )
                .where(*_bounds(chosen, before), *_conditions(ITEMS.c, chosen))
                .order_by(ITEMS.c.item_id)
                .limit(_SEARCHED)
            )
            found += connection.execute(query).all()
    found.sort(key=lambda row: -row.id)
    return EventPage(found[:limit], found[limit - 1].id if len(found) > limit else None)


def read_body(objects: "ObjectReads", engine: "Engine", row: Any) -> bytes | None:
    """Return the bytes of an event as its sender sent them; None where they cannot be read."""
    with engine.connect() as connection:
        kept = connection.execute(select(ITEMS.c.body).where(ITEMS.c.id == row.id)).scalar()
    if kept is not None:
        return bytes(kept)
    try:
        return objects.get(row.object_key)
    except UpstreamError:
        return None


def has_text(objects: "ObjectReads", engine: "Engine", row: Any, text: str) -> bool:
    """Return whether the bytes of an event hold a text."""
    return text.encode("utf-8", "replace") in (read_body(objects, engine, row) or b"")


def search_bodies(
    objects: "ObjectReads", engine: "Engine", rows: Sequence[Any], text: str, within_s: float = _SEARCH_S
) -> tuple[list[Any], int | None]:
    """Return the rows whose bytes hold a text, and the id of the last row that was read, where time ran out then.

    One row is read at least, so that a search which goes on from there comes to an end.
    """
    deadline_s = time.monotonic() + within_s
    found: list[Any] = []
    for place, row in enumerate(rows, 1):
        if has_text(objects, engine, row, text):
            found.append(row)
        if place < len(rows) and time.monotonic() > deadline_s:
            return found, int(row.id)
    return found, None


def export_events(engine: "Engine", chosen: EventFilter, sources: Sequence[str], most: int) -> Iterator[Any]:
    """Yield the rows of a filter, the newest first, at most `most`, a page in memory at a time."""
    before, count = None, 0
    while count < most:
        page = find_events(engine, chosen, sources, before, 1000)
        yield from page.rows
        count += len(page.rows)
        if page.next is None:
            return
        before = page.next


def count_events(engine: "Engine", start_ms: int, end_ms: int) -> dict[str, int]:
    """Return how many events were received in a time range: `received`, `archived`, `open`, and `source:<name>`."""
    query = (
        select(ITEMS.c.source, ITEMS.c.state, func.count())
        .where(ITEMS.c.id >= first_id(start_ms), ITEMS.c.id < first_id(end_ms))
        .group_by(ITEMS.c.source, ITEMS.c.state)
    )
    found = {"received": 0, "archived": 0, "open": 0}
    with engine.connect() as connection:
        for source, state, count in connection.execute(query):
            found["received"] += count
            found["archived" if state == "archived" else "open"] += count
            found[f"source:{source}"] = found.get(f"source:{source}", 0) + count
    return found
