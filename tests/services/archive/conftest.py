"""A gateway with the archive, and object stores to put it on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from tests.lab.migrated import migrated_url
from tests.lab.threat_stack import ThreatStack
from tests.services.archive.kit import Gateway, Serve

from carboy import logs
from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.testing.processes import AwsServer
from carboy.web import create_app, runtime


@pytest.fixture(scope="session")
def weed(seaweed: AwsServer) -> AwsServer:
    """A real object store with the bucket `archive`."""
    seaweed.client("s3").create_bucket(Bucket="archive")
    return seaweed


@pytest.fixture
def moto_s3(moto: AwsServer) -> AwsServer:
    """The fake S3 with the bucket `archive`, reset between tests."""
    moto.client("s3").create_bucket(Bucket="archive")
    return moto


@pytest.fixture(scope="session")
def instance_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, so that the documents are parsed once."""
    return tmp_path_factory.mktemp("instance")


@pytest.fixture
def serve(tmp_path: Path, instance_path: Path) -> Iterator[Serve]:
    made: list[Flask] = []

    def start(*, toml: str = "", profile: str = "test", clock: Clock = SYSTEM_CLOCK, **settings: Any) -> Gateway:
        (tmp_path / "carboy.toml").write_text(toml)
        given = {
            "modules": "carboy.services.archive",
            "instance_path": str(instance_path),
            "archive_url": "memory://",
            "threatstack_rate": "off",
            **settings,
        }
        if "database_url" not in given:
            given["database_url"] = migrated_url(tmp_path / "test.db", given["modules"])
        given = {name: value for name, value in given.items() if value is not None}
        app = create_app(profile, folder=tmp_path, clock=clock, **given)
        made.append(app)
        engine = runtime(app).jobs.engine
        assert engine is not None
        engine.start()
        return Gateway(app)

    yield start
    for app in made:
        runtime(app).close()
    logs.reset()


@pytest.fixture
def gateway(serve: Serve) -> Gateway:
    """A gateway that fetches no details."""
    return serve()


@pytest.fixture
def fetching(serve: Serve, threat_stack: ThreatStack) -> Gateway:
    """A gateway that fetches details from the stand-in."""
    return serve(threatstack_api_key="test-api-key", threatstack_base_url=threat_stack.base_url)
