"""A database server that many processes share: MariaDB and PostgreSQL, each in turn."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.journeys.fixtures import gateway, pytest_runtest_makereport, source, zygote
from tests.journeys.kit import Gateway
from tests.scale.kit import Base, without_deadlocks

from carboy.db import upgrade
from carboy.testing.processes import DatabaseServer

__all__ = ["gateway", "pytest_runtest_makereport", "source", "zygote"]


@pytest.fixture(params=["mariadb_server", "postgres_server"], ids=["mariadb", "postgres"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    """A server for the whole run: a test makes a database of its own and breaks nothing."""
    found: DatabaseServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def base(server: DatabaseServer) -> Iterator[Base]:
    """A migrated database."""
    made = Base(server, server.create_database())
    upgrade(made.engine())
    yield made
    made.close()


@pytest.fixture
def shared_gateway(gateway: Gateway, base: Base) -> Iterator[Gateway]:
    """The gateway on that database; its processes never wait for each other's rows in a circle."""
    gateway.environ["FLASK_DATABASE_URL"] = base.url
    gateway.server = replace(base.server, database=base.name)
    with without_deadlocks(base.server):
        yield gateway
