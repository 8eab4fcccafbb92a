"""Build the destinations of an application, with their metrics and their upkeep."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask

from carboy.jobs import Job, JobsSettings
from carboy.services.archive.configured import configured_destinations, surroundings
from carboy.services.archive.destinations.config import Destination
from carboy.services.archive.destinations.hooks import hooks
from carboy.services.archive.destinations.operations import DestinationOperations
from carboy.services.archive.destinations.replay import Replayer
from carboy.services.archive.destinations.senders import Senders
from carboy.services.archive.destinations.service import Destinations
from carboy.services.archive.destinations.store import DeliveryStore
from carboy.services.archive.destinations.worker import Deliverer
from carboy.services.archive.intake import Acceptor
from carboy.services.archive.items import NewItem
from carboy.services.archive.object_keys import webhook_key
from carboy.services.archive.objects import Store
from carboy.services.archive.retention import Limits, Upkeep
from carboy.services.archive.settings import ArchiveSettings
from carboy.services.archive.sources import source_names
from carboy.web import Runtime, add_api

if TYPE_CHECKING:
    from carboy.services.archive.index import Index

KEEP_EVENT = "carboy.keep_event"
DOCUMENT = Path(__file__).parent / "destinations" / "openapi.yaml"


def build_destinations(
    app: Flask, runtime: Runtime, index: "Index", store: Store, archive_again: Job[[int]]
) -> Destinations:
    """Return the destinations of the settings, and those of `@on_archived`."""
    attempts = runtime.metrics.counter(
        "carboy_archive_delivery_attempts_total", "Attempts to deliver, by outcome.", ("destination", "outcome")
    )
    seconds = runtime.metrics.histogram(
        "carboy_archive_delivery_attempt_seconds", "Time of each attempt to deliver.", ("destination",)
    )

    def count(name: str, outcome: str, took_s: float) -> None:
        attempts.inc((name, outcome))
        seconds.observe(took_s, (name,))

    jobs, writer, clock = runtime.settings.part(JobsSettings), runtime.writer, runtime.clock
    around, configured = surroundings(app, runtime), configured_destinations(runtime)

    def every() -> Mapping[str, Destination]:
        own = {name: destination for name, (destination, _) in hooks().items()}
        return {**own, **configured()} if own else configured()

    sender = Senders(clock, around)
    deliverer = Deliverer(
        every,
        sender,
        index=index,
        store=store,
        writer=writer,
        clock=clock,
        most=max(1, jobs.jobs_concurrency * 3 // 4),
        on_attempt=count,
        may_leave=jobs.jobs_engine != "sqs",
    )
    runtime.jobs.registry.at_stop.append(deliverer.stop)
    replayer = Replayer(every, index, store, writer, clock, archive_again=archive_again, deliver=deliverer.job)
    rows = DeliveryStore(runtime.engine, clock)
    made = Destinations(every, index, rows, writer, clock, around, sender, deliverer, replayer)
    _add_gauges(runtime, made)
    return made


def _add_gauges(runtime: Runtime, destinations: Destinations) -> None:
    def read(choose: Callable[[tuple[int, int, int | None]], float]) -> Iterable[tuple[tuple[str, ...], float]]:
        return [((name,), choose(destinations.store.counts(name))) for name in destinations.names()]

    def age_s(found: tuple[int, int, int | None]) -> float:
        return 0.0 if found[2] is None else max(0.0, (runtime.clock.now_ms() - found[2]) / 1000)

    runtime.metrics.collect(
        "carboy_archive_deliveries_waiting", "Deliveries that wait.", partial(read, itemgetter(0)), ("destination",)
    )
    runtime.metrics.collect(
        "carboy_archive_deliveries_failed", "Deliveries that failed.", partial(read, itemgetter(1)), ("destination",)
    )
    runtime.metrics.collect(
        "carboy_archive_oldest_delivery_seconds",
        "Age of the oldest delivery that waits.",
        partial(read, age_s),
        ("destination",),
    )


def add_destination_api(app: Flask, runtime: Runtime, destinations: Destinations) -> None:
    """Serve the routes of destinations."""
    operations = DestinationOperations(
        destinations,
        lambda: source_names(runtime.newest(ArchiveSettings).archive_sources),
        runtime.jobs.notify,
    )
    add_api(app, DOCUMENT, operations, name="destinations")


def build_upkeep(runtime: Runtime, store: Store, destinations: Destinations) -> Upkeep:
    """Return what deletes events and deliveries past their age."""
    deleted = runtime.metrics.counter(
        "carboy_archive_deleted_total", "Events that were deleted, by reason.", ("source", "reason")
    )

    def limits() -> Limits:
        settings = runtime.newest(ArchiveSettings)
        keeps = any(one.keep is not None for one in settings.archive_sources.values())
        retention_ms = round(float(settings.deliveries_retention) * 1000)
        is_needed = keeps or bool(settings.archive_destinations) or bool(hooks())
        enabled = {name: one.config.enabled for name, one in destinations.all().items()}
        return Limits(settings.archive_sources, retention_ms, is_needed, enabled)

    def purge(before_ms: int) -> int:
        return runtime.jobs.store.purge(state="done", kind="archive.deliver", before_ms=before_ms)

    return Upkeep(
        runtime.engine,
        runtime.writer,
        store,
        runtime.clock,
        limits,
        destinations.deliverer.job,
        purge,
        lambda source, reason, count: deleted.inc((source, reason), count),
    )


def offer_events(app: Flask, destinations: Destinations, acceptor: Acceptor) -> None:
    """Let other services of the application archive an event, where a destination takes it; each id once."""

    def keep(source: str, event_id: str, event_type: str, at_ms: int, body: bytes) -> None:
        if not any(one.config.enabled and one.takes(source, event_type) for one in destinations.all().values()):
            return
        key = webhook_key(event_id, at_ms, source)
        digest = hashlib.sha256(body).digest()
        item = NewItem(
            source, key.rpartition("/")[2], digest, digest, at_ms, key, "application/json", body, type=event_type
        )
        acceptor.accept([item], [event_id])

    app.extensions[KEEP_EVENT] = keep
