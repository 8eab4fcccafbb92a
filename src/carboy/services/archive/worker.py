"""The work behind a 202: put the webhook's copy, fetch the full alert, put it, and write both into the index."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

import orjson

from carboy.clock import Clock
from carboy.errors import Missing, Refused, Throttled, Unreachable
from carboy.jitter import SYSTEM_RANDOM
from carboy.jobs import Commit, Job, Later, Waiters
from carboy.logs import BoundLogger, get_logger
from carboy.services.archive.items import Archived, Item, headers_of, metadata_of
from carboy.services.archive.object_keys import alert_key, version_key
from carboy.services.archive.objects import ObjectUnavailable, Put, Store, StoreFull
from carboy.services.archive.sources import THREATSTACK, event_digest
from carboy.services.archive.threatstack import ThreatStack

if TYPE_CHECKING:
    from carboy.db import GroupCommit
    from carboy.services.archive.index import Index

log: BoundLogger = get_logger("carboy.archive")

JSON = "application/json"
_ATTEMPTS = 10_000  # two weeks of a store that is unavailable; then an operator decides, and the row stays
_MISSING_WAIT_S = 5.0
_RECENT_S = 3600.0
_LONGEST_SPREAD_S = 60.0


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Asks for full alerts, and says of each refusal what follows from it.

    Attributes:
        missing_for_ms: how long after its arrival an alert that the API does not know is asked for again.
        refused_wait_s: the wait after the API has refused our key.
    """

    api: ThreatStack
    clock: Clock
    missing_for_ms: int = 300_000
    refused_wait_s: float = 60.0

    def fetch(self, alert_id: str, received_at_ms: int) -> bytes | None:
        """Return the full alert, or None where the API has had time enough to know it and does not.

        Raises:
            Later: it is to be asked again, and when.
            Unreachable: the API did not answer.
        """
        age_ms = self.clock.now_ms() - received_at_ms
        try:
            return self.api.fetch(alert_id)
        except Missing:
            if age_ms >= self.missing_for_ms:
                log.warning("alert_missing", alert_id=alert_id, age_s=age_ms // 1000)
                return None
            left_s = (self.missing_for_ms - age_ms) / 1000
            raise Later(
                "the API does not know the alert yet", min(max(_MISSING_WAIT_S, age_ms / 2000), left_s)
            ) from None
        except Refused as error:
            log.error("threatstack_refused", alarm=True, error=str(error), hint=error.hint)
            raise Later("the API refused our key", self.refused_wait_s) from error
        except Throttled as error:
            spread_s = SYSTEM_RANDOM.uniform(0.0, min(age_ms / 4000, _LONGEST_SPREAD_S))  # a backlog comes spread
            raise Later("the API is asked no more for now", max(error.retry_after_s, 0.1) + spread_s) from error


class RefusedPuts:
    """Which sources' events the object store refuses, or has no room for: logged when it begins and when it ends."""

    def __init__(self) -> None:
        self._errors: dict[str, tuple[float, Refused | StoreFull]] = {}
        self._stored_at_s: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def watch(self, source: str) -> Iterator[None]:
        """Notice whether an event of a source is stored; the error goes through.

        A refusal of a request that began before another event was stored is of an earlier time, and not noticed.
        """
        began_s = monotonic()
        try:
            yield
        except (Refused, StoreFull) as error:
            with self._lock:
                is_news = began_s >= self._stored_at_s.get(source, float("-inf"))
                is_first = is_news and source not in self._errors
                if is_news:
                    self._errors[source] = monotonic(), error
            if is_first:
                log.error("archive_refused", alarm=True, source=source, error=str(error), hint=error.hint)
            raise
        with self._lock:
            self._stored_at_s[source] = monotonic()
            was_refused = self._errors.pop(source, None) is not None
        if was_refused:
            log.info("archive_stored_again", source=source)

    def check(self) -> None:
        """Raise the error of a source whose events were refused in this process within the last hour."""
        for source, (at_s, error) in list(self._errors.items()):
            if monotonic() - at_s < _RECENT_S:  # an older one was given up, or is tried elsewhere
                raise Refused(f"events of the source `{source}` are not archived", error.why, error.hint)


@dataclass(frozen=True, slots=True)
class ArchiveWorker:
    """Archives one accepted item; safe to run again from any point.

    Attributes:
        fetcher: None where the full alert is not fetched.
        waiters: notified of what is archived.
        refused: notices what the store refuses.
    """

    store: Store
    index: "Index"
    writer: "GroupCommit"
    fetcher: Fetcher | None = None
    waiters: Waiters = field(default_factory=lambda: Waiters(0))
    refused: RefusedPuts = field(default_factory=RefusedPuts)

    def jobs(self) -> tuple[Job[[int]], Job[[int]]]:
        """Return the jobs of the archive: `archive.keep` and `archive.replay`, each with a row's id."""
        keep: Job[[int]] = Job("archive.keep", self.keep, attempts=_ATTEMPTS, timeout_s=180.0)
        replay: Job[[int]] = Job("archive.replay", self.replay, attempts=_ATTEMPTS, timeout_s=180.0, priority=6)
        return keep, replay

    def keep(self, row: int) -> Commit | None:
        """Archive the item of a row, unless it is archived already."""
        item = self.index.row(row)
        if item is None or item.state == "archived":
            return None
        return self._keep(item)

    def replay(self, row: int) -> Commit | None:
        """Archive the item of a row again, with what the API says of it today."""
        item = self.index.row(row)
        return None if item is None else self._keep(item, is_replay=item.source == THREATSTACK)

    def _keep(self, item: Item, *, is_replay: bool = False) -> Commit:
        object_key = item.object_key
        if item.state == "accepted":
            metadata = metadata_of(item, item.received_at_ms)
            with self.refused.watch(item.source):
                object_key = put_version(self.store, item.object_key, item.body or b"", item.content_type, metadata)
        if self.fetcher is None or (item.detail == "off" and not is_replay):
            return self._end(_without_news(item, object_key, "off"))
        try:
            detail = self.fetcher.fetch(item.item_id, item.received_at_ms)
        except Exception:
            if item.state == "accepted":  # the next try need not put the copy again
                from carboy.services.archive.index import mark

                self.writer.run(mark, Archived(item.id, "copied", object_key, "pending"))
            raise
        if detail is None:
            return self._end(_without_news(item, object_key, "missing"))
        metadata = {"id": item.item_id, "source": item.source}
        detail_key = put_version(self.store, alert_key(item.item_id), detail, JSON, metadata)
        sha256 = hashlib.sha256(detail).digest()
        return self._end(Archived(item.id, "archived", object_key, "kept", detail_key, sha256))

    def _end(self, one: Archived) -> Commit:
        from carboy.services.archive.index import mark  # here: the archive without a database needs no SQLAlchemy

        return Commit(mark, one, then=lambda: self.waiters.notify(one.row))


def _without_news(item: Item, object_key: str, detail: str) -> Archived:
    """Return the change for an item of which nothing was fetched: a full alert that is archived stays."""
    if item.detail == "kept":
        return Archived(item.id, "archived", object_key, "kept", item.detail_key, item.detail_sha256)
    return Archived(item.id, "archived", object_key, detail)


def put_version(
    store: Store, key: str, data: bytes, content_type: str, metadata: Mapping[str, str] | None = None
) -> str:
    """Store data under a key and return it; where other data has the key, under the key of its version.

    Where the store overwrites, an object is looked for before and compared after, so that no content is lost unless two
    writers come at the same moment.
    """
    digest = _digest(data, metadata or {})
    first = key.partition("~")[0]
    longer = f"{first}~{digest}"  # two contents may share 32 bits of their hash
    for candidate in dict.fromkeys((key, version_key(first, digest), longer)):
        is_free = store.is_conditional() is not None or store.head(candidate) is None
        is_new = is_free and store.put_new(candidate, data, content_type, metadata) is Put.CREATED
        is_conditional = store.is_conditional()
        if is_new and is_conditional is None:
            is_conditional = store.learn(candidate, data, content_type)
        if (is_new and is_conditional) or _holds(store, candidate, data, digest):
            return candidate
    raise Unreachable(
        f"the object `{longer}` could not be stored", "another content is under its key", "see the bucket"
    )


def _holds(store: Store, key: str, data: bytes, digest: str) -> bool:
    """Return whether an object has this content; one that must be restored first counts as another."""
    try:
        found = store.read(key)
    except ObjectUnavailable:
        return False
    return found.data == data and (not found.metadata or _digest(data, found.metadata) == digest)


def _digest(data: bytes, metadata: Mapping[str, str]) -> str:
    """Return the digest of a content: of the data, or of the event's headers for an event without data."""
    if not data and (kept := metadata.get("digest")):
        return kept
    return event_digest(data, {} if data else orjson.loads(headers_of(metadata) or b"{}")).hex()
