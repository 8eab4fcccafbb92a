"""A database, a broker, code that commits rows in this process, and workers in separate processes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.jobs.celery.kit import _MODULES, Yard
from tests.journeys.zygote import Zygote

from carboy.testing.processes import AwsServer, BrokerServer


@pytest.fixture(scope="session")
def celery_zygote() -> Iterator[Zygote]:
    """The parent of quick workers."""
    with Zygote(*_MODULES) as made:
        yield made


@pytest.fixture
def make_yard(tmp_path: Path, celery_zygote: Zygote) -> Iterator[Callable[..., Yard]]:
    """Make a yard at a broker's address."""
    made: list[Yard] = []

    def make(url: str, **environ: str) -> Yard:
        folder = tmp_path / f"yard{len(made)}"
        folder.mkdir()
        made.append(Yard(folder, celery_zygote, {"JOBS_BROKER_URL": url, **environ}))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def yard(make_yard: Callable[..., Yard], redis_server: BrokerServer) -> Yard:
    """A yard on Redis."""
    return make_yard(redis_server.url)


@pytest.fixture(params=["redis", "rabbitmq", "sqs"])
def any_yard(request: pytest.FixtureRequest, make_yard: Callable[..., Yard], monkeypatch: pytest.MonkeyPatch) -> Yard:
    """A yard on each broker."""
    if request.param == "sqs":
        moto: AwsServer = request.getfixturevalue("moto")
        for name, value in moto.environment.items():
            monkeypatch.setenv(name, value)
        return make_yard("sqs://", **moto.environment)
    server: BrokerServer = request.getfixturevalue(f"{request.param}_server")
    return make_yard(server.url)
