"""Deliver webhooks: sign, post once, and decide what follows from the response.

Where deliveries are kept, and when the next attempt runs, is left to the services; everything here but `WebhookClient`
is pure.

Source: Standard Webhooks 1.0, github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

import base64
import hmac
import secrets as tokens
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import CarboyError
from carboy.http_values import parse_retry_after
from carboy.jitter import SYSTEM_RANDOM
from carboy.net import AddressGuard, Limits, TimedOut, fetch, make_session, prepare_call
from carboy.redact import mask_text
from carboy.trace import outgoing_headers
from carboy.webhooks.verification import keys_of, text_bytes

if TYPE_CHECKING:
    from carboy.net import PreparedCall

RETRY_SCHEDULE_S = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""The wait before each attempt, as Standard Webhooks recommends; its length is the number of attempts."""

FAILURES_TO_OPEN = 5
OPEN_S, MAX_OPEN_S = 30.0, 300.0
MAX_HOLD_S = 3600.0
PAUSE_AFTER_MS = 5 * 86_400_000
_KEPT_BYTES = 4096
_READ_BYTES = 65_536  # a longer response costs its connection
_JITTER = 0.1


def sign(secrets: Sequence[str], webhook_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the value of `webhook-signature`: `v1,` and the base64 HMAC-SHA256 by each secret, parted by blanks.

    Args:
        secrets: `whsec_…`; several while one is being replaced.
        webhook_id: the value of `webhook-id`, the same at every attempt.
        timestamp_s: the value of `webhook-timestamp`, seconds since the epoch.
        body: as it is sent.

    Raises:
        Unverified: no secret can be used.
    """
    signed = b"%s.%d.%s" % (text_bytes(webhook_id), timestamp_s, body)
    return " ".join(
        f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}" for key in keys_of(secrets, "whsec")
    )


def next_wait_s(
    made: int,
    schedule_s: Sequence[float] = RETRY_SCHEDULE_S,
    retry_after_s: float = 0.0,
    jitter: Callable[[], float] = SYSTEM_RANDOM.random,
) -> float | None:
    """Return the seconds until the next attempt, up to a tenth less than the schedule says; None when none is left.

    Args:
        made: how many attempts were made.
        schedule_s: the wait before each attempt.
        retry_after_s: what the receiver asked for; at most an hour of it is honoured.
        jitter: returns a number from 0 to 1.
    """
    if made >= len(schedule_s):
        return None
    return max(schedule_s[made] * (1.0 - _JITTER * jitter()), min(retry_after_s, MAX_HOLD_S))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to deliver, and what came of it.

    Attributes:
        at_ms: when it began, milliseconds since the epoch.
        duration_ms: how long it took.
        status: the HTTP status; None where no response came, and for receivers that have none.
        error: why it failed; empty where the receiver took the delivery. It holds no secret.
        response: the first 4 KiB of the response, without secrets.
        retry_after_s: how long a 429 or 503 asks to be left alone; 0 for all others.
        is_final: the delivery can never succeed.
    """

    at_ms: int
    duration_ms: int
    status: int | None = None
    error: str = ""
    response: bytes = b""
    retry_after_s: float = 0.0
    is_final: bool = False

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver took the delivery."""
        return not self.error

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no further delivery: 410."""
        return self.status == 410


@dataclass(frozen=True, slots=True)
class Progress:
    """How a receiver has done so far; times are milliseconds since the epoch.

    Attributes:
        failures: in a row.
        failing_since: the first of these; None while it works.
        open_until: until when the circuit breaker lets nothing through; None while it is closed.
        hold_until: until when the receiver asked to be left alone.
        paused: the reason why deliveries are paused; empty while they are not.
    """

    failures: int = 0
    failing_since: int | None = None
    open_until: int | None = None
    hold_until: int | None = None
    paused: str = ""

    def blocked_until(self) -> int:
        """Return when the next attempt may be made, 0 for at once."""
        return max(self.open_until or 0, self.hold_until or 0)


def advance(progress: Progress, attempt: Attempt) -> Progress:
    """Return how a receiver does after an attempt.

    The circuit breaker opens after five failures in a row, for 30 s and then twice as long each time, up to 5 minutes.
    Attempts that were under way when it opened do not make that longer. A 410, and five days of failure, pause the
    receiver. A delivery that can never succeed says nothing about it.
    """
    if attempt.is_final:
        return progress
    if attempt.is_delivered:
        return Progress(hold_until=progress.hold_until, paused=progress.paused)
    now_ms = attempt.at_ms + attempt.duration_ms
    was_under_way = attempt.at_ms < (progress.open_until or 0)
    failures = progress.failures + (0 if was_under_way else 1)
    since = now_ms if progress.failing_since is None else progress.failing_since
    changed = replace(progress, failures=failures, failing_since=since)
    if attempt.is_gone:
        return replace(changed, paused=progress.paused or "the receiver answered 410 Gone")
    if now_ms - since >= PAUSE_AFTER_MS:
        return replace(changed, paused=progress.paused or "every attempt failed for five days")
    if attempt.retry_after_s > 0:
        until = now_ms + round(min(attempt.retry_after_s, MAX_HOLD_S) * 1000)
        changed = replace(changed, hold_until=max(progress.hold_until or 0, until))
    if failures >= FAILURES_TO_OPEN and not was_under_way:
        steps = min(failures - FAILURES_TO_OPEN, 10)
        open_s = min(OPEN_S * 2**steps, MAX_OPEN_S)
        changed = replace(changed, open_until=now_ms + round(open_s * 1000))
    return changed


def hide_secrets(text: str, values: Iterable[str] = ()) -> str:
    """Return a text without these values and without what is known to be secret."""
    for value in sorted({one for one in values if len(one) > 3}, key=len, reverse=True):
        text = text.replace(value, "***")
    return mask_text(text)


class WebhookClient:
    """Posts webhooks to one address, for any number of threads.

    Args:
        url: where to; a user and password in it are sent as HTTP basic.
        guard: refuses addresses at each attempt; None where any may be called.
        timeout_s: for one attempt, in all.
        pool_size: connections that are kept.
        clock: the time, for the signature and the record.
    """

    def __init__(
        self,
        url: str,
        *,
        guard: AddressGuard | None,
        timeout_s: float = 15.0,
        pool_size: int = 8,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._url, self._clock = url, clock
        self._limits = Limits(min(5.0, timeout_s), timeout_s, timeout_s, _READ_BYTES)
        self._session = make_session(url, pool_size, guard=guard)
        self._hidden = _credentials_of(url)
        self._common: PreparedCall | None = None
        with suppress(Exception):  # an address that cannot be called is the failure of each delivery
            self._common = prepare_call(self._session, "POST", url)

    def post(self, body: bytes, headers: Mapping[str, str], *, webhook_id: str, secrets: Sequence[str] = ()) -> Attempt:
        """Post a body once, signed where there are secrets; redirects are not followed. It never raises.

        Args:
            body: as it is sent.
            headers: further ones, with `Content-Type`.
            webhook_id: the same at every attempt.
            secrets: `whsec_…`; several while one is being replaced.
        """
        at_ms, started_s = self._clock.now_ms(), self._clock.monotonic_s()
        traced = {} if outgoing_headers() else {"traceparent": _traceparent()}
        sent = {"User-Agent": "Carboy-Webhooks", **traced, **headers}
        sent |= {"webhook-id": webhook_id, "webhook-timestamp": str(at_ms // 1000)}
        status, error, response, retry_after_s = None, "", b"", 0.0
        hidden = {*self._hidden, *secrets, *(one.removeprefix("whsec_") for one in secrets)}
        try:
            if secrets:
                sent["webhook-signature"] = sign(secrets, webhook_id, at_ms // 1000, body)
            reply = fetch(
                self._session,
                self._url,
                sent,
                self._limits,
                what="the webhook",
                method="POST",
                body=body,
                truncate=True,
                common=self._common,
            )
            status, response = reply.status, reply.body
            if not 200 <= status <= 299:
                error = f"the receiver answered {status}"
            if status in {429, 503}:
                retry_after_s = parse_retry_after(reply.headers.get("Retry-After"), at_ms / 1000)
        except TimedOut:
            error = "no response in time"
        except CarboyError as failure:
            error = failure.why
        except Exception as failure:  # noqa: BLE001 (a header or an address that cannot be sent is this delivery's failure)
            error = f"the request could not be sent: {type(failure).__name__}"
        took_ms = max(0, round((self._clock.monotonic_s() - started_s) * 1000))
        if response:
            text = response.decode("utf-8", "replace")
            response = hide_secrets(text, hidden).encode("utf-8", "replace")[:_KEPT_BYTES]
        return Attempt(at_ms, took_ms, status, error, response, retry_after_s)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def _credentials_of(url: str) -> set[str]:
    """Return the texts by which the credentials of an address could come back."""
    parts = urlsplit(url)
    if parts.password is None:
        return set()
    plain = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
    return {parts.password, unquote(parts.password), base64.b64encode(plain.encode()).decode()}


def _traceparent() -> str:
    """Return a new trace that is not sampled. Source: W3C Trace Context, section 3.2."""
    made = tokens.token_hex(24)
    return f"00-{made[:32]}-{made[32:]}-00"
