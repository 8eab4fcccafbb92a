"""Open the object store that a URL names; nothing is connected to or made before the first call."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from carboy.aws import dns_suffix
from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.config import read_environ
from carboy.errors import ConfigurationError, Fault
from carboy.extras import extra
from carboy.services.archive.bucket import BucketStore
from carboy.services.archive.folder import FolderStore
from carboy.services.archive.objects import Store

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_BUCKETS = {"s3": "S3Store", "gs": "GCSStore", "az": "AzureStore"}


def open_store(
    url: str,
    *,
    timeout_s: float = 10.0,
    connect_timeout_s: float = 2.0,
    retries: int = 2,
    pool_size: int = 64,
    clock: Clock = SYSTEM_CLOCK,
    **options: Any,
) -> Store:
    """Return the store that a URL names.

    Args:
        url: `file:///an/absolute/folder` or `file://a/relative/one`, `memory://`, `s3://bucket/prefix`,
            `gs://bucket/prefix`, `az://container/prefix`.
        timeout_s: for one request to a bucket, from connecting to the last byte.
        connect_timeout_s: for the connection alone.
        retries: further tries of a request that met a 5xx, a cut or, when reading, a timeout.
        pool_size: idle connections kept to one host.
        clock: waits before a new object is tried again that met another writer's in the middle.
        options: obstore's own for that cloud, over what it reads of the environment (`AWS_REGION`,
            `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, … and the role of the container or machine): `region`,
            `endpoint`, `access_key_id`, `secret_access_key`, `session_token`, `credential_provider`, …

    Raises:
        ConfigurationError: the URL or an option cannot be understood.
        MissingExtra: obstore is not installed; a folder needs nothing.
    """
    parts = check_url(url)
    if parts.scheme == "file":
        return FolderStore(_folder(parts))
    with extra("archive"):
        import obstore.store as backends
    if parts.scheme == "memory":
        return BucketStore(backends.MemoryStore(), "memory")
    is_conditional: bool | None = True
    if parts.scheme == "s3":
        options.setdefault("checksum_algorithm", "sha256")
        is_conditional = _place_s3(options)
        if parts.netloc.endswith("--x-s3"):  # a directory bucket has sessions, and addresses in its zone
            options.setdefault("s3_express", True)
    client: ClientConfig = {
        "allow_http": True,  # an endpoint is plain HTTP only where the operator has written so
        "connect_timeout": timedelta(seconds=connect_timeout_s),
        "timeout": timedelta(seconds=timeout_s),
        "pool_max_idle_per_host": str(pool_size),
    }
    retry: RetryConfig = {
        "max_retries": retries,
        "retry_timeout": timedelta(seconds=timeout_s * (retries + 1)),
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
    }
    make = getattr(backends, _BUCKETS[parts.scheme])
    backend = _made(make.from_url, url, client_options=client, retry_config=retry, **options)
    return BucketStore(
        backend, f"{parts.scheme}://{parts.netloc}", attempts=retries + 1, clock=clock, is_conditional=is_conditional
    )


def check_url(url: str) -> SplitResult:
    """Return the parts of a store's URL, as far as it can be judged without a store.

    Raises:
        ConfigurationError: the URL cannot be understood.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"file", "memory", *_BUCKETS}:
        raise _wrong(f"the scheme is not one of file, memory, {', '.join(_BUCKETS)}")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise _wrong("it has a query, a fragment or a user: options and credentials are settings of their own")
    if parts.scheme in _BUCKETS and not parts.netloc:
        raise _wrong("it names no bucket")
    if parts.scheme == "file":
        _folder(parts)
    return parts


def _place_s3(options: dict[str, Any]) -> bool | None:
    """Set the endpoints of partitions such as China; return True for AWS's own S3, None for a server to be probed."""
    environ = read_environ()
    region = options.get("region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    given = options.get("endpoint") or environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    suffix = dns_suffix(region)
    if not given and suffix != "amazonaws.com":
        given = options["endpoint"] = f"https://s3.{region}.{suffix}"
        if "AWS_ENDPOINT_URL_STS" not in environ:
            options.setdefault("aws_endpoint_url_sts", f"https://sts.{region}.{suffix}")  # web identity (EKS)
    host = (urlsplit(given).hostname or "") if given else ""
    return True if not given or host.endswith(("amazonaws.com", f".{suffix}")) else None


def tutorial_url(bucket: str, prefix: str = "") -> str:
    """Return the URL for what the tutorial's service calls `TS_AWS_S3_BUCKET` and `TS_AWS_S3_PREFIX`."""
    return f"s3://{bucket}/{prefix.strip('/')}".rstrip("/")


def _folder(parts: SplitResult) -> Path:
    """Return the folder of a `file:` URL; what stands before the first slash is the start of a relative one."""
    path = unquote(parts.path if parts.netloc == "localhost" else parts.netloc + parts.path)
    if not path or "\0" in path:
        raise _wrong("it names no folder")
    return Path(path)


def _made(make: Callable[..., Any], url: str, **options: Any) -> Any:
    from obstore.exceptions import BaseError

    try:
        return make(url, **options)
    except (BaseError, ValueError, TypeError) as error:
        raise _wrong("obstore refuses it or an option that came with it") from error


def _wrong(why: str) -> ConfigurationError:
    return ConfigurationError(
        "the archive's store could not be opened",
        f"`ARCHIVE_URL` cannot be used: {why}",
        "write it as file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix",
        [Fault("archive_url", why)],
    )
