"""A key service in memory, and a server on loopback that speaks as KMS does, as slow as wanted.

`MemoryKeys` holds the same promises as KMS: a ciphertext opens only with its own key and encryption context.
`python -m tests.lab.signing_keys` runs the server in a process of its own.
"""

import base64
import json
import os
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

from carboy.config.encrypted.keyring import MAX_PLAIN_BYTES, WrongKey
from carboy.config.encrypted.sealed import DoesNotOpen, expand, open_blob, seal_blob
from carboy.errors import Missing, Refused, UpstreamError
from carboy.testing.answers import Answer, Request, json_answer
from carboy.testing.http_server import LoopbackServer

__all__ = ["KeyServer", "MemoryKeys"]

_ARN = "arn:aws:kms:eu-west-1:{account}:key/{id}"


class MemoryKeys:
    """Keys in memory; satisfies `carboy.config.encrypted.KeyService`, from any number of threads.

    Attributes:
        calls: how often each operation was called.
        denied: operations that are refused, such as `decrypt`.
    """

    def __init__(self, *names: str, account: str = "123456789012", secret: bytes = b"a key of tests") -> None:
        """Make keys.

        Args:
            names: their aliases, without `alias/`; an alias that is not there is made when it is first used if none
                are given.
            account: whose they are.
            secret: what the keys come from: the same secret gives the same keys.
        """
        self.calls: Counter[str] = Counter()
        self.denied: set[str] = set()
        self._account, self._secret = account, secret
        self._aliases = {name: self._arn(name) for name in names}
        self._is_open = not names
        self._lock = threading.Lock()

    def _arn(self, name: str) -> str:
        return _ARN.format(account=self._account, id=uuid.uuid5(uuid.NAMESPACE_URL, f"{self._account}/{name}"))

    def _find(self, operation: str, key_id: str) -> str:
        with self._lock:
            self.calls[operation] += 1
        if operation in self.denied:
            raise Refused(f"KMS did not {operation}", "it was refused", f"allow kms:{operation}")
        name = key_id.rpartition("alias/")[2] if "alias/" in key_id else key_id
        if self._is_open and "alias/" in key_id:
            self._aliases.setdefault(name, self._arn(name))
        for alias, arn in self._aliases.items():
            if (name == alias and "alias/" in key_id) or key_id in {arn, arn.rpartition("/")[2]}:
                return arn
        raise Missing(f"KMS has no `{key_id}`", "there is no such key", "make it")

    def _key(self, arn: str) -> bytes:
        return expand(self._secret + arn.encode(), b"kms")

    def generate_data_key(self, key_id: str, context: Mapping[str, str]) -> tuple[bytes, bytes, str]:
        """Return a new data key of 32 bytes: plain, encrypted, and the ARN of the key that encrypts it."""
        arn = self._find("generate_data_key", key_id)
        plain = os.urandom(32)
        return plain, self._seal(arn, plain, context), arn

    def decrypt(self, ciphertext: bytes, key_id: str | None, context: Mapping[str, str]) -> tuple[bytes, str]:
        """Return the plain bytes and the ARN of the key."""
        arn, _, blob = ciphertext.partition(b"|")
        found = self._find("decrypt", key_id or arn.decode(errors="replace"))
        try:
            if found != arn.decode(errors="replace"):
                raise DoesNotOpen
            return open_blob(self._key(found), blob, _bound_to(context)), found
        except DoesNotOpen:
            raise WrongKey("the ciphertext does not open", "another key or context made it", "check it") from None

    def encrypt(self, plain: bytes, key_id: str, context: Mapping[str, str]) -> tuple[bytes, str]:
        """Return at most 4,096 bytes encrypted, and the ARN of the key."""
        arn = self._find("encrypt", key_id)
        if not 0 < len(plain) <= MAX_PLAIN_BYTES:
            raise Refused("KMS did not encrypt", "1 to 4,096 bytes are allowed", "split it")
        return self._seal(arn, plain, context), arn

    def describe(self, key_id: str) -> str:
        """Return the ARN of a key, an alias or an id."""
        return self._find("describe", key_id)

    def _seal(self, arn: str, plain: bytes, context: Mapping[str, str]) -> bytes:
        return arn.encode() + b"|" + seal_blob(self._key(arn), plain, _bound_to(context))


def _bound_to(context: Mapping[str, str]) -> bytes:
    return json.dumps(sorted(context.items())).encode()


class KeyServer:
    """`MemoryKeys` behind KMS's protocol on loopback; use it as a context manager.

    Attributes:
        keys: its keys, to be read and changed directly.
        delay_s: how long every answer takes.
    """

    def __init__(self, keys: MemoryKeys | None = None, *, delay_s: float = 0.0, port: int = 0) -> None:
        self.keys: MemoryKeys = keys or MemoryKeys()
        self.delay_s: float = delay_s
        self._server = LoopbackServer(self._answer, port=port, record=False)

    @property
    def url(self) -> str:
        """Return the address: `AWS_ENDPOINT_URL_KMS`."""
        return self._server.url

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables with which any AWS SDK in a child process finds this server."""
        return {
            "AWS_ENDPOINT_URL_KMS": self.url, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def _answer(self, request: Request) -> Answer:
        operation = request.headers.get("x-amz-target", "").partition(".")[2]
        try:
            made = self._operate(operation, request.json())
            answer = json_answer(made)
        except WrongKey:
            answer = _error("InvalidCiphertextException")
        except Missing:
            answer = _error("NotFoundException")
        except (UpstreamError, KeyError, ValueError):
            answer = _error("AccessDeniedException")
        return Answer(answer.status, answer.body, answer.headers, self.delay_s)

    def _operate(self, operation: str, wanted: dict[str, Any]) -> dict[str, Any]:
        context, key = wanted.get("EncryptionContext", {}), wanted.get("KeyId")
        match operation:
            case "GenerateDataKey":
                plain, blob, arn = self.keys.generate_data_key(str(key), context)
                return {"Plaintext": _text(plain), "CiphertextBlob": _text(blob), "KeyId": arn}
            case "Decrypt":
                plain, arn = self.keys.decrypt(base64.b64decode(wanted["CiphertextBlob"]), key, context)
                return {"Plaintext": _text(plain), "KeyId": arn}
            case "Encrypt":
                blob, arn = self.keys.encrypt(base64.b64decode(wanted["Plaintext"]), str(key), context)
                return {"CiphertextBlob": _text(blob), "KeyId": arn}
            case "DescribeKey":
                arn = self.keys.describe(str(key))
                return {"KeyMetadata": {"KeyId": arn.rpartition("/")[2], "Arn": arn}}
        raise KeyError(operation)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _error(kind: str) -> Answer:
    return json_answer({"__type": kind, "message": kind}, 400)


if __name__ == "__main__":
    with KeyServer(delay_s=float(sys.argv[1]) if len(sys.argv) > 1 else 0.0) as _served:
        sys.stdout.write(_served.url + "\n")
        sys.stdout.flush()
        sys.stdin.read()
