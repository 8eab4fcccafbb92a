"""Due times: when a message is sent, and when it is too late. Nothing here does I/O."""

from collections.abc import Mapping

from carboy.services.sms.message_queries import Queued, Work
from carboy.services.sms.quiet_hours import QuietHours, ends_at_ms, zones_of
from carboy.services.sms.templates import Template

_LONGEST_HOLD_MS = 25 * 3_600_000  # a day on which the clock goes back


def is_due(one: Queued, work: Work, now_ms: int) -> bool:
    """Return whether a message may be sent now: neither scheduled for later nor held.

    A message that is held for longer than any quiet hours last was held by a clock that was ahead.
    """
    if one.state == "held" and (one.due_at_ms or 0) > now_ms + _LONGEST_HOLD_MS:
        return True
    return (one.due_at_ms or work.send_at_ms or 0) <= now_ms


def release_at_ms(one: Queued, template: Template, quiet_hours: Mapping[str, QuietHours], now_ms: int) -> int:
    """Return when the receiver's quiet hours end, in milliseconds since the epoch; now if it is not quiet."""
    quiet = quiet_hours.get(template.kind)
    return now_ms if quiet is None else ends_at_ms(quiet, zones_of(one.receiver), now_ms)


def expires_at_ms(one: Queued, work: Work) -> int:
    """Return from when a message is not worth sending.

    A limit that the request has is kept as it is. The usual one counts from when the message is due, so that quiet
    hours lose nothing.
    """
    if work.expires_after_ms is not None or one.due_at_ms is None:
        return work.expires_at_ms
    worth_ms = work.expires_at_ms - (work.send_at_ms or work.created_at_ms)
    return max(work.expires_at_ms, one.due_at_ms + worth_ms)
