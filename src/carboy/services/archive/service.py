"""Build the archive from its settings and register it with an application."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask

from carboy.clock import Clock
from carboy.config import Rate
from carboy.errors import CarboyError, Refused, Unreachable
from carboy.extras import extra
from carboy.jobs import Job, JobsSettings, put, row_of
from carboy.logs import get_logger, request_id
from carboy.net.limited import Limits
from carboy.services.archive.accepting import Acceptor
from carboy.services.archive.archiving import Api, Keeper
from carboy.services.archive.gate import Gate
from carboy.services.archive.index import Index
from carboy.services.archive.objects import Store
from carboy.services.archive.operations import ArchiveOperations
from carboy.services.archive.rate import SharedBucket, TokenBucket
from carboy.services.archive.reading import Reader
from carboy.services.archive.settings import ArchiveSettings
from carboy.services.archive.sources import Sender, make_senders
from carboy.services.archive.store import open_store
from carboy.services.archive.threatstack import ThreatStack
from carboy.web import Runtime, add_api, runtime
from carboy.web.proofs import Certificates, SubscriptionConfirmation, Verifier, confirm, fetch_url

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["EXTENSION", "Archive", "archive_of", "register"]

EXTENSION = "carboy.archive"
DOCUMENT = Path(__file__).with_name("openapi.yaml")

log = get_logger("carboy.archive")


@dataclass(frozen=True, slots=True)
class Archive:
    """The archive's objects, for its commands: `archive_of(app)`."""

    settings: ArchiveSettings
    store: Store
    index: Index
    keeper: Keeper
    keep: Job[[int]]
    replay: Job[[int]]
    reader: Reader
    acceptor: Acceptor
    api: ThreatStack | None


def register(app: Flask) -> None:
    """Register the archive: its routes, its jobs, its checks."""
    held = runtime(app)
    settings = held.settings.part(ArchiveSettings)
    archive = _build(held, settings)
    app.extensions[EXTENSION] = archive
    for job in (archive.keep, archive.replay):
        held.jobs.registry.add(job)
    held.checks["object store"] = archive.store.check
    operations = ArchiveOperations(
        gate=_gate(settings, held),
        acceptor=archive.acceptor,
        reader=archive.reader,
        index=archive.index,
        replay=archive.replay,
        enqueue=lambda job, row: _enqueue(held, job, row),
        status=lambda: _status(archive),
        clock=held.clock,
        fetches=archive.api is not None,
    )
    add_api(app, DOCUMENT, operations, name="archive")
    if archive.api is None:
        log.info("threatstack_off", hint="set THREATSTACK_API_KEY to have the full alert fetched")


def archive_of(app: Flask) -> Archive:
    """Return the archive of an application; `KeyError` where it has none."""
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


def _build(held: Runtime, settings: ArchiveSettings) -> Archive:
    store = open_settings_store(settings, clock=held.clock)
    index = Index(held.engine)
    source: Api | None = None
    client: ThreatStack | None = None
    if settings.threatstack_api_key:
        rate = settings.threatstack_rate
        source = client = ThreatStack(
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
    keeper = Keeper(
        store,
        index,
        held.writer,
        held.clock,
        source,
        missing_for_ms=round(float(settings.threatstack_missing_for) * 1000),
        refused_wait_s=float(settings.threatstack_refused_wait),
    )
    keep, replay = keeper.jobs()
    reader = Reader(index, store, settings.archive_readers)
    acceptor = Acceptor(
        held.writer,
        index,
        keep,
        held.jobs.wake,
        held.clock,
        max_waiters=settings.archive_waiters,
        max_wait_s=settings.archive_wait_max_s,
    )
    return Archive(settings, store, index, keeper, keep, replay, reader, acceptor, client)


def _bucket(held: Runtime, rate: Rate) -> TokenBucket:
    if held.shared is None:
        return TokenBucket(rate, held.clock)
    return SharedBucket(held.shared, "turns:threatstack", rate, held.clock)


def _gate(settings: ArchiveSettings, held: Runtime) -> Gate:
    certificates = Certificates(fetch_url, clock=held.clock)
    verifier = Verifier(settings.sns_topic_arns, certificates, clock=held.clock, require_v2=settings.sns_require_v2)
    senders = make_senders(settings.archive_sources)
    limiters = {name: held.make_limiter(f"source:{name}", one.rate) for name, one in senders.items() if one.rate}

    def take(sender: Sender) -> float:
        return limiters[sender.name].take(sender.name)

    return Gate(senders, verifier, _confirm, settings.sns_topic_arns, take, held.clock)


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
    now_ms = held.clock.now_ms()
    held.writer.run(_insert, row_of(job, (row,), now_ms=now_ms, request_id=request_id()))
    held.jobs.wake()


def _insert(connection: "Connection", rows: Any) -> list[None]:
    put(connection, rows)
    return [None] * len(rows)


def _status(archive: Archive) -> tuple[bool, dict[str, Any]]:
    store = _probe(archive.store.check)
    source = {"configured": archive.api is not None, **_probe(archive.api.ping if archive.api else _nothing)}
    return store["ok"] and source["ok"], {"s3": store, "threatstack": source}


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
