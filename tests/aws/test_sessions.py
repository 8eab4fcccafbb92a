"""One boto3 session for the process; what an operator sets in the environment is stronger than our defaults."""

from collections.abc import Iterator

import boto3
import pytest

from carboy import aws
from carboy.aws.clients import default_retries, forget


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "eu-west-1"}.items():
        monkeypatch.setenv(name, value)
    forget()
    yield
    aws.set_default_session(None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {"mode": "standard", "total_max_attempts": 3}),
        ({"AWS_MAX_ATTEMPTS": "7"}, {"mode": "standard", "total_max_attempts": 7}),
        ({"AWS_RETRY_MODE": "adaptive"}, {"mode": "adaptive", "total_max_attempts": 3}),
        ({"AWS_MAX_ATTEMPTS": "9", "AWS_RETRY_MODE": "legacy"}, {"mode": "legacy", "total_max_attempts": 9}),
    ],
)
def test_the_environments_retries_count(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: dict[str, object]
) -> None:
    """For every client, KMS's too; an argument of the caller's is stronger still."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert aws.client("ssm").meta.config.retries == expected
    assert aws.client("ssm", attempts=2).meta.config.retries["total_max_attempts"] == 2
    assert (default_retries(4) or {}).get("total_max_attempts", 4) == 4
    assert aws.connect_kms()._client.meta.config.retries["mode"] == expected["mode"]


@pytest.mark.slow
def test_a_given_session_makes_all_clients() -> None:
    """Until it is taken back."""
    aws.set_default_session(boto3.Session(region_name="cn-north-1"))
    assert aws.client("sns").meta.region_name == "cn-north-1"
    assert aws.connect_kms()._client.meta.region_name == "cn-north-1"
    aws.set_default_session(None)
    assert aws.client("sns").meta.region_name == "eu-west-1"
