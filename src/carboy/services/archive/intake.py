"""From a verified request to rows on stable storage."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from carboy.clock import Clock
from carboy.jobs import Job, Waiters
from carboy.logs import request_id
from carboy.services.archive.alerts import Alert
from carboy.services.archive.items import Gathered, NewItem, Submission
from carboy.services.archive.object_keys import webhook_key
from carboy.services.archive.sources import THREATSTACK

if TYPE_CHECKING:
    from carboy.db import GroupCommit
    from carboy.services.archive.index import Index

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What became of one request's items.

    Attributes:
        ids: of all of them, as sent.
        accepted: how many were new.
        archived: how many are archived, where the sender waited for all and got it; else None.
    """

    ids: Sequence[str]
    accepted: int
    archived: int | None = None

    def document(self, **more: Any) -> dict[str, Any]:
        """Return the answer's JSON object."""
        answer: dict[str, Any] = {
            "success": True,
            "accepted": self.accepted,
            "duplicates": len(self.ids) - self.accepted,
            "ids": list(self.ids),
        }
        if self.archived is not None:
            answer["archived"] = self.archived
        return answer | more


class Acceptor:
    """Accept items durably, and let a sender wait until they are archived.

    Args:
        index: where is looked whether they are archived.
        keep: the job that archives.
        wake: notifies the job engine.
        waiters: requests that wait for their items; a request beyond its limit is answered at once.
        max_wait_s: how long a request waits at most.
        gather: begins to gather the deliveries of a transaction.
    """

    def __init__(
        self,
        writer: "GroupCommit",
        index: "Index",
        keep: Job[[int]],
        wake: Callable[[], None],
        clock: Clock,
        waiters: Waiters,
        max_wait_s: float = 30.0,
        gather: Callable[[], Gathered] | None = None,
    ) -> None:
        self._waiters, self._max_wait_s = waiters, max_wait_s
        self._gather = gather
        self._writer, self._index, self._keep, self._wake, self._clock = writer, index, keep, wake, clock

    def accept(self, items: Sequence[NewItem], ids: Sequence[str], wait_s: float = 0.0) -> Acceptance:
        """Put items on stable storage, once each; optionally wait until they are archived.

        Raises:
            Unreachable: they could not be made durable; nothing is promised.
        """
        from carboy.services.archive.index import accept  # here: the archive without a database needs no SQLAlchemy

        now_ms = self._clock.now_ms()
        submission = Submission(items, self._keep, now_ms, request_id(), self._gather)
        answer = self._writer.run(accept, submission)
        new = sum(answer.is_new)
        if new:
            self._wake()
        if wait_s > 0 and self._waiters.wait(
            answer.rows, lambda: self._index.unfinished(answer.rows) == 0, min(wait_s, self._max_wait_s)
        ):
            return Acceptance(ids, new, len(set(answer.rows)))
        return Acceptance(ids, new)


def alert_item(alert: Alert, *, fetches: bool) -> NewItem:
    """Return what is kept of an alert.

    Args:
        alert: as received.
        fetches: whether the full alert is fetched later.
    """
    return NewItem(
        source=THREATSTACK,
        item_id=alert.id,
        digest=bytes.fromhex(alert.digest),
        sha256=bytes.fromhex(alert.sha256),
        at_ms=alert.created_at_ms,
        object_key=webhook_key(alert.id, alert.created_at_ms),
        content_type=JSON,
        body=alert.raw,
        detail="pending" if fetches else "off",
        type="alert",
        severity=alert.severity,
        organization_id=alert.organization_id,
        origin=alert.source,
    )
