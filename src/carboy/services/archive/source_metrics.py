"""Metrics of the sources of webhooks; a source that the settings do not have counts as `unknown`."""

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from carboy.services.archive.intake import Acceptance

if TYPE_CHECKING:
    from carboy.web import Runtime

UNKNOWN = "unknown"


class SourceMetrics:
    """Counts what each source sends and what became of it.

    Args:
        names: returns the names of the sources as the settings are now.
        last_ms: returns when the newest event of a source was received, milliseconds since the epoch; None without one.
    """

    def __init__(
        self, runtime: "Runtime", names: Callable[[], Collection[str]], last_ms: Callable[[str], int | None] | None
    ) -> None:
        self._names = names
        metrics, clock = runtime.metrics, runtime.clock
        self._received = metrics.counter("carboy_webhook_requests_total", "Requests of sources.", ("source",))
        self._accepted = metrics.counter("carboy_webhook_accepted_total", "Events that were new.", ("source",))
        self._duplicates = metrics.counter("carboy_webhook_duplicates_total", "Events kept before.", ("source",))
        self._refused = metrics.counter(
            "carboy_webhook_refused_total", "Requests that were refused, by reason.", ("source", "reason")
        )

        def ages() -> Iterable[tuple[tuple[str, ...], float]]:
            for name in names():
                found = last_ms(name) if last_ms is not None else None
                if found is not None:
                    yield (name,), max(0.0, (clock.now_ms() - found) / 1000)

        if last_ms is not None:
            metrics.collect(
                "carboy_webhook_last_event_age_seconds", "Time since the newest event of a source.", ages, ("source",)
            )

    def received(self, name: str) -> None:
        """Count a request."""
        self._received.inc((self._label(name),))

    def kept(self, name: str, acceptance: Acceptance) -> None:
        """Count the events of a request that a known source sent, and that was accepted."""
        label = (name,)
        if acceptance.accepted:
            self._accepted.inc(label, acceptance.accepted)
        if duplicates := len(acceptance.ids) - acceptance.accepted:
            self._duplicates.inc(label, duplicates)

    def refused(self, name: str, reason: str) -> None:
        """Count a request that was refused."""
        self._refused.inc((self._label(name), reason))

    def _label(self, name: str) -> str:
        return name if name in self._names() else UNKNOWN
