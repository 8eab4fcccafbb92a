"""The key service that is AWS KMS, by one boto3 client; what AWS says becomes an error that says what to do."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from carboy.config.closed.keyring import WrongKey
from carboy.errors import Missing, Refused, Throttled, Unreachable, UpstreamError
from carboy.extras import extra

__all__ = ["Kms", "connect_kms", "explain"]

R = TypeVar("R")

_WRONG = {"IncorrectKeyException", "InvalidCiphertextException"}
_ENDED = {
    "ExpiredToken", "ExpiredTokenException", "RequestExpired", "UnrecognizedClientException", "InvalidClientTokenId",
    "InvalidSignatureException", "SignatureDoesNotMatch",
}  # fmt: skip
_MISSING = {"NotFoundException", "ParameterNotFound", "ParameterVersionNotFound", "NoSuchEntity"}
_THROTTLED = {
    "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "TooManyUpdates",
    "LimitExceededException", "SlowDown",
}  # fmt: skip
_AWAY = {
    "InternalFailure",
    "InternalServerError",
    "KMSInternalException",
    "DependencyTimeoutException",
    "ServiceUnavailable",
}


class Kms:
    """AWS KMS. Safe to use from many threads.

    Args:
        client: boto3's, for one account and region.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def generate_data_key(self, key_id: str, context: Mapping[str, str]) -> tuple[bytes, bytes, str]:
        """Return a new data key of 32 bytes: plain, encrypted, and the ARN of the key that encrypts it."""
        found = _ask(
            "kms:GenerateDataKey",
            key_id,
            lambda: self._client.generate_data_key(KeyId=key_id, KeySpec="AES_256", EncryptionContext=dict(context)),
        )
        return found["Plaintext"], found["CiphertextBlob"], found["KeyId"]

    def decrypt(self, ciphertext: bytes, key_id: str | None, context: Mapping[str, str]) -> tuple[bytes, str]:
        """Return the plain bytes and the ARN of the key.

        Raises:
            WrongKey: the ciphertext is not of this key and context.
            UpstreamError: KMS said no, or nothing.
        """
        named = {"KeyId": key_id} if key_id else {}
        found = _ask(
            "kms:Decrypt",
            key_id or "the ciphertext's own key",
            lambda: self._client.decrypt(CiphertextBlob=ciphertext, EncryptionContext=dict(context), **named),
        )
        return found["Plaintext"], found["KeyId"]

    def encrypt(self, plain: bytes, key_id: str, context: Mapping[str, str]) -> tuple[bytes, str]:
        """Return at most 4,096 bytes encrypted, and the ARN of the key."""
        found = _ask(
            "kms:Encrypt",
            key_id,
            lambda: self._client.encrypt(KeyId=key_id, Plaintext=plain, EncryptionContext=dict(context)),
        )
        return found["CiphertextBlob"], found["KeyId"]

    def describe(self, key_id: str) -> str:
        """Return the ARN of a key, an alias or an id."""
        found = _ask("kms:DescribeKey", key_id, lambda: self._client.describe_key(KeyId=key_id))
        return str(found["KeyMetadata"]["Arn"])


def connect_kms(session: Any = None, region: str | None = None) -> Kms:
    """Return AWS KMS.

    Args:
        session: a boto3 session, for its credentials and region; None for AWS's own chain.
        region: such as `eu-west-1`; the session's own when None.
    """
    with extra("aws"):
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    settings = Config(
        connect_timeout=2,
        read_timeout=5,
        max_pool_connections=32,
        retries={"mode": "standard", "total_max_attempts": 4},
    )
    try:
        return Kms((session or boto3.Session()).client("kms", region_name=region, config=settings))
    except BotoCoreError as error:
        raise explain(error, "kms:Decrypt", "KMS") from error


def _ask(action: str, name: str, call: Callable[[], Any]) -> Any:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return call()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _WRONG:
            raise WrongKey(f"`{name}` did not make this ciphertext", "KMS says so", "check who changed it") from None
        raise explain(error, action, name) from error
    except BotoCoreError as error:
        raise explain(error, action, name) from error


def explain(error: Exception, action: str, name: str) -> UpstreamError:
    """Return the error that says what AWS refused, and what would help.

    Args:
        error: botocore's.
        action: as IAM names it, such as `kms:Decrypt`.
        name: the key, parameter or role that it was about.
    """
    what = f"AWS did not do {action} on `{name}`"
    answer = getattr(error, "response", None)
    if answer is None:
        kind = type(error).__name__
        if kind in {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"}:
            return Refused(
                what, f"there are no credentials ({kind})", "set AWS_PROFILE, or sign in with: aws sso login"
            )
        if kind == "NoRegionError":
            return Refused(what, "no region is set", "set AWS_REGION, or `region` in environments.yml")
        if "SSO" in kind or "Token" in kind:
            return Refused(what, f"the sign-in has ended ({kind})", "sign in again: aws sso login --profile …")
        return Unreachable(what, f"no answer ({kind})", "check the network, the region and AWS_ENDPOINT_URL")
    code = str(answer.get("Error", {}).get("Code", "Unknown"))
    if code in _ENDED:
        return Refused(what, f"the credentials are not valid, or have ended ({code})", "sign in again: aws sso login")
    if code in _THROTTLED:
        return Throttled(what, f"it asks to come back later ({code})", "try again in a minute")
    if code in _MISSING:
        return Missing(what, f"there is no such thing ({code})", "check its name, the region and the account")
    if code in _AWAY:
        return Unreachable(what, f"AWS failed ({code})", "try again in a minute")
    return Refused(what, f"it was refused ({code})", f"allow {action} on `{name}` to the role that runs this")
