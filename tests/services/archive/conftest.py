from typing import Any
from uuid import uuid4

import pytest

from carboy.services.archive.store import Store, open_store
from carboy.testing.processes import AwsServer


@pytest.fixture(scope="session")
def weed(seaweed: AwsServer) -> AwsServer:
    """A real object store with the bucket `archive`."""
    seaweed.client("s3").create_bucket(Bucket="archive")
    return seaweed


@pytest.fixture
def moto_s3(moto: AwsServer) -> AwsServer:
    """What stands for S3 with the bucket `archive`, whatever another test has made it forget."""
    moto.client("s3").create_bucket(Bucket="archive")
    return moto


def bucket_of(server: AwsServer, prefix: str = "", **options: Any) -> Store:
    """Return a store on a server's bucket, under a prefix that no other test uses."""
    given = {
        "endpoint": server.url,
        "region": server.region,
        "access_key_id": server.access_key,
        "secret_access_key": server.secret_key,
    }
    return open_store(f"s3://archive/{prefix or uuid4().hex}", **{**given, **options})
