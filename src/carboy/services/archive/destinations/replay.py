"""Replay a range of time: a new delivery for each archived event of it, or each archived again.

A job adds a batch of 500 and, in the same transaction, the job of the next: killed at any moment it neither leaves one
out nor adds one twice.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from carboy.clock import Clock
from carboy.db import insert_rows, one_by_one
from carboy.errors import Missing
from carboy.jobs import Commit, Job, put, row_of
from carboy.services.archive.destinations.config import Destination
from carboy.services.archive.destinations.events import Event, event_of
from carboy.services.archive.destinations.expressions import compile_expression, is_match
from carboy.services.archive.destinations.rows import by_destination, delivery_row, schedule
from carboy.services.archive.destinations.tables import DELIVERIES
from carboy.services.archive.items import Item, TimeRange
from carboy.services.archive.objects import Store

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from carboy.db import GroupCommit
    from carboy.services.archive.index import Index

_PAGE = 500
_READERS = 8


@dataclass(frozen=True, slots=True)
class Range:
    """Which events: their own time from `start_ms` and before `end_ms`, of these sources, matching an expression."""

    sources: tuple[str, ...]
    start_ms: int
    end_ms: int
    filter: str = ""


@dataclass(frozen=True, slots=True)
class _Batch:
    rows: Sequence[dict[str, Any]]
    jobs: Sequence[dict[str, Any]]
    destination: str
    deliver: Job[[str]]
    now_ms: int


def read_bytes(store: Store, item: Item) -> bytes:
    """Return the bytes of an item as they came.

    Raises:
        Missing: its object no longer exists.
        UpstreamError: the store does not answer.
    """
    return item.body if item.body is not None else store.get(item.object_key)


class Replayer:
    """Replays ranges.

    Args:
        archive_again: the job that archives the item of a row again.
        deliver: the job that delivers to one destination.
    """

    def __init__(
        self,
        destinations: Callable[[], Mapping[str, Destination]],
        index: "Index",
        store: Store,
        writer: "GroupCommit",
        clock: Clock,
        *,
        archive_again: Job[[int]],
        deliver: Job[[str]],
    ) -> None:
        self._destinations, self._index, self._store = destinations, index, store
        self._writer, self._clock = writer, clock
        self._archive_again, self._deliver = archive_again, deliver
        self.job: Job[[str, str, int, int, str, int, int]] = Job(
            "archive.replay_range", self.run, attempts=100, timeout_s=600.0, priority=6
        )

    def count(self, chosen: Range, destination: Destination | None) -> int:
        """Return how many events a replay would have."""
        if _needs_content(chosen.filter, destination):
            return sum(1 for _ in select_items(self._index, self._store, chosen, destination))
        return sum(
            count
            for source in chosen.sources
            for event_type, count in self._index.count_by_type(source, chosen.start_ms, chosen.end_ms).items()
            if destination is None or destination.takes(source, event_type)
        )

    def start(self, chosen: Range, destination: Destination | None) -> None:
        """Queue a replay: to a destination, or with None to the archive itself."""
        now_ms, name = self._clock.now_ms(), destination.name if destination else ""
        rows = [
            row_of(self.job, (name, source, chosen.start_ms, chosen.end_ms, chosen.filter, -1, 0), now_ms=now_ms)
            for source in chosen.sources
        ]
        self._writer.run(_put, rows)

    def run(
        self, name: str, source: str, start_ms: int, end_ms: int, filter_: str, at_ms: int, row: int
    ) -> Commit | None:
        """Replay a batch of one source, from behind a time and a row of the index."""
        destination = self._destinations().get(name)
        if name and destination is None:
            return None
        after = None if at_ms < 0 else (at_ms, row)
        page = self._index.between(TimeRange(source, start_ms, end_ms), limit=_PAGE, after=after)
        chosen = list(_matching(self._store, page.items, filter_, destination))
        now_ms = self._clock.now_ms()
        jobs: list[dict[str, Any]] = []
        rows: list[dict[str, Any]] = []
        if destination is None:
            jobs += [row_of(self._archive_again, (item.id,), now_ms=now_ms) for item in chosen]
        else:
            rows += [delivery_row(name, item, item.id, now_ms) for item in chosen]
        if page.next:
            jobs.append(row_of(self.job, (name, source, start_ms, end_ms, filter_, *page.next), now_ms=now_ms))
        return Commit(_add, _Batch(rows, jobs, name, self._deliver, now_ms))


def select_items(
    index: "Index",
    store: Store,
    chosen: Range,
    destination: Destination | None = None,
    *,
    every_version: bool = False,
) -> Iterator[Item]:
    """Yield the items of a range that match and that the destination, if given, wants; oldest first by source.

    With `every_version` also versions that a newer one replaced, after those of each source that none did.
    """
    for source, is_newest in product(chosen.sources, (True, False) if every_version else (True,)):
        span = TimeRange(source, chosen.start_ms, chosen.end_ms)
        after: tuple[int, int] | None = None
        is_more = True
        while is_more:
            page = index.between(span, limit=_PAGE, after=after, is_newest=is_newest)
            yield from _matching(store, page.items, chosen.filter, destination)
            after = page.next
            is_more = after is not None


def _needs_content(filter_: str, destination: Destination | None) -> bool:
    return bool(filter_) or (destination is not None and destination.reads_content)


def _matching(store: Store, items: Sequence[Item], filter_: str, destination: Destination | None) -> Iterator[Item]:
    if destination is not None:
        items = [item for item in items if destination.takes(item.source, item.type or "")]
    if not _needs_content(filter_, destination) or not items:
        yield from items
        return
    search = compile_expression(filter_) if filter_ else None

    def event(item: Item) -> Event | None:
        try:
            return event_of(item, item.received_at_ms, read_bytes(store, item))
        except Missing:  # a lifecycle rule took it
            return None

    with ThreadPoolExecutor(_READERS, thread_name_prefix="archive-replay") as pool:
        for item, found in zip(items, pool.map(event, items), strict=True):
            if found is None or (search is not None and not is_match(search, found.document)):
                continue
            if destination is None or destination.wants(found):
                yield item


_put = one_by_one(put)


@by_destination
def _add(connection: "Connection", one: _Batch) -> None:
    if one.rows:
        schedule(connection, one.deliver, [one.destination], one.now_ms)
        insert_rows(connection, DELIVERIES, one.rows)
    if one.jobs:
        put(connection, one.jobs)
