"""Maintain an archive: verify it against its index, import another's objects, fetch what was never received."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import orjson

from carboy.clock import Clock
from carboy.db import GroupCommit
from carboy.errors import InvalidInput, Missing
from carboy.problems import Problem
from carboy.services.archive.alerts import Alert, parse_alerts, read_alert
from carboy.services.archive.index import Index, accept, mark
from carboy.services.archive.intake import Acceptor, alert_item
from carboy.services.archive.items import Archived, NewItem, Submission, headers_of, metadata_of, time_of
from carboy.services.archive.listing import content_type_of, exact_ms, newest_detail
from carboy.services.archive.object_keys import AlertKey, WebhookKey, alert_key, parse_key
from carboy.services.archive.objects import Entry, ObjectMissing, ObjectUnavailable, Store
from carboy.services.archive.sources import THREATSTACK, event_digest
from carboy.services.archive.threatstack import ThreatStack
from carboy.services.archive.worker import put_version

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Finding:
    """An object that was looked at: `fault` is empty, `missing` or `changed`."""

    key: str
    fault: str


@dataclass(frozen=True, slots=True)
class Taken:
    """An object of another archive that was looked at.

    Attributes:
        key: its key there.
        outcome: `taken`, `known` or `skipped`.
        reason: why it was skipped.
    """

    key: str
    outcome: str
    reason: str = ""


def verify(index: Index, store: Store) -> Iterator[Finding]:
    """Read every archived object again and compare it with the index, in the order of acceptance."""
    after = 0
    while items := index.all_archived(after=after):
        for item in items:
            yield _compare(store, item.object_key, item.sha256)
            if item.detail_key and item.detail_sha256:
                yield _compare(store, item.detail_key, item.detail_sha256)
        after = items[-1].id


def import_archive(source: Store, store: Store, writer: GroupCommit, clock: Clock) -> Iterator[Taken]:
    """Copy what the tutorial's service, or another archive of ours, wrote, and put it into the index.

    Webhooks of Threat Stack may hold a single alert or a whole `{"alerts": […]}`. An alert's detail is taken with its
    webhook; one without a webhook is taken by its own `created_at`. Of any other source the key has the id and the
    minute, the object's metadata the exact time and the headers. Running it again takes nothing twice.
    """
    done: set[str] = set()
    for _, minute in groupby(source.list("webhooks/"), key=lambda one: one.key.rpartition("/")[0]):
        for entry in sorted(minute, key=lambda one: (one.modified_at, one.key)):  # the newest version comes last
            parsed = parse_key(entry.key)
            try:
                if not isinstance(parsed, WebhookKey):
                    yield Taken(entry.key, "skipped", "its key is not that of a webhook")
                elif parsed.source is not None:
                    yield Taken(entry.key, _take_webhook(entry, parsed, source, store, writer))
                else:
                    received_ms = entry.modified_at_ms
                    for alert in _alerts(source.get(entry.key), parsed.minute_ms):
                        done.add(alert.id)
                        yield Taken(entry.key, _take(alert, _detail(source, alert.id), store, writer, received_ms))
            except (InvalidInput, Problem, ObjectMissing, ObjectUnavailable) as error:
                yield Taken(entry.key, "skipped", str(error))
    for entry in source.list("alerts/"):
        parsed = parse_key(entry.key)
        if not isinstance(parsed, AlertKey):
            yield Taken(entry.key, "skipped", "its key is not that of an alert")
        elif parsed.id not in done and not parsed.version:
            try:
                detail = _detail(source, parsed.id) or b""
                [alert] = _alerts(detail, entry_ms=entry.modified_at_ms, alert_id=parsed.id)
                yield Taken(entry.key, _take(alert, detail, store, writer, entry.modified_at_ms))
            except (InvalidInput, Problem, ObjectMissing, ObjectUnavailable) as error:
                yield Taken(entry.key, "skipped", str(error))


def backfill(api: ThreatStack, acceptor: Acceptor, start_ms: int, end_ms: int) -> Iterator[tuple[str, bool]]:
    """Accept every alert that the source's own API lists for a range; yield each id and whether it was new."""
    for listed in api.list(start_ms, end_ms):
        alert = read_alert(listed.raw, listed.id, listed.created_at_ms)
        receipt = acceptor.accept([alert_item(alert, fetches=True)], [alert.id])
        yield alert.id, receipt.accepted == 1


def _compare(store: Store, key: str, sha256: bytes) -> Finding:
    try:
        data = store.get(key)
    except Missing:
        return Finding(key, "missing")
    return Finding(key, "" if hashlib.sha256(data).digest() == sha256 else "changed")


def _detail(source: Store, alert_id: str) -> bytes | None:
    found = newest_detail(source, alert_id)
    return None if found is None else found[1]


def _take(alert: Alert, detail: bytes | None, store: Store, writer: GroupCommit, received_ms: int) -> str:
    item = alert_item(alert, fetches=False)
    object_key = put_version(store, item.object_key, item.body, item.content_type, metadata_of(item, received_ms))
    state, detail_key, sha256 = "off", None, None
    if detail is not None:
        state, sha256 = "kept", hashlib.sha256(detail).digest()
        detail_key = put_version(store, alert_key(alert.id), detail, JSON, {"id": alert.id, "source": THREATSTACK})
    return _index(item, Archived(0, "archived", object_key, state, detail_key, sha256), writer, received_ms)


def _take_webhook(entry: Entry, key: WebhookKey, source: Store, store: Store, writer: GroupCommit) -> str:
    """Take a webhook of another source; its name in the key, a hash where the id is long, is its id in the index."""
    found = source.read(entry.key)
    headers = headers_of(found.metadata)
    first = entry.key.partition("~")[0]
    item = NewItem(
        source=key.source or "",
        item_id=first.rpartition("/")[2],
        digest=event_digest(found.data, orjson.loads(headers) if headers else {}),
        sha256=hashlib.sha256(found.data).digest(),
        at_ms=exact_ms(found, key),
        object_key=first,
        content_type=content_type_of(found)[:255],
        body=found.data,
        headers=headers,
    )
    received_ms = time_of(found.metadata, "received") or entry.modified_at_ms
    metadata = dict(found.metadata) or metadata_of(item, received_ms)
    object_key = put_version(store, first, found.data, item.content_type, metadata)
    return _index(item, Archived(0, "archived", object_key, "off"), writer, received_ms)


def _index(item: NewItem, archived: Archived, writer: GroupCommit, received_ms: int) -> str:
    """Put an item that is in the store into the index; return `taken`, or `known` where it was there."""
    answer = writer.run(accept, Submission([item], None, received_ms, ""))
    if not answer.is_new[0]:
        return "known"
    writer.run(mark, replace(archived, row=answer.rows[0]))
    return "taken"


def _alerts(data: bytes, entry_ms: int | None, alert_id: str = "") -> list[Alert]:
    """Return the alerts of an object; one that lacks its time or id gets what its key says."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidInput("the object cannot be read", f"it is not JSON: {error}", "") from error
    if isinstance(document, dict) and "alerts" not in document:
        if "id" in document and "created_at" in document:
            return parse_alerts(b'{"alerts":[' + data + b"]}")
        created_at = document.get("created_at", entry_ms)
        data = orjson.dumps({"alerts": [{**document, "id": document.get("id", alert_id), "created_at": created_at}]})
    return parse_alerts(data)
