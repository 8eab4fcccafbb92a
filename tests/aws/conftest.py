"""Secrets Manager and Parameter Store, with the calls to them counted."""

from collections.abc import Iterator

import pytest
from tests.aws.kit import Aws

from carboy.aws.clients import forget
from carboy.testing.processes import AwsServer


@pytest.fixture
def aws(moto: AwsServer) -> Aws:
    """moto, with names and counts of this test's own."""
    return Aws(moto)


@pytest.fixture
def aws_environment(moto: AwsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsServer]:
    """Moto as what the process's own session finds."""
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    forget()
    yield moto
    forget()
