"""Build the archive from its settings and register it with an application."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask

from carboy.clock import Clock
from carboy.config import Rate
from carboy.errors import CarboyError
from carboy.jobs import Job, JobsSettings, Waiters
from carboy.logs import BoundLogger, get_logger, request_id
from carboy.net import Limits
from carboy.services.archive.admission import Admission
from carboy.services.archive.claim_check import QueueAcceptor, QueueKeeper, StorePark
from carboy.services.archive.configured import SourceRegistry, message_deliverer
from carboy.services.archive.exchanged_secrets import ExchangedSecrets
from carboy.services.archive.intake import Acceptor
from carboy.services.archive.listing import Listing
from carboy.services.archive.object_reads import ObjectReads
from carboy.services.archive.object_store import open_store
from carboy.services.archive.objects import Store
from carboy.services.archive.operations import Accepts, ArchiveOperations, Reads
from carboy.services.archive.pacer import Pacer, SharedBucket
from carboy.services.archive.queries import Reader
from carboy.services.archive.refusals import RefusedRequests
from carboy.services.archive.settings import ArchiveSettings
from carboy.services.archive.source_metrics import SourceMetrics
from carboy.services.archive.sources import THREATSTACK
from carboy.services.archive.threatstack import ThreatStack
from carboy.services.archive.worker import ArchiveWorker, Fetcher, RefusedPuts
from carboy.web import Runtime, add_api
from carboy.web import runtime as runtime_of
from carboy.webhooks import SnsEndpoint

if TYPE_CHECKING:
    from carboy.services.archive.destinations.service import Destinations
    from carboy.services.archive.index import Index
    from carboy.services.archive.retention import Upkeep

DOCUMENT = Path(__file__).with_name("openapi.yaml")

log: BoundLogger = get_logger("carboy.archive")


@dataclass(frozen=True, slots=True)
class Archive:
    """The archive's objects, for its commands: `archive_of(app)`."""

    settings: ArchiveSettings
    store: Store
    objects: ObjectReads
    index: "Index"
    keeper: ArchiveWorker
    replay: Job[[int]]
    reader: Reader
    acceptor: Acceptor
    api: ThreatStack | None
    destinations: "Destinations"
    upkeep: "Upkeep"


def register(app: Flask) -> None:
    """Register the archive: its routes, its jobs, its checks."""
    runtime = runtime_of(app)
    runtime.use_tables("archive")
    settings = runtime.settings.part(ArchiveSettings)
    store = open_settings_store(settings, clock=runtime.clock)
    api = _threatstack(runtime, settings)
    objects = ObjectReads(store, settings.archive_readers, settings.archive_read_wait_s)
    make_service = _with_index if runtime.has_database else _queued
    service = make_service(app, runtime, settings, store, objects, api)
    for job in service.jobs:
        runtime.jobs.registry.add(job)

    def check_store() -> None:
        store.check()
        service.refused.check()

    runtime.dependencies["object store"] = check_store
    sources = SourceRegistry(runtime)
    runtime.body_limits.append(sources.body_limit)
    runtime.compressed_paths.append(sources.takes_compressed)
    if api is not None:
        runtime.dependencies["threatstack"] = api.check_last
    refusals = RefusedRequests(runtime)
    runtime.keep(refusals)
    admission = _admission(app, runtime, settings, sources, refusals)
    operations = ArchiveOperations(
        admission=admission,
        acceptor=service.acceptor,
        reader=service.reader,
        replay=service.replay,
        status=lambda: _status(store, objects, api),
        clock=runtime.clock,
        fetches=api is not None,
    )
    security = {
        "source": admission.verify_source,
        "token": admission.verify_token,
        "sns": admission.verify_sns,
        "handshake": admission.verify_handshake,
    }
    add_api(app, DOCUMENT, operations, name="archive", security=security)
    if api is None:
        log.info("threatstack_off", hint="set THREATSTACK_API_KEY to have the full alert fetched")


def _admission(
    app: Flask, runtime: Runtime, settings: ArchiveSettings, sources: SourceRegistry, refusals: RefusedRequests
) -> Admission:
    sns = SnsEndpoint(
        settings.sns_topic_arns,
        clock=runtime.clock,
        max_age_s=float(settings.sns_max_age),
        require_v2=settings.sns_require_v2,
    )

    def last_received_ms(source: str) -> int | None:
        return archive_of(app).index.last_received_ms(source)

    return Admission(
        sources,
        sns,
        runtime.clock,
        refusals=refusals,
        metrics=SourceMetrics(runtime, sources, last_received_ms if runtime.has_database else None),
        exchanged=ExchangedSecrets(runtime) if runtime.has_database else None,
        max_body_bytes=runtime.web.max_body_bytes,
    )


def archive_of(app: Flask) -> Archive:
    """Return the archive of an application.

    Raises:
        ConfigurationError: there is no database, so that the archive can only be asked by its API.
        KeyError: it has none.
    """
    found = runtime_of(app).find(Archive)
    if found is None:
        runtime_of(app).engine  # noqa: B018 (says what is missing)
        raise KeyError("archive")
    return found


def open_settings_store(settings: ArchiveSettings, url: str = "", clock: Clock | None = None) -> Store:
    """Return the store of a URL, `ARCHIVE_URL` by default, with the time-outs of the settings."""
    url = url or settings.archive_url
    options: dict[str, Any] = {"clock": clock} if clock else {}
    if settings.archive_endpoint and url.startswith("s3:"):
        options["endpoint"] = settings.archive_endpoint
    return open_store(
        url,
        timeout_s=settings.archive_timeout_s,
        connect_timeout_s=settings.archive_connect_timeout_s,
        **options,
    )


@dataclass(frozen=True, slots=True)
class _Service:
    """What the routes stand on: rows, or the queue."""

    acceptor: Accepts
    reader: Reads
    replay: Callable[[str], bool]
    jobs: Sequence[Job[...]]
    refused: RefusedPuts


def _with_index(
    app: Flask, runtime: Runtime, settings: ArchiveSettings, store: Store, objects: ObjectReads, api: ThreatStack | None
) -> _Service:
    from carboy.services.archive.index import Index
    from carboy.services.archive.passing_on import add_destination_api, build_destinations, build_upkeep, offer_events

    index = Index(runtime.engine)
    waiters = Waiters(settings.archive_waiters)
    keeper = ArchiveWorker(store, index, runtime.writer, _fetcher(runtime, settings, api), waiters)
    keep, replay = keeper.jobs()
    destinations = build_destinations(app, runtime, index, store, replay)
    upkeep = build_upkeep(runtime, store, destinations)
    reader = Reader(index, objects)

    def notify() -> None:
        upkeep.periodic.ask()
        runtime.jobs.notify()

    acceptor = Acceptor(
        runtime.writer,
        index,
        keep,
        notify,
        runtime.clock,
        waiters,
        max_wait_s=settings.archive_wait_max_s,
        gather=destinations.gather,
    )
    kept = Archive(settings, store, objects, index, keeper, replay, reader, acceptor, api, destinations, upkeep)
    runtime.keep(kept)
    add_destination_api(app, runtime, destinations)
    runtime.at_start.append(upkeep.periodic.ask)
    offer_events(app, destinations, acceptor)

    def replay_alert(alert_id: str) -> bool:
        item = index.newest(THREATSTACK, alert_id)
        if item is not None:
            enqueue_row(runtime, replay, item.id)
        return item is not None

    own = (destinations.deliverer.job, destinations.replayer.job, upkeep.periodic.job, upkeep.erasing)
    jobs = (keep, replay, *own)
    return _Service(acceptor, reader, replay_alert, jobs, keeper.refused)


def _queued(
    app: Flask, runtime: Runtime, settings: ArchiveSettings, store: Store, objects: ObjectReads, api: ThreatStack | None
) -> _Service:
    runtime.jobs.park = StorePark(store)
    keeper = QueueKeeper(store, _fetcher(runtime, settings, api), runtime.jobs.send)
    reader = Listing(store, objects, runtime.clock, fetches=api is not None)

    def replay_alert(alert_id: str) -> bool:
        if api is not None:
            runtime.jobs.send(keeper.detail, (alert_id, runtime.clock.now_ms()))
        return api is not None

    passing = message_deliverer(app, runtime)
    acceptor = QueueAcceptor(runtime.jobs.send, keeper.keep, runtime.clock, passing.pass_on)
    return _Service(acceptor, reader, replay_alert, (keeper.keep, keeper.detail, passing.job), keeper.refused)


def _threatstack(runtime: Runtime, settings: ArchiveSettings) -> ThreatStack | None:
    if not settings.threatstack_api_key:
        return None
    rate = settings.threatstack_rate
    return ThreatStack(
        settings.threatstack_base_url,
        settings.threatstack_api_key.reveal(),
        version=settings.threatstack_api_version,
        user_id=settings.threatstack_user_id,
        organization_id=settings.threatstack_organization_id,
        bucket=_bucket(runtime, rate) if rate else None,
        patience_s=0.5,
        limits=Limits(
            connect_timeout_s=settings.threatstack_connect_timeout_s,
            read_timeout_s=settings.threatstack_timeout_s,
        ),
        pool_size=runtime.settings.part(JobsSettings).jobs_concurrency + 2,
        clock=runtime.clock,
    )


def _fetcher(runtime: Runtime, settings: ArchiveSettings, api: ThreatStack | None) -> Fetcher | None:
    if api is None:
        return None
    return Fetcher(
        api,
        runtime.clock,
        missing_for_ms=round(float(settings.threatstack_missing_for) * 1000),
        refused_wait_s=float(settings.threatstack_refused_wait),
    )


def _bucket(runtime: Runtime, rate: Rate) -> Pacer:
    if runtime.shared is None:
        return Pacer(rate, runtime.clock)
    return SharedBucket(runtime.shared, "turns:threatstack", rate, runtime.clock)


def enqueue_row(runtime: Runtime, job: Job[[int]], row: int) -> None:
    """Queue a job of the archive for a row of the index."""
    from carboy.jobs import put_each, row_of

    now_ms = runtime.clock.now_ms()
    runtime.writer.run(put_each, row_of(job, (row,), now_ms=now_ms, request_id=request_id()))
    runtime.jobs.notify()


def _status(store: Store, objects: ObjectReads, api: ThreatStack | None) -> tuple[bool, dict[str, Any]]:
    s3 = _probe(lambda: objects.run(store.check))
    source = {"configured": api is not None, **_probe(lambda: None if api is None else api.ping())}
    return s3["ok"] and source["ok"], {"s3": s3, "threatstack": source}


def _probe(check: Callable[[], object]) -> dict[str, Any]:
    started = time.perf_counter()
    reason = ""
    try:
        check()
    except CarboyError as error:
        reason = error.why
    took_ms = round((time.perf_counter() - started) * 1000, 3)
    return {"ok": not reason, "latency_ms": took_ms, **({"reason": reason} if reason else {})}
