"""The rows of the index: what was accepted, under which key it lies, how it is found again.

The functions that write take a connection and the items of many callers, as `carboy.db.GroupCommit` passes them.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, null, select, tuple_, update

from carboy.db import chunks, insert_rows, locks_in_order, placeholders
from carboy.jobs import accepted_ms, new_id, put, row_of
from carboy.services.archive.items import Accepted, Archived, Gathered, Item, NewItem, Page, Submission, TimeRange
from carboy.services.archive.object_keys import stored_id, version_key
from carboy.services.archive.sources import THREATSTACK
from carboy.services.archive.tables import ITEMS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Select

_MAX_PARAMETERS = 1000  # of one statement; databases differ in how many more they take


def accept(connection: "Connection", submissions: Sequence[Submission]) -> list[Accepted]:
    """Add what is new of each submission, with its jobs, and say what was known."""
    known = _known(connection, submissions)
    items: list[dict[str, Any]] = []
    jobs: list[dict[str, Any]] = []
    deliveries: Gathered | None = None
    older: set[tuple[str, str]] = set()
    answers = []
    for one in submissions:
        rows, fresh = [], []
        for item in one.items:
            versions = known.setdefault((item.source, item.item_id), {})
            row = _duplicate(versions, item, one.now_ms)
            fresh.append(row is None)
            if row is None:
                row = new_id(one.now_ms)
                is_newest = one.job is not None or row > max(versions.values(), default=0)  # or imported
                versions[item.digest] = row
                if len(versions) > 1 and is_newest:
                    older.add((item.source, item.item_id))
                    for earlier in items:
                        if (earlier["source"], earlier["item_id"]) == (item.source, item.item_id):
                            earlier["newest"] = False
                items.append(_row(item, row, one.now_ms, version=len(versions) - 1, is_newest=is_newest))
                if one.gather is not None:
                    deliveries = deliveries or one.gather()
                    deliveries.add(one, item, row)
                if one.job is not None:
                    jobs.append(row_of(one.job, (row,), now_ms=one.now_ms, request_id=one.request_id))
            rows.append(row)
        answers.append(Accepted(tuple(rows), tuple(fresh)))
    if older:
        pairs = tuple_(ITEMS.c.source, ITEMS.c.item_id).in_(sorted(older))
        connection.execute(update(ITEMS).where(pairs).values(newest=False))
    if items:
        insert_rows(connection, ITEMS, sorted(items, key=_UNIQUE))
    if jobs:
        put(connection, jobs)
    if deliveries is not None:
        deliveries.write(connection)
    return answers


_UNIQUE = itemgetter("source", "item_id", "version")
locks_in_order(accept, lambda one: one.gather is not None)  # of destinations


def _duplicate(versions: dict[bytes, int], item: NewItem, now_ms: int) -> int | None:
    """Return the row of the same content, unless it is older than the source's window for duplicates."""
    row = versions.get(item.digest)
    if row is None or not item.duplicates_ms or now_ms - accepted_ms(row) < item.duplicates_ms:
        return row
    versions[item.digest + row.to_bytes(8)] = versions.pop(item.digest)  # it still counts as a version
    return None


def mark(connection: "Connection", changes: Sequence[Archived]) -> list[None]:
    """Write what became of items; an archived one no longer needs its body here."""
    for state, values in _MARKS.items():
        rows = [
            {
                "b_id": one.row,
                "b_object_key": one.object_key,
                "b_detail": one.detail,
                "b_detail_key": one.detail_key,
                "b_detail_sha256": one.detail_sha256,
            }
            for one in changes
            if one.state == state
        ]
        if rows:
            connection.execute(values, rows)
    return [None] * len(changes)


_CHANGE = (
    update(ITEMS)
    .where(ITEMS.c.id == bindparam("b_id"))
    .values(
        object_key=bindparam("b_object_key"),
        detail=bindparam("b_detail"),
        detail_key=bindparam("b_detail_key"),
        detail_sha256=bindparam("b_detail_sha256"),
    )
)
_MARKS = {
    "archived": _CHANGE.values(state="archived", body=None),
    "copied": _CHANGE.where(ITEMS.c.state == "accepted").values(state="copied"),  # another may have done all of it
}


class Index:
    """Finds items again."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def row(self, row: int) -> Item | None:
        """Return the item of a row; None if the row does not exist."""
        return self._one(_BY_ROW, {"b_id": row})

    def rows(self, rows: Sequence[int]) -> list[Item]:
        """Return the items of rows, in no order; those that there are."""
        return self._all(_SELECT.where(ITEMS.c.id.in_(rows)))

    def rows_of(self, item_id: str, sources: Sequence[str]) -> list[int]:
        """Return the rows of all versions of an id, as its sender wrote it, in any of these sources."""
        found: list[int] = []
        with self._engine.connect() as connection:
            for source in sources:
                stored = item_id if source == THREATSTACK else stored_id(item_id)
                query = select(ITEMS.c.id).where(ITEMS.c.source == source, ITEMS.c.item_id == stored)
                found += connection.execute(query).scalars()
        return found

    def versions(self, source: str, item_id: str) -> list[Item]:
        """Return all versions of an id, in the order they were accepted."""
        return self._all(_SELECT.where(ITEMS.c.source == source, ITEMS.c.item_id == item_id).order_by(ITEMS.c.id))

    def newest(self, source: str, item_id: str) -> Item | None:
        """Return the newest version of an id; None where it was never accepted."""
        return self._one(
            _SELECT.where(ITEMS.c.source == source, ITEMS.c.item_id == item_id, ITEMS.c.newest.is_(True))
            .order_by(ITEMS.c.id.desc())
            .limit(1)
        )

    def last_received_ms(self, source: str) -> int | None:
        """Return when the newest event of a source was received, milliseconds since the epoch; None without one."""
        query = (
            select(ITEMS.c.received_at)
            .where(ITEMS.c.source == source, ITEMS.c.newest.is_(True))
            .order_by(ITEMS.c.at.desc(), ITEMS.c.id.desc())
            .limit(1)
        )
        with self._engine.connect() as connection:
            found: int | None = connection.execute(query).scalar()
        return found

    def between(
        self, span: TimeRange, *, limit: int, after: tuple[int, int] | None = None, is_newest: bool = True
    ) -> Page:
        """Return the newest versions in a time range that its filters take, oldest first.

        Args:
            span: its expression is left to the caller.
            limit: at most so many.
            after: the `next` of the page before this.
            is_newest: False for the versions that a newer one replaced.
        """
        query = _SELECT.where(ITEMS.c.source == span.source, ITEMS.c.newest.is_(is_newest), ITEMS.c.at < span.end_ms)
        if after is None:
            query = query.where(ITEMS.c.at >= span.start_ms)
        else:
            query = query.where(ITEMS.c.at >= after[0], (ITEMS.c.at > after[0]) | (ITEMS.c.id > after[1]))
        for column, wanted in (
            (ITEMS.c.severity, span.severity),
            (ITEMS.c.organization_id, span.organization_id),
            (ITEMS.c.origin, span.origin),
            (ITEMS.c.event_type, span.event_type),
            (func.substr(ITEMS.c.item_id, 1, len(span.id_prefix or "")), span.id_prefix),
        ):
            if wanted is not None:
                query = query.where(column == wanted)
        query = query.order_by(ITEMS.c.at, ITEMS.c.id).limit(limit + 1)
        items = self._all(query)
        last = items[limit - 1] if len(items) > limit else None
        return Page(items[:limit], (last.at_ms, last.id) if last else None)

    def count_by_type(self, source: str, start_ms: int, end_ms: int) -> dict[str, int]:
        """Return how many newest versions with `start_ms <= at < end_ms` there are of each type; empty for none."""
        is_chosen = (ITEMS.c.source == source, ITEMS.c.newest.is_(True), ITEMS.c.at >= start_ms, ITEMS.c.at < end_ms)
        query = select(ITEMS.c.event_type, func.count()).where(*is_chosen).group_by(ITEMS.c.event_type)
        with self._engine.connect() as connection:
            return {event_type or "": count for event_type, count in connection.execute(query)}

    def unfinished(self, rows: Sequence[int]) -> int:
        """Return how many of these rows are not archived yet."""
        query = select(ITEMS.c.id).where(ITEMS.c.id.in_(rows), ITEMS.c.state != "archived")
        with self._engine.connect() as connection:
            return len(connection.execute(query).all())

    def all_archived(self, *, after: int = 0, limit: int = 1000) -> list[Item]:
        """Return archived items in the order they were accepted, those with a greater row id than `after`."""
        return self._all(
            _SELECT.where(ITEMS.c.id > after, ITEMS.c.state == "archived").order_by(ITEMS.c.id).limit(limit)
        )

    def _all(self, query: "Select[Any]") -> list[Item]:
        with self._engine.connect() as connection:
            return [Item(*row) for row in connection.execute(query)]

    def _one(self, query: Any, parameters: Mapping[str, Any] | None = None) -> Item | None:
        with self._engine.connect() as connection:
            row = connection.execute(query, parameters).first()
        return None if row is None else Item(*row)


_KEY_COLUMNS = ("id", "source", "item_id", "sha256", "at", "received_at", "state", "detail", "object_key", "detail_key")
_COLUMNS = [ITEMS.c[name] for name in (*_KEY_COLUMNS, "detail_sha256", "content_type")]
_SELECT: "Select[Any]" = select(*_COLUMNS, ITEMS.c.headers, ITEMS.c.body, ITEMS.c.event_type)
_BY_ROW = _SELECT.where(ITEMS.c.id == bindparam("b_id"))  # made once, as every job needs it
SELECT_FACTS: "Select[Any]" = select(*_COLUMNS, null(), null(), ITEMS.c.event_type)
"""The columns of an `Item`, without its headers and body."""


def _known(connection: "Connection", submissions: Sequence[Submission]) -> dict[tuple[str, str], dict[bytes, int]]:
    """Return the row of each digest that is kept of what is submitted, by source and id."""
    wanted: dict[str, dict[str, None]] = {}
    for one in submissions:
        for item in one.items:
            wanted.setdefault(item.source, {})[item.item_id] = None
    found: dict[tuple[str, str], dict[bytes, int]] = {}
    for source, ids in wanted.items():
        for some in chunks(list(ids), _MAX_PARAMETERS):
            marks = placeholders(connection, len(some) + 1).partition(", ")
            query = f"{_VERSIONS} source = {marks[0]} AND item_id IN ({marks[2]})"
            for item_id, digest, row in connection.exec_driver_sql(query, (source, *some)):
                versions = found.setdefault((source, item_id), {})
                newest = max(row, versions.get(bytes(digest), row))
                if bytes(digest) in versions:  # the same content, kept again after the window for duplicates
                    older = min(row, versions[bytes(digest)])
                    versions[bytes(digest) + older.to_bytes(8)] = older
                versions[bytes(digest)] = newest
    return found


_VERSIONS = "SELECT item_id, digest, id FROM archive_items WHERE"


def _row(item: NewItem, row: int, now_ms: int, *, version: int, is_newest: bool) -> dict[str, Any]:
    content = item.sha256 if item.body else item.digest  # events without a body differ in their headers
    return {
        "id": row,
        "source": item.source,
        "item_id": item.item_id,
        "digest": item.digest,
        "sha256": item.sha256,
        "at": item.at_ms,
        "received_at": now_ms,
        "version": version,
        "newest": is_newest,
        "state": "accepted",
        "detail": item.detail,
        "object_key": version_key(item.object_key, content.hex()) if version else item.object_key,
        "content_type": item.content_type,
        "headers": item.headers,
        "body": item.body,
        "severity": item.severity,
        "organization_id": item.organization_id,
        "origin": item.origin,
        "event_type": item.type,
        "size": len(item.body),
    }
