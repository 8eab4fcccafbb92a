"""boto3's clients, from one session, each made once and shared."""

import threading
from functools import cache
from typing import Any

from carboy.extras import extra

__all__ = ["client"]

_lock = threading.Lock()


def client(
    service: str,
    *,
    region_name: str | None = None,
    connect_timeout: float = 5.0,
    read_timeout: float = 30.0,
    attempts: int = 3,
) -> Any:
    """Return boto3's client of a service; the same arguments give the same client.

    Args:
        service: such as `sns`.
        region_name: the region; by default as AWS's own chain says.
        connect_timeout: seconds.
        read_timeout: seconds.
        attempts: tries in all, the first included.
    """
    with _lock:
        return _make(service, region_name, connect_timeout, read_timeout, attempts)


@cache
def _make(service: str, region: str | None, connect_timeout: float, read_timeout: float, attempts: int) -> Any:
    with extra("aws"):
        from botocore.config import Config
    config = Config(
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    return _session().client(service, region_name=region, config=config)


@cache
def _session() -> Any:
    import boto3

    return boto3.session.Session()
