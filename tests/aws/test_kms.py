"""The key service in memory and AWS KMS keep the same promises; errors of AWS are explained."""

from collections.abc import Iterator

import boto3
import pytest
from tests.lab.signing_keys import KeyServer, MemoryKeys

from carboy import aws
from carboy.aws import Kms, connect_kms
from carboy.config.encrypted import KeyService, WrongKey
from carboy.errors import Missing, Refused, Throttled, Unreachable, UpstreamError
from carboy.testing import LoopbackServer, json_answer
from carboy.testing.processes import AwsServer

CONTEXT = {"app": "carboy", "stage": "prod"}


@pytest.fixture(params=["memory", "server", "moto"])
def service(request: pytest.FixtureRequest) -> Iterator[KeyService]:
    """Give a service with the key `alias/k`."""
    if request.param == "memory":
        yield MemoryKeys("k")
    elif request.param == "server":
        with KeyServer(MemoryKeys("k")) as server:
            session = boto3.Session("testing", "testing", region_name="eu-west-1")
            yield Kms(session.client("kms", endpoint_url=server.url))
    else:
        moto: AwsServer = request.getfixturevalue("moto")
        moto.reset()
        client = moto.client("kms")
        client.create_alias(AliasName="alias/k", TargetKeyId=client.create_key()["KeyMetadata"]["KeyId"])
        yield Kms(client)


def test_a_data_key_opens_with_its_own_context_only(service: KeyService) -> None:
    """The stage and the application are bound to it."""
    plain, blob, arn = service.generate_data_key("alias/k", CONTEXT)

    assert len(plain) == 32
    assert service.decrypt(blob, arn, CONTEXT) == (plain, arn)
    for context in ({}, {**CONTEXT, "stage": "dev"}):
        with pytest.raises(WrongKey):
            service.decrypt(blob, arn, context)


def test_a_text_is_encrypted_and_decrypted(service: KeyService) -> None:
    """By name on the way in, by nothing on the way out."""
    blob, arn = service.encrypt(b"secret", "alias/k", {})

    assert service.decrypt(blob, None, {}) == (b"secret", arn)
    assert service.describe("alias/k") == arn


def test_a_changed_ciphertext_is_distinguished_from_a_refusal(service: KeyService) -> None:
    """It is the file that is wrong."""
    blob, arn = service.encrypt(b"secret", "alias/k", {})

    with pytest.raises(WrongKey):
        service.decrypt(blob[:-1] + bytes([blob[-1] ^ 1]), arn, {})


def test_a_key_that_is_not_there_is_missing(service: KeyService) -> None:
    """With its name."""
    with pytest.raises(Missing, match="alias/other"):
        service.describe("alias/other")


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        ("AccessDeniedException", Refused, "allow kms:DescribeKey on `alias/k`"),
        ("ExpiredTokenException", Refused, "sign in again"),
        ("DisabledException", Refused, "DisabledException"),
        ("ThrottlingException", Throttled, "call it less often"),
        ("KMSInternalException", Unreachable, "try again"),
    ],
)
def test_what_aws_says_becomes_what_to_do(
    code: str, kind: type[UpstreamError], said: str, loopback: LoopbackServer
) -> None:
    """Exit 4: which action, which key, what would help."""
    loopback.script(*[json_answer({"__type": code, "message": "no"}, 400)] * 5)
    session = boto3.Session("testing", "testing", region_name="eu-west-1")
    kms = Kms(session.client("kms", endpoint_url=loopback.url))

    with pytest.raises(kind, match="kms:DescribeKey on `alias/k`") as caught:
        kms.describe("alias/k")
    assert caught.value.exit_code == 4
    assert said in f"{caught.value} {caught.value.hint}"


def test_no_region_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """And how to set it."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    aws.set_default_session(None)  # one of another test has its region

    with pytest.raises(Refused, match="no region") as caught:
        connect_kms()
    assert "AWS_REGION" in caught.value.hint
