"""AWS's agent on loopback gives the secrets; what it does not give is asked of AWS."""

import json
from pathlib import Path

import pytest
from tests.aws.kit import Aws

from carboy.aws import SecretCache
from carboy.errors import ConfigurationError
from carboy.testing import Answer, LoopbackServer, ManualClock, Request, closed_port


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The agent's token, in a file."""
    path = tmp_path / "awssmatoken"
    path.write_text("the-token\n", "utf-8")
    monkeypatch.setenv("AWS_TOKEN", f"file://{path}")
    return "the-token"


def _answer(version: str = "v1", text: str = "from-agent") -> Answer:
    body = {"Name": "/a", "VersionId": version, "SecretString": text, "VersionStages": ["AWSCURRENT"]}
    return Answer(200, json.dumps(body).encode())


def test_a_secret_comes_from_the_agent_without_boto3(loopback: LoopbackServer, token: str) -> None:
    """With the token, the name and the stage."""
    loopback.script(_answer())

    assert SecretCache(object(), agent=loopback.url).get("/a b").text == "from-agent"

    request = loopback.requests[0]
    assert request.path == "/secretsmanager/get"
    assert request.query == {"secretId": "/a b", "versionStage": "AWSCURRENT"}
    assert request.headers["x-aws-parameters-secrets-token"] == token


@pytest.mark.parametrize("answer", [Answer(400, b"{}"), Answer(200, b"no json"), Answer(200, b"{}"), Answer(500)])
def test_what_the_agent_does_not_give_is_asked_of_aws(loopback: LoopbackServer, aws: Aws, answer: Answer) -> None:
    """The reason does not matter."""
    loopback.script(answer)
    name = aws.secret("from-aws")
    assert SecretCache(aws.client("secretsmanager"), agent=loopback.url).get(name).text == "from-aws"


def test_an_agent_that_is_away_is_no_fault(aws: Aws) -> None:
    """Nor is one that is not up yet."""
    with closed_port() as port:
        secrets = SecretCache(aws.client("secretsmanager"), agent=f"http://127.0.0.1:{port}")
        assert secrets.get(aws.secret("from-aws")).text == "from-aws"


def test_a_doubted_secret_is_asked_of_aws_where_the_agent_says_the_same_again(aws: Aws) -> None:
    """The extension for Lambda keeps its own for minutes, and knows no `refreshNow`."""
    clock = ManualClock()
    name = aws.secret("old")
    old = SecretCache(aws.client("secretsmanager")).get(name).version
    seen: list[Request] = []

    def answer(request: Request) -> Answer:
        seen.append(request)
        return _answer(old, "old")

    with LoopbackServer(answer) as server:
        secrets = SecretCache(aws.client("secretsmanager"), agent=server.url, clock=clock)
        value = secrets.get(name)
        aws.put(name, "new")
        clock.advance(10)
        assert secrets.refresh(name, unless=value).text == "new"

    assert seen[1].query["refreshNow"] == "true"


def test_the_address_must_be_plain_http() -> None:
    """The agent listens on loopback only."""
    with pytest.raises(ConfigurationError, match="AWS_SECRETS_AGENT"):
        SecretCache(object(), agent="https://example.org")
