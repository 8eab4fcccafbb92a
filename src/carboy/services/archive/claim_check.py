"""The archive without a database: what is accepted goes to the queue, and from there to the object store.

Messages come at least once, and objects are put under keys that follow from their content: done twice is done once.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from carboy.clock import Clock
from carboy.jobs import Job
from carboy.logs import BoundLogger, get_logger
from carboy.services.archive.intake import Acceptance
from carboy.services.archive.items import NewItem, metadata_of, parse_body, render_body
from carboy.services.archive.object_keys import alert_key
from carboy.services.archive.objects import Store
from carboy.services.archive.sources import THREATSTACK
from carboy.services.archive.worker import JSON, Fetcher, RefusedPuts, put_version

log: BoundLogger = get_logger("carboy.archive")

_ATTEMPTS = 10_000  # the queue counts, and keeps what it gives up
_AT_ONCE = 8

Send = Callable[..., None]
"""Sends a job once for each list of arguments; `carboy.jobs.sqs.SqsEngine.send`."""


class QueueAcceptor:
    """Keeps items in the queue, those of one request in one message.

    Args:
        send: sends a job.
        keep: the job that archives items.
        pass_on: sends the deliveries of items, which arrived at a time.
    """

    def __init__(
        self, send: Send, keep: Job[...], clock: Clock, pass_on: Callable[[Sequence[NewItem], int], None]
    ) -> None:
        self._send, self._keep, self._clock, self._pass_on = send, keep, clock, pass_on

    def accept(self, items: Sequence[NewItem], ids: Sequence[str], wait_s: float = 0.0) -> Acceptance:
        """Send items to the queue; `wait` has no effect, since this process does not see their end.

        Raises:
            UpstreamError: the queue did not take them; nothing is promised.
        """
        distinct = {(item.item_id, item.digest): item for item in items}
        now_ms = self._clock.now_ms()
        self._send(self._keep, ([_render(item, now_ms) for item in distinct.values()], now_ms))
        self._pass_on(list(distinct.values()), now_ms)
        return Acceptance(ids, len(distinct))


@dataclass(frozen=True, slots=True)
class QueueKeeper:
    """Archives what messages bring.

    Attributes:
        fetcher: None where full alerts are not fetched.
        send: sends a job.
        refused: notices what the store refuses.
    """

    store: Store
    fetcher: Fetcher | None
    send: Send
    refused: RefusedPuts = field(default_factory=RefusedPuts)

    @property
    def keep(self) -> Job[[list[dict[str, Any]], int]]:
        """The job `archive.keep_items`, with the items of one request and the time of their arrival."""
        return Job("archive.keep_items", self.keep_items, attempts=_ATTEMPTS, timeout_s=100.0)

    @property
    def detail(self) -> Job[[str, int]]:
        """The job `archive.keep_detail`, with an alert's id and the time of its arrival."""
        return Job("archive.keep_detail", self.keep_detail, attempts=_ATTEMPTS, timeout_s=100.0)

    def keep_items(self, items: Sequence[Mapping[str, Any]], received_at_ms: int) -> None:
        """Put the copies of items; then have the full alerts fetched, each by a message of its own."""
        if len(items) == 1:
            self._put(items[0])
        else:
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="archive-keep") as pool:
                list(pool.map(self._put, items))
        alerts = [item["alert"] for item in items if "alert" in item]
        if alerts and self.fetcher is not None:
            self.send(self.detail, *((alert, received_at_ms) for alert in alerts))

    def keep_detail(self, alert_id: str, received_at_ms: int) -> None:
        """Fetch a full alert and put it; where the API never knew it, the webhook's copy is all there is."""
        detail = self.fetcher.fetch(alert_id, received_at_ms) if self.fetcher is not None else None
        if detail is not None:
            put_version(self.store, alert_key(alert_id), detail, JSON, {"id": alert_id, "source": THREATSTACK})

    def _put(self, item: Mapping[str, Any]) -> None:
        metadata = item.get("metadata") or {}
        with self.refused.watch(metadata.get("source", THREATSTACK)):
            put_version(self.store, item["key"], parse_body(item), item["type"], metadata)


class StorePark:
    """Keeps what is too long for a message in the object store, below `messages/`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, data: bytes) -> str:
        """Keep bytes under a new name."""
        name = f"messages/{uuid.uuid4().hex}"
        self._store.put_new(name, data, JSON)
        return name

    def get(self, name: str) -> bytes:
        """Return the bytes of a name; raise `Missing` for an unknown name."""
        return self._store.get(name)

    def drop(self, name: str) -> None:
        """Remove a name."""
        self._store.delete(name)


def _render(item: NewItem, now_ms: int) -> dict[str, Any]:
    facts = {"key": item.object_key, "type": item.content_type, "metadata": metadata_of(item, now_ms)}
    alert = {"alert": item.item_id} if item.detail == "pending" else {}
    return {**facts, **render_body(item.body), **alert}
