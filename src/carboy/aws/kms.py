"""AWS KMS as the key service of encrypted files, by one boto3 client."""

from collections.abc import Callable, Mapping
from typing import Any

from carboy.aws.clients import default_retries, shared_session
from carboy.aws.explain import explained
from carboy.extras import extra

_WRONG = {"IncorrectKeyException", "InvalidCiphertextException"}


class Kms:
    """AWS KMS; satisfies `carboy.config.encrypted.KeyService`. Safe to use from many threads.

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
            UpstreamError: KMS refused, or did not answer.
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
        from botocore.config import Config
    settings = Config(connect_timeout=2, read_timeout=5, max_pool_connections=32, retries=default_retries(4))
    with explained("kms:Decrypt", "KMS"):
        return Kms((session or shared_session()).client("kms", region_name=region, config=settings))


def _ask(action: str, name: str, call: Callable[[], Any]) -> Any:
    from botocore.exceptions import ClientError

    with explained(action, name):
        try:
            return call()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _WRONG:
                raise
        from carboy.config.encrypted import WrongKey  # lazy: it imports all that reads the file

        raise WrongKey(f"`{name}` did not make this ciphertext", "KMS refused it", "check who changed it")
