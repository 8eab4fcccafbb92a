"""Cache of AWS Secrets Manager: fetched in batches, refreshed in the background or on request.

Caching itself is left to `swr_cache`.
"""

import base64
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from carboy.aws.agent import Agent
from carboy.aws.batching import Client, each, in_batches
from carboy.aws.explain import explain_code
from carboy.aws.swr_cache import SwrCache
from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import CarboyError, Refused, UpstreamError, UsageError
from carboy.redact import register_secret

CURRENT, PENDING = "AWSCURRENT", "AWSPENDING"
_BATCH = 20  # BatchGetSecretValue takes no more
_GET = "secretsmanager:GetSecretValue"
_PLAIN_FIELDS = {
    "engine", "username", "host", "port", "dbname", "dbInstanceIdentifier", "dbClusterIdentifier", "masterarn",
    "resourceId",
}  # fmt: skip

Key = str | tuple[str, str]
"""A secret's name, with its stage where that is not `AWSCURRENT`: a lookup by name alone is faster."""


class SecretValue(dict[str, Any]):
    """One version of a secret: the read-only dict of a JSON secret, with a masked `repr`.

    Attributes:
        name: as it was requested.
        version: the id of the version.
        stages: the version's stages, such as `AWSCURRENT`, where it was fetched.
    """

    __slots__ = ("_binary", "_text", "name", "stages", "version")

    def __init__(self, name: str, answer: Mapping[str, Any]) -> None:
        """Read a response of `GetSecretValue`."""
        self.name: str = name
        self.version: str = str(answer["VersionId"])
        self.stages: tuple[str, ...] = tuple(answer.get("VersionStages") or ())
        self._text: str | None = answer.get("SecretString")
        binary = answer.get("SecretBinary")
        self._binary: bytes | None = base64.b64decode(binary) if isinstance(binary, str) else binary
        super().__init__(_fields(self._text))

    @property
    def text(self) -> str:
        """The text of the secret.

        Raises:
            UsageError: it is binary.
        """
        if self._text is None:
            raise UsageError(f"the secret `{self.name}` has no text", "it is binary", "read `.binary`")
        return self._text

    @property
    def binary(self) -> bytes:
        """The bytes of the secret; of a text its UTF-8."""
        return self._binary if self._binary is not None else self.text.encode()

    def __missing__(self, key: str) -> NoReturn:
        if not self:
            raise UsageError(f"the secret `{self.name}` has no `{key}`", "it is not a JSON object", "read `.text`")
        raise KeyError(key)

    def __repr__(self) -> str:
        return f"SecretValue({self.name!r}, version={self.version!r})"

    __str__ = __repr__

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a SecretValue cannot be changed: it is shared")

    if not TYPE_CHECKING:  # a type checker has their types from `dict`
        __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type["SecretValue"], tuple[str, dict[str, Any]]]:
        answer = {"VersionId": self.version, "VersionStages": self.stages, "SecretString": self._text}
        return SecretValue, (self.name, answer | {"SecretBinary": self._binary})


class SecretCache:
    """Cache of secrets with a TTL: a cached read takes no lock and makes no call.

    Args:
        client: boto3's of Secrets Manager; None for one with the process's own session and short timeouts.
        ttl_s: how long a secret is fresh; then it is refreshed in the background.
        min_interval_s: the least time between two fetches of one version of one secret.
        agent: the address of AWS's agent or Lambda extension; what it does not have is fetched from AWS.
        clock: measures the age of secrets.
    """

    def __init__(
        self,
        client: Any = None,
        *,
        ttl_s: float = 300.0,
        min_interval_s: float = 5.0,
        agent: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._client = Client("secretsmanager", client)
        self._agent = Agent(agent) if agent else None
        self._values: SwrCache[Key, SecretValue] = SwrCache(
            self._fetch, ttl_s=ttl_s, min_interval_s=min_interval_s, clock=clock, what="secret"
        )
        self._cached, self._now = self._values.cached, self._values.now
        self._suspect: set[Key] = set()
        self._cleared: set[Key] = set()

    def get(self, name: str, stage: str = CURRENT) -> SecretValue:
        """Return a secret: `get("/dev/flask-rds")["password"]`.

        Args:
            name: or ARN.
            stage: of the version.

        Raises:
            Missing: the secret does not exist, or has no version at that stage.
            Refused: we may not read it.
            Throttled: AWS throttles the call, and nothing is cached.
            Unreachable: AWS is unavailable, and nothing is cached.
        """
        try:
            value, until_s = self._cached[name if stage is CURRENT else (name, stage)]
            if self._now() < until_s:
                return value
        except KeyError:
            pass
        return self._values.value(_key(name, stage))

    def get_many(self, names: Iterable[str], *, renew: bool = False) -> dict[str, SecretValue | CarboyError]:
        """Return for each name the secret or the error; what is not cached is fetched in twenties.

        Args:
            names: or ARNs.
            renew: fetch cached ones too, except those fetched within `min_interval_s`.
        """
        return {str(name): answer for name, answer in self._values.values(names, renew=renew).items()}

    def refresh(
        self,
        name: str,
        *,
        unless: SecretValue | str | Collection[str] | None = None,
        stage: str = CURRENT,
        timeout_s: float | None = None,
        even_if_recent: bool = True,
    ) -> SecretValue:
        """Fetch a secret again and return it: always, or at most once for all callers that saw the same bad version.

        With `unless`, the cached one is returned where it is newer than what was seen or was fetched within
        `min_interval_s`. The cached one is returned as well where AWS is unavailable.

        Args:
            name: of the secret.
            unless: what the caller saw: the value, its version, or several versions; None to fetch in any case.
            stage: of the version.
            timeout_s: how long to wait for AWS; None for the client's own timeouts.
            even_if_recent: without `unless`: fetch also what was fetched within `min_interval_s`.

        Raises:
            UpstreamError: as `get`, where nothing is cached.
        """
        if isinstance(unless, SecretValue):
            seen: Collection[str] | None = {unless.version}
        else:
            seen = {unless} if isinstance(unless, str) else unless
        key = _key(name, stage)
        self._suspect.add(key)
        try:
            is_old = None if seen is None and even_if_recent else lambda cached: seen is None or cached.version in seen
            return self._values.refresh(key, is_old, timeout_s=timeout_s)
        finally:
            self._suspect.discard(key)

    def clear_cache(self, name: str | None = None, *, stage: str = CURRENT) -> None:
        """Remove a secret, or all of them, from the cache: the next `get` fetches it.

        Args:
            name: of the secret; None for all.
            stage: of the version.
        """
        self._cleared.update(self._values.clear(None if name is None else [_key(name, stage)]))

    def _fetch(self, keys: Sequence[Key]) -> dict[Key, SecretValue | CarboyError]:
        found = self._from_agent(keys) if self._agent else {}
        rest = [key for key in keys if key not in found]
        current = [key for key in rest if isinstance(key, str)]
        if len(current) > 1:
            batches: dict[str, SecretValue | CarboyError] = in_batches(self._batch, current, _BATCH)
            found.update(batches)
            rest = [key for key in rest if key not in found]
        return found | each(self._one, rest)

    def _from_agent(self, keys: Sequence[Key]) -> dict[Key, SecretValue | CarboyError]:
        assert self._agent is not None
        found: dict[Key, SecretValue | CarboyError] = {}
        for key in keys:
            name, stage = _parts(key)
            old = self._cached.get(key)
            answer = self._agent.secret(name, stage, refresh=old is not None or key in self._cleared)
            self._cleared.discard(key)
            is_same = answer is not None and old is not None and answer["VersionId"] == old[0].version
            if answer is not None and not (is_same and key in self._suspect):  # the same may be the agent's own cache
                found[key] = _value(name, answer)
        return found

    def _one(self, key: Key) -> SecretValue | CarboyError:
        name, stage = _parts(key)
        try:
            return _value(name, self._client.call("get_secret_value", SecretId=name, VersionStage=stage))
        except CarboyError as error:
            return error

    def _batch(self, names: Sequence[str]) -> dict[str, SecretValue | CarboyError]:
        """Return the secrets of one batch call; `_one` fetches those that it leaves out."""
        if len(names) == 1:
            return {}
        answers: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        more: dict[str, str] = {}
        try:
            while True:
                page = self._client.call("batch_get_secret_value", SecretIdList=list(names), **more)
                answers += page.get("SecretValues", ())
                errors += page.get("Errors", ())
                if not page.get("NextToken"):
                    break
                more = {"NextToken": page["NextToken"]}
        except Refused:
            return {}  # the batch needs a permission of its own, and one bad name spoils it
        except UpstreamError as error:
            return dict.fromkeys(names, error)
        found: dict[str, SecretValue | CarboyError] = {
            one["SecretId"]: explain_code(str(one.get("ErrorCode")), str(one.get("Message")), _GET, one["SecretId"])
            for one in errors
            if one.get("SecretId") in names
        }
        for name in names:
            answer = next((one for one in answers if name in {one.get("Name"), one.get("ARN")}), None)
            if answer is not None:
                found[name] = _value(name, answer)
        return found


def _key(name: str, stage: str) -> Key:
    return name if stage == CURRENT else (name, stage)


def _parts(key: Key) -> tuple[str, str]:
    return (key, CURRENT) if isinstance(key, str) else key


def _value(name: str, answer: Mapping[str, Any]) -> SecretValue:
    value = SecretValue(name, answer)
    if answer.get("SecretString"):
        register_secret(value.text)
    for field, item in value.items():
        if field not in _PLAIN_FIELDS:
            _register(item)
    return value


def _register(item: Any) -> None:
    if isinstance(item, str):
        register_secret(item)
    elif isinstance(item, Mapping):
        for inner in item.values():
            _register(inner)
    elif isinstance(item, list):
        for inner in item:
            _register(inner)


def _fields(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text) if text and text.lstrip().startswith("{") else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
