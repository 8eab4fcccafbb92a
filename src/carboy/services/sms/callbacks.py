"""Call-backs: report each change of a message's state to the caller, signed, until it is taken.

The body has the message's `id`, `state`, `reference`, `at` and `sequence`; the sequence restores the order.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from carboy.clock import Clock
from carboy.http_values import render_time
from carboy.jobs import Abandon, Commit, Job, Later, put_each, row_of
from carboy.logs import BoundLogger, get_logger
from carboy.services.sms.send_jobs import run_by_the_application
from carboy.services.sms.settings import SmsSettings
from carboy.webhooks import Progress, WebhookClient, advance, next_wait_s

log: BoundLogger = get_logger("carboy.sms")


_MOST_ADDRESSES = 100


_JOB: Job[[int, Mapping[str, Any], int]] = Job("sms.callback", run_by_the_application, attempts=5, priority=6)
"""What a row says of the job; an application runs it by the function of its own `Callbacks`."""


@dataclass(slots=True)
class Callbacks:
    """Posts call-backs, with a circuit breaker for each address; its times are monotonic.

    Attributes:
        settings: returns the settings as they are now.
        clock: the time.
        url_of: returns a request's own address, given its row; empty for that of the settings, None for nowhere.
    """

    settings: Callable[[], SmsSettings]
    clock: Clock
    url_of: Callable[[int], str | None] = lambda row: ""
    _receivers: dict[str, tuple[WebhookClient, Progress]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def job(self) -> Job[[int, Mapping[str, Any], int]]:
        """Return the job `sms.callback`."""
        return replace(_JOB, function=self.deliver)

    def deliver(self, request: int, change: Mapping[str, Any], made: int) -> Commit | None:
        """Post one change; return the job of the next attempt where the receiver did not take it.

        Args:
            request: its row.
            change: the body, with `at` in milliseconds.
            made: how many attempts were made before.

        Raises:
            Abandon: it was the last attempt, or the receiver wants no more.
            Later: the receiver failed a moment ago, or asked to be left alone.
        """
        settings = self.settings()
        url = self.url_of(request)
        address = url or settings.sms_callback_url
        if url is None or not address:
            return None
        client, progress = self._receiver(address)
        if (until_ms := progress.blocked_until()) > self._monotonic_ms():
            raise Later("the receiver of call-backs fails", (until_ms - self._monotonic_ms()) / 1000)
        body = orjson.dumps({**change, "at": render_time(change["at"])})
        secrets = [one.reveal() for one in settings.sms_callback_secret if one.reveal()]
        webhook_id = f"{change['id']}-{change['sequence']}"
        attempt = client.post(body, {"Content-Type": "application/json"}, webhook_id=webhook_id, secrets=secrets)
        with self._lock:
            known = self._receivers.get(address, (client, progress))[1]
            made_at_ms = self._monotonic_ms() - attempt.duration_ms
            self._receivers[address] = client, advance(known, replace(attempt, at_ms=made_at_ms))
        if attempt.is_delivered:
            return None
        is_over = attempt.is_gone or attempt.is_final
        wait_s = None if is_over else next_wait_s(made + 1, retry_after_s=attempt.retry_after_s)
        log.warning("sms_callback_failed", message=change["id"], attempts=made + 1, error=attempt.error)
        if wait_s is None:
            raise Abandon(f"the call-back was not taken: {attempt.error}")
        return Commit(put_each, callback_row(request, change, self.clock.now_ms(), made + 1, wait_s))

    def _receiver(self, address: str) -> tuple[WebhookClient, Progress]:
        """Return what is kept of an address; the one that was used longest ago is dropped for a new one."""
        with self._lock:
            found = self._receivers.pop(address, None)
            if found is None:
                found = WebhookClient(address, guard=None, clock=self.clock), Progress()
            self._receivers[address] = found
            while len(self._receivers) > _MOST_ADDRESSES:
                self._receivers.pop(next(iter(self._receivers)))[0].close()
        return found

    def _monotonic_ms(self) -> int:
        return round(self.clock.monotonic_s() * 1000)


def callback_row(
    request: int, change: Mapping[str, Any], now_ms: int, made: int = 0, after_s: float = 0.0
) -> dict[str, Any]:
    """Return the row of the job that reports a change: without an address, as lists of jobs show arguments."""
    return row_of(_JOB, (request, dict(change), made), now_ms=now_ms, after_s=after_s)
