"""A gateway from the outside: its processes, what it was sent and answered, and what must be archived in the end."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journeys.fixtures import gateway, pytest_runtest_makereport, source, zygote
from tests.journeys.kit import Gateway, bucket_objects

from carboy.testing.processes import AwsServer, require, seaweedfs

__all__ = ["gateway", "pytest_runtest_makereport", "source", "zygote"]


@pytest.fixture(scope="module")
def weed() -> Iterator[AwsServer]:
    """An object store that may be killed."""
    with require(seaweedfs) as server:
        yield server


@pytest.fixture
def bucket_gateway(gateway: Gateway, weed: AwsServer, tmp_path: Path) -> Gateway:
    """The same, that archives into a bucket."""
    bucket = f"journey-{os.urandom(4).hex()}"
    weed.client("s3").create_bucket(Bucket=bucket)
    gateway.environ |= {**weed.environment, "FLASK_ARCHIVE_URL": f"s3://{bucket}", "FLASK_ARCHIVE_TIMEOUT_S": "2"}
    gateway.objects = lambda: bucket_objects(weed, bucket)
    return gateway
