from collections.abc import Iterator
from uuid import uuid4

import pytest

from carboy.services.archive.store import Store, open_store
from carboy.testing.processes import AwsServer, moto_server, seaweedfs


@pytest.fixture(scope="session")
def weed() -> Iterator[AwsServer]:
    with seaweedfs() as server:
        server.client("s3").create_bucket(Bucket="archive")
        yield server


@pytest.fixture(scope="session")
def moto() -> Iterator[AwsServer]:
    with moto_server() as server:
        server.client("s3").create_bucket(Bucket="archive")
        yield server


def bucket_of(server: AwsServer, prefix: str = "", **options: str) -> Store:
    """Return a store on a server's bucket, under a prefix that no other test uses."""
    given = {
        "endpoint": server.url,
        "region": server.region,
        "access_key_id": server.access_key,
        "secret_access_key": server.secret_key,
    }
    return open_store(f"s3://archive/{prefix or uuid4().hex}", **{**given, **options})  # type: ignore[arg-type]
