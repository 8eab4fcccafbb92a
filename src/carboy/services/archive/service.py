"""Build the archive from its settings and register it with an application."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask

from carboy.clock import Clock
from carboy.config import Rate
from carboy.errors import CarboyError, Refused, Unreachable
from carboy.extras import extra
from carboy.jobs import Job, JobsSettings, Waiters
from carboy.logs import BoundLogger, get_logger, request_id
from carboy.net import Limits
from carboy.services.archive.admission import Admission
from carboy.services.archive.claim_check import QueueAcceptor, QueueKeeper, StorePark
from carboy.services.archive.intake import Acceptor
from carboy.services.archive.listing import Listing
from carboy.services.archive.object_store import open_store
from carboy.services.archive.objects import Store
from carboy.services.archive.operations import Accepts, ArchiveOperations, Reads
from carboy.services.archive.pacer import Pacer, SharedBucket
from carboy.services.archive.queries import Reader
from carboy.services.archive.settings import ArchiveSettings
from carboy.services.archive.sources import THREATSTACK, WebhookSource, make_senders
from carboy.services.archive.threatstack import ThreatStack
from carboy.services.archive.worker import ArchiveWorker, Fetcher
from carboy.web import Runtime, add_api, runtime
from carboy.webhooks import Certificates, SubscriptionConfirmation, Verifier, confirm, fetch_url

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from carboy.services.archive.index import Index

__all__ = ["EXTENSION", "Archive", "archive_of", "register"]

EXTENSION = "carboy.archive"
DOCUMENT = Path(__file__).with_name("openapi.yaml")

log: BoundLogger = get_logger("carboy.archive")


@dataclass(frozen=True, slots=True)
class Archive:
    """The archive's objects, for its commands: `archive_of(app)`."""

    settings: ArchiveSettings
    store: Store
    index: "Index"
    keeper: ArchiveWorker
    keep: Job[[int]]
    replay: Job[[int]]
    reader: Reader
    acceptor: Acceptor
    api: ThreatStack | None


def register(app: Flask) -> None:
    """Register the archive: its routes, its jobs, its checks."""
    held = runtime(app)
    settings = held.settings.part(ArchiveSettings)
    store = open_settings_store(settings, clock=held.clock)
    api = _threatstack(held, settings)
    service = _with_index(app, held, settings, store, api) if held.has_database else _queued(held, settings, store, api)
    for job in service.jobs:
        held.jobs.registry.add(job)
    held.dependencies["object store"] = store.check
    operations = ArchiveOperations(
        gate=_gate(settings, held),
        acceptor=service.acceptor,
        reader=service.reader,
        replay=service.replay,
        status=lambda: _status(store, api),
        clock=held.clock,
        fetches=api is not None,
    )
    add_api(app, DOCUMENT, operations, name="archive")
    if api is None:
        log.info("threatstack_off", hint="set THREATSTACK_API_KEY to have the full alert fetched")


def archive_of(app: Flask) -> Archive:
    """Return the archive of an application.

    Raises:
        ConfigurationError: there is no database, so that the archive can only be asked by its API.
        KeyError: it has none.
    """
    if EXTENSION not in app.extensions:
        runtime(app).engine  # noqa: B018 (says what is missing)
    found: Archive = app.extensions[EXTENSION]
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


def _with_index(
    app: Flask, held: Runtime, settings: ArchiveSettings, store: Store, api: ThreatStack | None
) -> _Service:
    from carboy.services.archive.index import Index

    index = Index(held.engine)
    waiters = Waiters(settings.archive_waiters)
    keeper = ArchiveWorker(store, index, held.writer, _fetcher(held, settings, api), waiters)
    keep, replay = keeper.jobs()
    reader = Reader(index, store, settings.archive_readers)
    acceptor = Acceptor(
        held.writer,
        index,
        keep,
        held.jobs.wake,
        held.clock,
        waiters,
        max_wait_s=settings.archive_wait_max_s,
    )
    app.extensions[EXTENSION] = Archive(settings, store, index, keeper, keep, replay, reader, acceptor, api)

    def replay_alert(alert_id: str) -> bool:
        item = index.newest(THREATSTACK, alert_id)
        if item is not None:
            _enqueue(held, replay, item.id)
        return item is not None

    return _Service(acceptor, reader, replay_alert, (keep, replay))


def _queued(held: Runtime, settings: ArchiveSettings, store: Store, api: ThreatStack | None) -> _Service:
    held.jobs.park = StorePark(store)
    keeper = QueueKeeper(store, _fetcher(held, settings, api), held.jobs.send)
    reader = Listing(store, settings.archive_readers, held.clock, fetches=api is not None)

    def replay_alert(alert_id: str) -> bool:
        if api is not None:
            held.jobs.send(keeper.detail, (alert_id, held.clock.now_ms()))
        return api is not None

    acceptor = QueueAcceptor(held.jobs.send, keeper.keep, held.clock)
    return _Service(acceptor, reader, replay_alert, (keeper.keep, keeper.detail))


def _threatstack(held: Runtime, settings: ArchiveSettings) -> ThreatStack | None:
    if not settings.threatstack_api_key:
        return None
    rate = settings.threatstack_rate
    return ThreatStack(
        settings.threatstack_base_url,
        settings.threatstack_api_key.reveal(),
        version=settings.threatstack_api_version,
        user_id=settings.threatstack_user_id,
        organization_id=settings.threatstack_organization_id,
        bucket=_bucket(held, rate) if rate else None,
        patience_s=0.5,
        limits=Limits(
            connect_timeout_s=settings.threatstack_connect_timeout_s,
            read_timeout_s=settings.threatstack_timeout_s,
        ),
        pool_size=held.settings.part(JobsSettings).jobs_concurrency + 2,
        clock=held.clock,
    )


def _fetcher(held: Runtime, settings: ArchiveSettings, api: ThreatStack | None) -> Fetcher | None:
    if api is None:
        return None
    return Fetcher(
        api,
        held.clock,
        missing_for_ms=round(float(settings.threatstack_missing_for) * 1000),
        refused_wait_s=float(settings.threatstack_refused_wait),
    )


def _bucket(held: Runtime, rate: Rate) -> Pacer:
    if held.shared is None:
        return Pacer(rate, held.clock)
    return SharedBucket(held.shared, "turns:threatstack", rate, held.clock)


def _gate(settings: ArchiveSettings, held: Runtime) -> Admission:
    certificates = Certificates(fetch_url, clock=held.clock)
    verifier = Verifier(settings.sns_topic_arns, certificates, clock=held.clock, require_v2=settings.sns_require_v2)
    senders = make_senders(settings.archive_sources)
    limiters = {name: held.make_limiter(f"source:{name}", one.rate) for name, one in senders.items() if one.rate}

    def take(sender: WebhookSource) -> float:
        return limiters[sender.name].take(sender.name)

    return Admission(senders, verifier, _confirm, settings.sns_topic_arns, take, held.clock)


def _confirm(message: SubscriptionConfirmation) -> str:
    """Confirm through the API; without credentials by the message's own address."""
    with extra("aws"):
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    what = "the subscription could not be confirmed"
    try:
        return confirm(message, make_client=_sns_client, fetch=fetch_url)
    except NoCredentialsError:
        return confirm(message, make_client=None, fetch=fetch_url)
    except ClientError as error:
        why = f"Amazon SNS answered {error.response.get('Error', {}).get('Code', 'with an error')}"
        raise Refused(what, why, "allow sns:ConfirmSubscription to this role; SNS asks again") from error
    except BotoCoreError as error:
        raise Unreachable(what, type(error).__name__, "look at the network; SNS asks again") from error


def _sns_client(region: str) -> Any:
    from carboy.aws import client

    return client("sns", region_name=region)


def _enqueue(held: Runtime, job: Job[[int]], row: int) -> None:
    from carboy.jobs import row_of

    now_ms = held.clock.now_ms()
    held.writer.run(_insert, row_of(job, (row,), now_ms=now_ms, request_id=request_id()))
    held.jobs.wake()


def _insert(connection: "Connection", rows: Any) -> list[None]:
    from carboy.jobs import put

    put(connection, rows)
    return [None] * len(rows)


def _status(store: Store, api: ThreatStack | None) -> tuple[bool, dict[str, Any]]:
    objects = _probe(store.check)
    source = {"configured": api is not None, **_probe(api.ping if api else _nothing)}
    return objects["ok"] and source["ok"], {"s3": objects, "threatstack": source}


def _nothing() -> None:
    """Do nothing: what is not configured cannot fail."""


def _probe(check: Callable[[], object]) -> dict[str, Any]:
    started = time.perf_counter()
    reason = ""
    try:
        check()
    except CarboyError as error:
        reason = error.why
    took_ms = round((time.perf_counter() - started) * 1000, 3)
    return {"ok": not reason, "latency_ms": took_ms, **({"reason": reason} if reason else {})}
