"""The settings of the archive."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from carboy.config import Derived, Duration, Profile, Rate, setting
from carboy.errors import ConfigurationError, Fault
from carboy.redact import Secret
from carboy.services.archive.destinations.config import DestinationConfig, make_destinations
from carboy.services.archive.object_store import check_url, tutorial_url
from carboy.services.archive.source_settings import SourceConfig
from carboy.services.archive.sources import make_sources, source_names

API_V1 = "https://app.threatstack.com/api/v1"
API_V2 = "https://api.threatstack.com/v2"


def _archive_url(get: Callable[[str], Any]) -> str:
    bucket = get("TS_AWS_S3_BUCKET")
    return tutorial_url(bucket, get("TS_AWS_S3_PREFIX")) if bucket else f"file://{get('INSTANCE_PATH')}/archive"


def _place_folder(url: str, folder: Path) -> str:
    path = url.removeprefix("file://")
    is_relative = path not in {url, ""} and not path.startswith(("/", "localhost/"))
    return f"file://{quote(str(folder))}/{path}" if is_relative else url


def _base_url(get: Callable[[str], Any]) -> str:
    return API_V2 if get("THREATSTACK_API_VERSION") == 2 else API_V1


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """What is kept, where, and how the full alert is fetched."""

    archive_url: str = setting(
        Derived(_archive_url, "file://<instance>/archive"),
        "where objects are stored: file://, s3://, gs://, az://, memory://",
        place=_place_folder,
    )
    archive_endpoint: str = setting("", "another address for s3://, such as your own server")
    archive_timeout_s: float = setting(10.0, "how long one request to the object store may take", unit="s", least=0.01)
    archive_connect_timeout_s: float = setting(
        2.0, "how long connecting to the object store may take", unit="s", least=0.01
    )
    archive_wait_max_s: float = setting(30.0, "the longest `?wait=` that is honoured", unit="s")
    archive_waiters: int = setting(
        8, "requests that may wait at the same time; further ones are answered with 202 at once", least=0
    )
    archive_readers: int = setting(16, "objects read at the same time for all requests", least=1)
    archive_read_wait_s: float = setting(
        5.0, "how long a request waits while no object arrives; then reads are answered 503", unit="s", least=0.01
    )
    archive_sources: dict[str, SourceConfig] = setting({}, "sources of webhooks, by name")
    archive_destinations: dict[str, DestinationConfig] = setting({}, "destinations of archived events, by name")
    deliveries_retention: Duration = setting(Duration("30d"), "how long deliveries that ended, and attempts, are kept")
    ts_aws_s3_bucket: str = setting("", "the tutorial's name for the bucket of ARCHIVE_URL")
    ts_aws_s3_prefix: str = setting("", "the tutorial's name for the prefix of ARCHIVE_URL")
    threatstack_api_key: Secret | None = setting(None, "fetches the full alert; without it the webhook's copy is kept")
    threatstack_base_url: str = setting(Derived(_base_url, f"{API_V1}, or {API_V2}"), "the Threat Stack API")
    threatstack_api_version: Literal[1, 2] = setting(1, "1 (API key) or 2 (Hawk)")
    threatstack_user_id: str = setting("", "the Hawk id of version 2")
    threatstack_organization_id: str = setting("", "the organization, needed by version 2")
    threatstack_rate: Rate | None = setting(Rate(2, 1.0), "requests to the Threat Stack API at most; off for no limit")
    threatstack_timeout_s: float = setting(
        30.0, "how long a response of the Threat Stack API may take", unit="s", least=0.01
    )
    threatstack_connect_timeout_s: float = setting(5.0, "how long connecting to it may take", unit="s", least=0.01)
    threatstack_missing_for: Duration = setting(
        Duration("5m"), "how long an alert that the API does not know yet is requested again"
    )
    threatstack_refused_wait: Duration = setting(
        Duration("60s"), "the wait after the API refused our key, before it is tried again"
    )
    sns_topic_arns: tuple[str, ...] = setting((), "Amazon SNS topics that may post")
    sns_max_age: Duration = setting(
        Duration("1h"), "how old an SNS message may be; raise it to accept messages redriven from a dead-letter queue"
    )
    sns_require_v2: bool = setting(False, "refuse SNS signatures of version 1 (SHA-1)")

    def faults(self, profile: Profile) -> Iterator[Fault]:
        """Yield what is wrong with the values, and between them."""
        try:
            check_url(self.archive_url)
        except ConfigurationError as error:
            yield from (Fault("ARCHIVE_URL", f"{fault.detail}: {error.hint}") for fault in error.faults)
        for arn in self.sns_topic_arns:
            if not re.fullmatch(r"arn:[^:]+:sns:[^:]+:[^:]+:[^:]+", arn):
                yield Fault(
                    "SNS_TOPIC_ARNS", "it lists what is no topic's, such as arn:aws:sns:eu-west-1:123456789012:alerts"
                )
        if self.threatstack_api_version == 2 and self.threatstack_api_key:
            for name in ("threatstack_user_id", "threatstack_organization_id"):
                if not getattr(self, name):
                    yield Fault(name.upper(), "version 2 of the Threat Stack API needs it")
        try:
            make_sources(self.archive_sources)
        except ConfigurationError as error:
            for fault in error.faults:
                yield Fault("ARCHIVE_SOURCES", f"`{fault.pointer}` {fault.detail}")
        try:
            make_destinations(self.archive_destinations, source_names(self.archive_sources), profile)
        except ConfigurationError as error:
            yield from (Fault("ARCHIVE_DESTINATIONS", f"`{one.pointer}` {one.detail}") for one in error.faults)
        for name, source in self.archive_sources.items():
            if source.verify == "none" and profile.is_guarded:
                yield Fault("ARCHIVE_SOURCES", f"`{name}.verify` can be none on the profiles local and test only")
