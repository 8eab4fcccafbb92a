"""What AWS refuses, lacks, slows down or leaves unanswered: each its own error, with name, role, and what to allow."""

import json
import pickle
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ProfileNotFound

from carboy.aws import ParameterCache, SecretCache, client, resource, set_default_timeout
from carboy.aws.clients import forget
from carboy.aws.explain import explain, explain_code
from carboy.errors import CarboyError, Missing, Refused, Throttled, Unreachable, UpstreamError
from carboy.testing import Answer, Cut, LoopbackServer, Stall, closed_port
from carboy.testing.processes import moto_server

_ROLE = "arn:aws:sts::123456789012:assumed-role/orders-task/i-0abc"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    forget()
    yield
    set_default_timeout(None)
    forget()


def _fault(code: str, message: str = "", status: int = 400) -> Answer:
    body = json.dumps({"__type": code, "message": message}).encode()
    return Answer(status, body, {"Content-Type": "application/x-amz-json-1.1"})


def _client(server: LoopbackServer, service: str = "secretsmanager", **options: Any) -> Any:
    return client(service, endpoint_url=server.url, **{"attempts": 1, "timeout": 10, **options})


@pytest.mark.parametrize(
    ("step", "kind", "word"),
    [
        (_fault("AccessDeniedException", f"User: {_ROLE} is not authorized to perform: x"), Refused, "orders-task"),
        (_fault("ResourceNotFoundException"), Missing, "not there"),
        (_fault("ThrottlingException"), Throttled, "come back later"),
        (_fault("InternalServiceError", status=500), Unreachable, "AWS failed"),
        (_fault("DecryptionFailure"), Refused, "DecryptionFailure"),
        (_fault("ExpiredTokenException"), Refused, "have expired"),
        (Answer(503, b"<html>"), Unreachable, "503"),
        (Stall(), Unreachable, "no answer in time"),
        (Cut(), Unreachable, "cut"),
        (Cut("body", reset=True), Unreachable, "cut"),
    ],
)
def test_each_failure_has_its_own_error(
    loopback: LoopbackServer, step: Any, kind: type[CarboyError], word: str
) -> None:
    """The name that was asked for and the operation are in it, by whichever way it was asked."""
    made = _client(loopback, timeout=0.5 if isinstance(step, Stall) else 10)
    for ask in (
        lambda: SecretCache(made).get("/prod/db"),
        lambda: made.get_secret_value(SecretId="/prod/db"),
    ):
        loopback.script(step)
        with pytest.raises(kind) as caught:
            ask()
        assert "`/prod/db`" in caught.value.what
        assert "secretsmanager:GetSecretValue" in caught.value.what
        assert word in caught.value.why
        assert isinstance(pickle.loads(pickle.dumps(caught.value)), kind)  # noqa: S301 (our own)


def test_a_refusal_says_what_to_allow_to_whom(loopback: LoopbackServer) -> None:
    """One reads it, and knows what to write into the policy."""
    loopback.script(_fault("AccessDeniedException", f"User: {_ROLE} is not authorized"))

    with pytest.raises(Refused) as caught:
        SecretCache(_client(loopback)).get("/prod/db")

    assert caught.value.hint == "allow secretsmanager:GetSecretValue on `/prod/db` to `orders-task`"


def test_who_catches_no_error_reads_its_hint() -> None:
    """A script or a notebook shows it below the traceback, once, also where the error came from another process."""
    error = Missing("the secret was not read", "it is not there", "check the name")

    for one in (error, pickle.loads(pickle.dumps(error))):  # noqa: S301 (our own)
        shown = "".join(traceback.format_exception(one))
        assert shown.endswith("Missing: the secret was not read: it is not there\nhint: check the name\n")
        assert shown.count("hint") == 1


def test_without_a_role_argument_the_owner_of_the_credentials_is_printed(loopback: LoopbackServer) -> None:
    """AWS's message does not always name it."""
    loopback.script(_fault("AccessDeniedException", "no"))

    with pytest.raises(Refused, match="credentials"):
        _client(loopback).get_secret_value(SecretId="x")


def test_botocores_own_names_go_on_catching(loopback: LoopbackServer) -> None:
    """Code that was written for boto3 is not broken by clearer words."""
    boto = _client(loopback)
    loopback.script(_fault("ResourceNotFoundException"), _fault("ResourceNotFoundException"))

    with pytest.raises(boto.exceptions.ResourceNotFoundException) as caught:
        boto.get_secret_value(SecretId="x")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
    with pytest.raises(ClientError):
        boto.get_secret_value(SecretId="x")


def test_a_batch_that_is_not_allowed_is_asked_one_by_one(loopback: LoopbackServer) -> None:
    """`BatchGetSecretValue` needs a permission of its own; each secret then reports its own error."""
    denied = _fault("AccessDeniedException", f"User: {_ROLE} is not authorized")
    good = Answer(200, json.dumps({"Name": "x", "VersionId": "1", "SecretString": "v"}).encode())

    def answer(request: Any) -> Answer:
        return good if request.json().get("SecretId") == "/good" else denied

    with LoopbackServer(answer) as server:
        found = SecretCache(_client(server)).get_many(["/good", "/bad"])

    assert found["/good"].text == "v"  # type: ignore[union-attr]
    assert isinstance(found["/bad"], Refused)
    assert "`/bad`" in found["/bad"].what


def test_a_parameter_that_is_not_allowed_spoils_no_other(loopback: LoopbackServer) -> None:
    """`GetParameters` is refused as a whole."""
    denied = _fault("AccessDeniedException", f"User: {_ROLE} is not authorized")

    def answer(request: Any) -> Answer:
        names = request.json()["Names"]
        body = {"Parameters": [{"Name": name, "Value": "v"} for name in names], "InvalidParameters": []}
        return denied if "/bad" in names else Answer(200, json.dumps(body).encode())

    with LoopbackServer(answer) as server:
        found = ParameterCache(_client(server, "ssm")).get_many(["/good", "/bad"])

    assert found["/good"] == "v"
    assert isinstance(found["/bad"], Refused)


def test_an_empty_page_with_a_token_is_not_the_end() -> None:
    """Parameter Store answers so below a busy path."""
    pages = [{"Parameters": [], "NextToken": "t"}, {"Parameters": [{"Name": "/a/b", "Value": "v"}]}]
    answers = [Answer(200, json.dumps(page).encode()) for page in pages]
    with LoopbackServer() as server:
        server.script(*answers)
        assert ParameterCache(_client(server, "ssm")).below("/a/") == {"/a/b": "v"}


def test_what_moto_denies_names_the_user() -> None:
    """With its own IAM, as AWS has it."""
    with (
        moto_server(INITIAL_NO_AUTH_ACTION_COUNT="0") as server,
        pytest.raises(UpstreamError, match="AWS did not do secretsmanager:ListSecrets"),
    ):
        client("secretsmanager", endpoint_url=server.url, attempts=1).list_secrets()


def test_an_unreachable_server_is_reported_at_once(loopback: LoopbackServer) -> None:
    """No connection, no credentials, no region: each in our words."""
    with closed_port() as port, pytest.raises(Unreachable, match="no connection"):
        client("sqs", endpoint_url=f"http://127.0.0.1:{port}", attempts=1).list_queues()


def test_without_a_region_it_is_said_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """At the making of a client, where boto3 finds it out."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    forget()
    with pytest.raises(Refused, match="no region") as caught:
        client("sqs")
    assert caught.value.hint == "set AWS_REGION"


def test_time_outs_are_short_and_are_what_one_says() -> None:
    """5 and 30 s; 2 and 5 for secrets and parameters; the default and the caller's own come before."""

    def times(made: Any) -> tuple[float, float]:
        return made.meta.config.connect_timeout, made.meta.config.read_timeout

    assert times(client("s3")) == (5, 30)
    assert times(client("ssm")) == (2, 5)
    assert times(client("s3", timeout=15)) == (15, 15)
    assert times(client("s3", timeout=15, read_timeout=3)) == (15, 3)
    set_default_timeout(7)
    assert times(client("s3")) == (7, 7)
    assert times(client("s3", connect_timeout=1)) == (1, 7)
    assert times(resource("s3").meta.client) == (7, 7)


def test_a_callers_config_is_merged_and_not_refused() -> None:
    """What it says is stronger than our defaults."""
    made = client("s3", config=Config(read_timeout=9, s3={"addressing_style": "path"}))

    assert made.meta.config.read_timeout == 9
    assert made.meta.config.connect_timeout == 5
    assert made.meta.config.s3 == {"addressing_style": "path"}
    assert made.meta.config.retries["mode"] == "standard"
    assert client("s3", config=Config(retries={"mode": "adaptive"})).meta.config.retries["mode"] == "adaptive"


def test_a_client_is_made_once() -> None:
    """By what it is asked for; another time-out is another client."""
    assert client("sqs") is client("sqs")
    assert client("sqs", timeout=1) is not client("sqs")
    assert client("sqs", config=Config(read_timeout=9)) is client("sqs", config=Config(read_timeout=9))
    set_default_timeout(7)
    first = client("sqs")
    set_default_timeout(8)
    assert client("sqs") is not first


def test_a_service_that_stalls_costs_no_more_than_its_time_out(loopback: LoopbackServer) -> None:
    """boto3's own default is a minute, five times."""
    loopback.script(Stall())
    began = time.monotonic()
    with pytest.raises(Unreachable):
        _client(loopback, timeout=0.5).get_secret_value(SecretId="x")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("code", "message", "said", "hint"),
    [
        ("InvalidRequestException", "the secret … because it was marked for deletion.", "for deletion", "restore"),
        ("DecryptionFailure", "", "KMS key", "enable"),
        ("DisabledException", "", "KMS key", "enable"),
        ("KMSInvalidStateException", "pending deletion", "KMS key", "enable"),
        ("InvalidKeyId", "", "no such KMS key", "correct"),
        (
            "AccessDeniedException",
            "arn:aws:sts::1:assumed-role/orders-task/ not authorized to perform: kms:Decrypt on resource: arn:aws:k",
            "`orders-task` may not",
            "allow kms:Decrypt on `arn:aws:k` to `orders-task`",
        ),
        (
            "AccessDeniedException",
            "User: arn:aws:iam::1:user/me is not authorized to perform: ssm:GetParametersByPath",
            "may not",
            "allow ssm:GetParametersByPath on `/prod/` to `me`",
        ),
    ],
)
def test_the_hint_names_what_aws_named(code: str, message: str, said: str, hint: str) -> None:
    """Not the action that was called: reading a SecureString may lack kms:Decrypt."""
    error = explain_code(code, message, "ssm:GetParametersByPath", "/prod/")

    assert said in error.why
    assert hint in error.hint


@pytest.mark.parametrize(
    ("named", "advice"), [("dev-ssso", "did you mean `dev-sso`?"), ("nope", "correct AWS_PROFILE")]
)
def test_an_unknown_profile_is_named_with_those_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, advice: str
) -> None:
    """Whichever part asks AWS first."""
    config = tmp_path / "config"
    config.write_text("[profile dev-sso]\nregion = eu-west-1\n[profile prod]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", named)

    with pytest.raises(ProfileNotFound) as caught:
        botocore.session.Session().get_scoped_config()
    found = explain(caught.value, "secretsmanager:GetSecretValue")

    assert isinstance(found, Refused)
    assert f"no profile `{named}`; it has dev-sso, prod" in str(found)
    assert advice in found.hint
