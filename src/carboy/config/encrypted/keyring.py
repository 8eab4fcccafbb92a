"""Get the keys of stages from a key service, each once, and only those that the reader allows.

The key service itself is an edge (`carboy.aws.Kms`, or the one in memory of `carboy.testing`); this module asks it.
"""

import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from carboy.config.encrypted.sealed import StageKey, derive
from carboy.config.encrypted.structure import DECRYPT, Block, Stage
from carboy.errors import ConfigurationError, Fault

MAX_PLAIN_BYTES = 4096  # of one KMS Encrypt call
_PARALLEL = 32

T = TypeVar("T")
R = TypeVar("R")


class WrongKey(ConfigurationError):
    """The ciphertext was not made by this key with this encryption context."""


class KeyService(Protocol):
    """What keeps keys: AWS KMS, or a stand-in."""

    def generate_data_key(self, key_id: str, context: Mapping[str, str]) -> tuple[bytes, bytes, str]:
        """Return a new data key of 32 bytes: plain, encrypted, and the ARN of the key that encrypts it."""
        ...

    def decrypt(self, ciphertext: bytes, key_id: str | None, context: Mapping[str, str]) -> tuple[bytes, str]:
        """Return the plain bytes and the ARN of the key.

        Raises:
            WrongKey: the ciphertext is not of this key and context.
            UpstreamError: the service said no, or nothing.
        """
        ...

    def encrypt(self, plain: bytes, key_id: str, context: Mapping[str, str]) -> tuple[bytes, str]:
        """Return at most 4,096 bytes encrypted, and the ARN of the key."""
        ...

    def describe(self, key_id: str) -> str:
        """Return the ARN of a key, an alias or an id."""
        ...


KeyServices = Callable[[str], KeyService]
"""Gives the key service with the credentials of an environment."""


def in_parallel(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return what `work` makes of each item, in order, many at a time; the first error is raised."""
    items = list(items)
    if len(items) < 2:
        return [work(item) for item in items]
    pool = ThreadPoolExecutor(min(_PARALLEL, len(items)), thread_name_prefix="carboy-keys")
    try:
        return list(pool.map(work, items))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class Keyring:
    """The keys of one file's stages, asked for once each.

    Args:
        services: gives the key service of an environment.
        app: the application's name in the encryption context.
        allowed: ARNs or ids of the KMS keys, or numbers of the accounts, that may be used; empty for all.
        environment: used in place of every stage's own.
    """

    def __init__(
        self, services: KeyServices, app: str, *, allowed: Sequence[str] = (), environment: str | None = None
    ) -> None:
        self._services, self._app, self._environment = services, app, environment
        self._allowed = tuple(allowed)
        self._keys: dict[tuple[str, str], StageKey] = {}
        self._lock = threading.Lock()
        odd = [entry for entry in self._allowed if "alias/" in entry]
        if odd:
            raise ConfigurationError(
                "the allowed KMS keys cannot be pinned",
                f"{', '.join(f'`{entry}`' for entry in odd)} is an alias, which its account may point elsewhere",
                "give ARNs or ids of keys, or account numbers",
            )

    @property
    def is_pinned(self) -> bool:
        """Return whether only some keys are allowed."""
        return bool(self._allowed)

    def named(self, app: str) -> "Keyring":
        """Return the keyring of another application, with the same services."""
        if app == self._app:
            return self
        return Keyring(self._services, app, allowed=self._allowed, environment=self._environment)

    def service(self, stage: Stage) -> KeyService:
        """Return the key service with the credentials for a stage."""
        with self._lock:
            return self._services(self._environment or stage.environment)

    def context(self, stage: str, purpose: str) -> dict[str, str]:
        """Return the encryption context of a stage's keys."""
        return {"app": self._app, "stage": stage, "purpose": purpose}

    def open(self, stage: Stage, block: Block) -> StageKey:
        """Return the keys of a block, by one call of the key service the first time.

        Raises:
            ConfigurationError: the block was tampered with, or its KMS key is not allowed.
            UpstreamError: the key service refused or was unavailable.
        """
        at = (stage.name, block.data)
        if at in self._keys and self._keys[at].kid == block.kid:
            return self._keys[at]
        self.allow(stage, block.kms)
        if stage.key.startswith("arn:") and ":key/" in stage.key and stage.key != block.kms:
            raise _swapped(stage, f"`seal` names another KMS key than the stage does: `{block.kms}`")
        try:
            plain, _ = self.service(stage).decrypt(
                b64decode(block.data), block.kms, self.context(stage.name, "config/2")
            )
        except WrongKey:
            why = (
                f"the data key is not one that `{block.kms}` made for this stage (a data key or a KMS key was swapped)"
            )
            raise _swapped(stage, why) from None
        key = derive(stage.name, plain)
        if key.kid != block.kid:
            raise _swapped(stage, "the data key was swapped: it is not the one that `kid` commits to")
        self._keys[at] = key
        return key

    def new(self, stage: Stage) -> tuple[StageKey, Block]:
        """Return a new data key for a stage; its block has no MAC yet."""
        plain, data, kms = self.service(stage).generate_data_key(stage.key_id, self.context(stage.name, "config/2"))
        self.allow(stage, kms)
        key = derive(stage.name, plain)
        block = Block(kms, key.kid, b64encode(data).decode(), "")
        self._keys[stage.name, block.data] = key
        return key, block

    def open_old(self, stage: Stage, text: str) -> str:
        """Return the secret in a `:decrypt:` text; the ciphertext must be of the stage's own key."""
        try:
            plain, kms = self.service(stage).decrypt(b64decode(text[len(DECRYPT) :]), stage.key_id, {})
            self.allow(stage, kms)
            return plain.decode()
        except UnicodeDecodeError:
            raise WrongKey("a value cannot be opened", "it is not text", "enter it again") from None

    def close_old(self, stage: Stage, plain: str) -> str:
        """Return a secret as a `:decrypt:` text."""
        blob, kms = self.service(stage).encrypt(plain.encode(), stage.key_id, {})
        self.allow(stage, kms)
        return DECRYPT + b64encode(blob).decode()

    def allow(self, stage: Stage, kms: str) -> None:
        """Refuse a KMS key that the reader does not allow."""
        account = kms.split(":")[4] if kms.count(":") >= 5 else ""
        names = {kms, account, kms.rpartition("/")[2]}
        if self._allowed and not names.intersection(self._allowed):
            raise ConfigurationError(
                f"the stage `{stage.name}` cannot be opened",
                f"its KMS key `{kms}` is not among those that are allowed",
                "check who changed the file; or add the key or its account to CONFIG_KMS_KEYS",
            )


def _swapped(stage: Stage, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the stage `{stage.name}` cannot be opened",
        why,
        "take the file's last good version from git, and find out who changed it",
        [Fault(f"seal.{stage.name}", why)],
    )
