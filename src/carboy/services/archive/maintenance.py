"""Look after an archive: verify it against its index, take over another's objects, fetch what was never received."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from carboy.clock import Clock
from carboy.db import GroupCommit
from carboy.errors import InvalidInput, Missing
from carboy.problems import Problem
from carboy.services.archive.alerts import Alert, parse_alerts, read_alert
from carboy.services.archive.index import Archived, Index, Submission, accept, mark
from carboy.services.archive.intake import Acceptor, alert_item
from carboy.services.archive.object_keys import AlertKey, WebhookKey, alert_key, parse_key
from carboy.services.archive.objects import Store
from carboy.services.archive.threatstack import ThreatStack
from carboy.services.archive.worker import put_version

__all__ = ["Finding", "Taken", "backfill", "import_archive", "verify"]

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

    Webhooks may hold a single alert or a whole `{"alerts": […]}`. An alert's detail is taken with its webhook; one
    without a webhook is taken by its own `created_at`. Running it again takes nothing twice.
    """
    done: set[str] = set()
    for entry in source.list("webhooks/"):
        parsed = parse_key(entry.key)
        if not isinstance(parsed, WebhookKey) or parsed.source is not None:
            yield Taken(entry.key, "skipped", "it is no webhook of Threat Stack")
            continue
        try:
            alerts = _alerts(source.get(entry.key), parsed.minute_ms)
        except (InvalidInput, Problem) as error:
            yield Taken(entry.key, "skipped", str(error))
            continue
        for alert in alerts:
            done.add(alert.id)
            yield Taken(entry.key, _take(alert, _detail(source, alert.id), store, writer, clock))
    for entry in source.list("alerts/"):
        parsed = parse_key(entry.key)
        if not isinstance(parsed, AlertKey):
            yield Taken(entry.key, "skipped", "it is no alert")
        elif parsed.id not in done:
            detail = source.get(entry.key)
            try:
                [alert] = _alerts(detail, entry_ms=int(entry.modified_at.timestamp() * 1000), alert_id=parsed.id)
            except (InvalidInput, Problem) as error:
                yield Taken(entry.key, "skipped", str(error))
            else:
                yield Taken(entry.key, _take(alert, detail, store, writer, clock))


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
    try:
        return source.get(alert_key(alert_id))
    except Missing:
        return None


def _take(alert: Alert, detail: bytes | None, store: Store, writer: GroupCommit, clock: Clock) -> str:
    item = alert_item(alert, fetches=False)
    object_key = put_version(store, item.object_key, item.body, item.content_type)
    state, detail_key, sha256 = "off", None, None
    if detail is not None:
        state, sha256 = "kept", hashlib.sha256(detail).digest()
        detail_key = put_version(store, alert_key(alert.id), detail, JSON)
    answer = writer.run(accept, Submission([item], None, clock.now_ms(), ""))
    if not answer.is_new[0]:
        return "known"
    writer.run(mark, Archived(answer.rows[0], "archived", object_key, state, detail_key, sha256))
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
