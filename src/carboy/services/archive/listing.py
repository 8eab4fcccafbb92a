"""Read archived things back without an index: by listing the minutes, hours or days that are asked for.

Headers and exact times of other sources' webhooks are in the metadata of their objects; a folder has none, so that
there the time is the minute's. Such a webhook is found by its time alone.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby, takewhile
from typing import TypeVar, cast

from carboy.clock import Clock, from_unix_ms
from carboy.errors import CarboyError, Fault, InvalidInput, Missing, UpstreamError
from carboy.services.archive.alerts import Alert, parse_alerts
from carboy.services.archive.items import Item, TimeRange, headers_of, time_of
from carboy.services.archive.object_keys import WebhookKey, alert_key, parse_key
from carboy.services.archive.object_reads import ObjectReads
from carboy.services.archive.objects import Entry, ObjectMissing, ObjectUnavailable, Store, StoredObject
from carboy.services.archive.queries import Page, Reading, checked, is_json
from carboy.services.archive.sources import THREATSTACK

T = TypeVar("T")

_MINUTE_MS = 60_000
_AHEAD_MS = 366 * 24 * 60 * _MINUTE_MS  # nothing is looked for further in the future


@dataclass(frozen=True, slots=True)
class _Found:
    """An object that was read."""

    at_ms: int
    reading: Reading

    @property
    def place(self) -> tuple[int, str]:
        return self.at_ms, self.reading.item.object_key


class Listing:
    """Finds items by the keys of their objects.

    Args:
        objects: calls that store, and does not wait for one that does not answer.
        fetches: whether full alerts are fetched.
    """

    def __init__(self, store: Store, objects: ObjectReads, clock: Clock, *, fetches: bool) -> None:
        self._store, self._objects, self._clock, self._fetches = store, objects, clock, fetches

    def one(self, source: str, item_id: str) -> tuple[Item, bytes]:
        """Return the full alert of an id, its newest version.

        Raises:
            Missing: it was not fetched, or the source has none.
            ObjectUnavailable: its object cannot be read while others can.
        """
        if source != THREATSTACK:
            raise Missing(f"`{item_id}`", "without a database a webhook is found by its time alone", "give a range")
        return self._objects.run(partial(self._full_alert, item_id))

    def _full_alert(self, item_id: str) -> tuple[Item, bytes]:
        found = newest_detail(self._store, item_id)
        if found is None:
            why = "without a database an alert is found by its id once it was fetched in full; until then by its time"
            raise Missing(f"`{item_id}`", why, "give a range")
        item = _item(THREATSTACK, item_id, 0, 0, found[0], "kept")
        body = checked(item, found[1])
        if isinstance(body, UpstreamError):
            raise body
        return item, body

    def has(self, source: str) -> bool:
        """Return False: without an index only the settings say which sources there are."""
        return False

    def check_cursor(self, cursor: str) -> None:
        """Raise `InvalidInput` for a cursor that no response of ours had."""
        _parse_cursor(cursor)

    def page(self, span: TimeRange, limit: int, cursor: str | None) -> Page:
        """Return the items of a time range, oldest first, and the cursor of the next page."""
        for name, given in (("type", span.event_type), ("id", span.id_prefix), ("filter", span.filter)):
            if given:
                why = "without a database only times can be asked for"
                raise InvalidInput(f"`{name}` cannot be used", why, "", [Fault(name, why)])
        page: list[_Found] = []
        for found in self._found(span, cursor):
            if len(page) == limit:
                return self._rendered(page), _render_cursor(*page[-1].place)
            page.append(found)
        return self._rendered(page), None

    def _found(self, span: TimeRange, cursor: str | None) -> Iterator[_Found]:
        """Yield what lies in a span, behind a cursor, in the order of time; a minute in memory at a time."""
        after = _parse_cursor(cursor) if cursor else (-1, "")
        start_ms = max(span.start_ms, after[0], 0)
        end_ms = min(span.end_ms, self._clock.now_ms() + _AHEAD_MS)
        for _, minute in groupby(self._entries(span.source, start_ms, end_ms), key=lambda one: one[1].minute_ms):
            read = self._run_all([partial(self._read, span, *one) for one in _newest(minute)])
            found = [one for one in read if one is not None and one.place > after and _is_wanted(one, span)]
            yield from sorted(found, key=lambda one: one.place)

    def _entries(self, source: str, start_ms: int, end_ms: int) -> Iterator[tuple[Entry, WebhookKey]]:
        name = None if source == THREATSTACK else source
        root = "webhooks" if name is None else f"webhooks/{name}"
        for folder in plan_folders(start_ms, end_ms):
            for entry in self._objects.entries(f"{root}/{folder}"):
                key = parse_key(entry.key)
                if isinstance(key, WebhookKey) and key.source == name:
                    yield entry, key

    def _read(self, span: TimeRange, entry: Entry, key: WebhookKey) -> _Found | None:
        received_ms = entry.modified_at_ms
        item = _item(span.source, key.id, key.minute_ms, received_ms, entry.key, "off")
        try:
            found = self._store.read(entry.key)
        except (ObjectMissing, ObjectUnavailable) as error:
            return None if _is_filtered(span) else _Found(key.minute_ms, Reading(item, None, error.why))
        body = found.data
        if span.source != THREATSTACK:
            at_ms = exact_ms(found, key)
            item = replace(
                item,
                at_ms=at_ms,
                received_at_ms=time_of(found.metadata, "received") or received_ms,
                headers=headers_of(found.metadata),
                content_type=content_type_of(found),
            )
            return _Found(at_ms, Reading(item, body))
        alert = _alert(body)
        if alert is None:
            reason = "the object is not the JSON of an alert"
            return None if _is_filtered(span) else _Found(key.minute_ms, Reading(item, None, reason))
        if not _matches(alert, span):
            return None
        detail = "pending" if self._fetches else "off"
        return _Found(alert.created_at_ms, Reading(replace(item, at_ms=alert.created_at_ms, detail=detail), body))

    def _rendered(self, page: Iterable[_Found]) -> list[Reading]:
        return self._run_all([partial(self._with_detail, one) for one in page])

    def _run_all(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Return what calls to the store return; raise the first error of one."""
        results = self._objects.run_all(calls)
        for result in results:
            if isinstance(result, UpstreamError):
                raise result
        return cast("list[T]", results)

    def _with_detail(self, found: _Found) -> Reading:
        """Return the full alert in place of the webhook's copy, where it was fetched."""
        if found.reading.item.detail != "pending":
            return found.reading
        try:
            return Reading(*self._full_alert(found.reading.item.item_id))
        except (Missing, ObjectUnavailable):
            return found.reading


def newest_detail(store: Store, alert_id: str) -> tuple[str, bytes] | None:
    """Return the key and the bytes of the newest full alert of an id; None if it was never stored."""
    first = alert_key(alert_id)
    try:
        newest, body = first, store.get(first)
    except ObjectMissing:
        return None
    others = takewhile(lambda one: one.key.startswith(first), store.list(first.rpartition("/")[0], first))
    versions = [one for one in others if one.key.startswith(f"{first}~")]
    if versions:
        newest = max(versions, key=lambda one: one.modified_at).key
        body = store.get(newest)
    return newest, body


def content_type_of(found: StoredObject) -> str:
    """Return the content type of a webhook's object; by its bytes where the store has none."""
    return found.content_type or ("application/json" if is_json(found.data) else "application/octet-stream")


def exact_ms(found: StoredObject, key: WebhookKey) -> int:
    """Return the time in an object's metadata, where it is in the minute of its key; else the minute."""
    at_ms = time_of(found.metadata, "time")
    return at_ms if at_ms is not None and 0 <= at_ms - key.minute_ms < _MINUTE_MS else key.minute_ms


def plan_folders(start_ms: int, end_ms: int) -> Iterator[str]:
    """Yield the fewest folders of time (`2017/01/17/13`) that hold every minute with `start <= minute's end < end`.

    Args:
        start_ms: from the minute that holds it on, milliseconds since the epoch.
        end_ms: up to the minute before it, or that holds it.
    """
    at = from_unix_ms(start_ms // _MINUTE_MS * _MINUTE_MS)
    end = from_unix_ms(-(-end_ms // _MINUTE_MS) * _MINUTE_MS)
    while at < end:
        for unit, begins in (
            ("%Y", (at.month, at.day, at.hour, at.minute) == (1, 1, 0, 0)),
            ("%Y/%m", (at.day, at.hour, at.minute) == (1, 0, 0)),
            ("%Y/%m/%d", (at.hour, at.minute) == (0, 0)),
            ("%Y/%m/%d/%H", at.minute == 0),
            ("%Y/%m/%d/%H/%M", True),
        ):
            following = _following(at, unit)
            if begins and (following <= end or unit.endswith("%M")):
                yield at.strftime(unit)
                at = following
                break


def _following(at: datetime, unit: str) -> datetime:
    match unit:
        case "%Y":
            return datetime(at.year + 1, 1, 1, tzinfo=UTC)
        case "%Y/%m":
            return datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)
        case "%Y/%m/%d":
            return at + timedelta(days=1)
        case "%Y/%m/%d/%H":
            return at + timedelta(hours=1)
        case _:
            return at + timedelta(minutes=1)


def _newest(minute: Iterable[tuple[Entry, WebhookKey]]) -> list[tuple[Entry, WebhookKey]]:
    """Return the newest version of each id."""
    found: dict[str, tuple[Entry, WebhookKey]] = {}
    for entry, key in minute:
        known = found.get(key.id)
        if known is None or known[0].modified_at <= entry.modified_at:
            found[key.id] = entry, key
    return list(found.values())


def _alert(body: bytes) -> Alert | None:
    try:
        return parse_alerts(b'{"alerts":[' + body + b"]}")[0]
    except CarboyError:  # another process put it there
        return None


def _matches(alert: Alert, span: TimeRange) -> bool:
    return all(
        wanted is None or wanted == has
        for wanted, has in (
            (span.severity, alert.severity),
            (span.organization_id, alert.organization_id),
            (span.origin, alert.source),
        )
    )


def _is_filtered(span: TimeRange) -> bool:
    return any(wanted is not None for wanted in (span.severity, span.organization_id, span.origin))


def _is_wanted(found: _Found, span: TimeRange) -> bool:
    if span.source == THREATSTACK:
        return span.start_ms <= found.at_ms < span.end_ms
    return found.at_ms + _MINUTE_MS > span.start_ms


def _item(source: str, item_id: str, at_ms: int, received_ms: int, key: str, detail: str) -> Item:
    return Item(
        id=0,
        source=source,
        item_id=item_id,
        sha256=b"",
        at_ms=at_ms,
        received_at_ms=received_ms,
        state="archived",
        detail=detail,
        object_key=key,
        detail_key=None,
        detail_sha256=None,
        content_type="application/json",
        headers=None,
        body=None,
    )


def _render_cursor(at_ms: int, key: str) -> str:
    return base64.urlsafe_b64encode(f"{at_ms} {key}".encode()).decode().rstrip("=")


def _parse_cursor(text: str) -> tuple[int, str]:
    """Return the position of a cursor; raise `InvalidInput` for a cursor that was not issued here."""
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
        at, _, key = plain.partition(" ")
        if not key or not 0 <= int(at) < 1 << 53:
            raise ValueError(plain)
    except (binascii.Error, ValueError):
        detail = "it is not the `next` of an earlier answer"
        raise InvalidInput("`cursor` cannot be used", detail, "", [Fault("cursor", detail)]) from None
    return int(at), key
