"""Upload a stage's values to Parameter Store: planned and checked before the first write.

Source: AWS Systems Manager, "Parameter Store: names, tiers and limits".
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from carboy.aws.explain import explain, explained
from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.config.encrypted.render import flatten, scalar_text
from carboy.errors import ConfigurationError, Fault, Missing, Throttled, Unreachable, UsageError
from carboy.retry import Failure, GiveUp, Retry, next_step

_NAME = re.compile(r"[A-Za-z0-9_./-]*")
_MAX_NAME = 1_011
_MAX_LEVELS = 15
_STANDARD_BYTES, _ADVANCED_BYTES = 4_096, 8_192
_NESTED = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_VERSION = "_version"
_PATIENCE = Retry(attempts=12, base_s=0.5, cap_s=20.0, total_s=300.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """The writes and deletions of an upload, in order; its `repr` shows no values."""

    create: dict[str, str] = field(repr=False)
    change: dict[str, str] = field(repr=False)
    same: list[str]
    delete: list[str]

    @property
    def writes(self) -> dict[str, str]:
        """Return the parameters to write: created first, then changed."""
        return {**self.create, **self.change}


@dataclass(frozen=True, slots=True)
class Release:
    """One upload, as the parameter `_version` records it."""

    number: int
    at: datetime
    by: str
    stage: str
    count: int


def check_prefix(prefix: str) -> str:
    """Return a prefix without its last slash.

    Raises:
        UsageError: it is not a path of Parameter Store.
    """
    why = _bad_name(prefix.rstrip("/"))
    if not prefix.startswith("/") or why:
        raise UsageError(
            f"`{prefix}` is not a prefix of parameters", why or "it must start with `/`", "give one such as /dev_flask"
        )
    return prefix.rstrip("/")


def _bad_name(name: str) -> str | None:
    if not _NAME.fullmatch(name):
        return "a name has letters, digits and `_ . - /` only"
    if "//" in name or name.endswith("/") or name.count("/") > _MAX_LEVELS:
        return f"a name has at most {_MAX_LEVELS} levels, none of them empty"
    if len(name) > _MAX_NAME:
        return f"a name has at most {_MAX_NAME:,} characters"
    if re.match(r"/?(aws|ssm)", name, re.IGNORECASE):
        return "AWS keeps names that start with `aws` or `ssm` for itself"
    return None


def parameters_of(prefix: str, values: Mapping[Any, object], tier: str = "Standard") -> dict[str, str]:
    """Return the text of every parameter by its name.

    Args:
        prefix: as `check_prefix` returns it.
        values: a stage's values: text as it is, other scalars and lists as JSON.
        tier: `Standard`, `Advanced` or `Intelligent-Tiering`; decides how long a value may be.

    Raises:
        ConfigurationError: every name or value that Parameter Store would refuse.
    """
    limit = _STANDARD_BYTES if tier == "Standard" else _ADVANCED_BYTES
    made: dict[str, str] = {}
    faults: list[Fault] = []
    for name, value in flatten(values, "/", prefix + "/"):
        text = scalar_text(value)
        size = len(text.encode())
        why = _bad_name(name)
        if why is None and (name in made or name == f"{prefix}/{_VERSION}"):
            why = "another value has this name"
        if why is None and not text:
            why = "is empty, which Parameter Store does not accept"
        if why is None and _NESTED.search(text):
            why = "holds `{{…}}`, which Parameter Store takes for the name of another parameter and refuses"
        if why is None and size > limit:
            more = " (--tier Advanced allows 8,192)" if limit < size <= _ADVANCED_BYTES else ""
            why = f"has {size:,} bytes; the tier {tier} allows {limit:,}{more}"
        if why:
            faults.append(Fault(name, why))
        made[name] = text
    if faults:
        raise ConfigurationError(
            "nothing was written to Parameter Store",
            "\n  ".join(f"`{fault.pointer}`: {fault.detail}" for fault in faults),
            "correct these values, then render again",
            faults,
        )
    return made


def plan_upload(wanted: Mapping[str, str], there: Mapping[str, str], *, prune: bool, again: bool = False) -> Plan:
    """Return the writes and deletions that make Parameter Store match the wanted values.

    Args:
        wanted: text by name.
        there: its parameters below the prefix.
        prune: whether others are deleted.
        again: whether equal values are written too, for another KMS key or tier.
    """
    create = {name: text for name, text in wanted.items() if name not in there}
    change = {name: text for name, text in wanted.items() if name in there and (again or there[name] != text)}
    same = [name for name in wanted if name not in create and name not in change]
    surplus = [name for name in there if name not in wanted and not name.endswith(f"/{_VERSION}")]
    return Plan(create, change, same, sorted(surplus) if prune else [])


class Store:
    """Parameter Store below one prefix.

    Args:
        session: a boto3 session.
        prefix: as `check_prefix` returns it.
        key: the KMS key of the parameters (id, ARN, alias); AWS's own when None.
        tier: the tier of what is written.
        clock: measures the waits while AWS throttles.
    """

    def __init__(
        self, session: Any, prefix: str, key: str | None = None, tier: str = "Standard", clock: Clock = SYSTEM_CLOCK
    ) -> None:
        from botocore.config import Config

        settings = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 1})
        self._session, self._settings, self._clock = session, settings, clock
        self.prefix: str = prefix
        self._tier, self._key = tier, key
        self._ssm = self._client("ssm")
        self._key_arn: str | None = None

    def _client(self, service: str) -> Any:
        with explained(service, self.prefix):
            return self._session.client(service, config=self._settings)

    def _call(self, action: str, name: str, operation: Callable[..., Any], **wanted: Any) -> Any:
        """Call AWS; try again with backoff while it throttles."""
        from botocore.exceptions import BotoCoreError, ClientError

        attempt, started = 1, self._clock.monotonic_s()
        while True:
            try:
                return operation(**wanted)
            except (BotoCoreError, ClientError) as error:
                failure = explain(error, action, name)
                is_transient = isinstance(failure, Throttled) or (isinstance(failure, Unreachable) and attempt < 4)
                step = next_step(_PATIENCE, attempt, Failure(is_transient), self._clock.monotonic_s() - started)
                if isinstance(step, GiveUp):
                    raise failure from error
            self._clock.sleep(step.seconds)
            attempt += 1

    def account(self) -> str:
        """Return the number of the account and the region that is written to."""
        sts = self._client("sts")
        found = self._call("sts:GetCallerIdentity", "this account", sts.get_caller_identity)
        return f"{found['Account']} ({self._ssm.meta.region_name})"

    def look_up_key(self) -> None:
        """Look up the KMS key, so that a missing one is reported before the first write."""
        if self._key is None:
            return
        kms = self._client("kms")
        name = self._key
        if not name.startswith(("arn:", "alias/", "mrk-")) and not re.fullmatch(r"[0-9a-fA-F-]{36}", name):
            name = f"alias/{name}"
        found = self._call("kms:DescribeKey", name, kms.describe_key, KeyId=name)
        self._key_arn = found["KeyMetadata"]["Arn"]

    def _pages(self, action: str, name: str, operation: Callable[..., Any], **wanted: Any) -> list[Any]:
        """Return the parameters of all pages; an empty page with a token is not the end."""
        found: list[Any] = []
        while True:
            page = self._call(action, name, operation, WithDecryption=True, **wanted)
            found += page["Parameters"]
            if not page.get("NextToken"):
                return found
            wanted["NextToken"] = page["NextToken"]

    def read(self) -> dict[str, str]:
        """Return the text of every parameter below the prefix."""
        path = self.prefix or "/"
        read = self._ssm.get_parameters_by_path
        found = self._pages("ssm:GetParametersByPath", path, read, Path=path, Recursive=True)
        return {item["Name"]: item["Value"] for item in found}

    def settings_changed(self, there: Mapping[str, str]) -> bool:
        """Return whether the last upload used another KMS key or tier, so that equal values are written again."""
        before = _manifest(there.get(f"{self.prefix}/{_VERSION}"))
        return before is not None and (before.get("key"), before.get("tier")) != (self._key_arn, self._tier)

    def apply(self, plan: Plan, there: Mapping[str, str], stage: str, note: Callable[[str], None]) -> int:
        """Write and delete what a plan says, then `_version`; return the release's number.

        Args:
            plan: what to do.
            there: what `read` returned.
            stage: the stage's name, for the history.
            note: called with each name that is written or deleted.
        """
        name = f"{self.prefix}/{_VERSION}"
        before = _manifest(there.get(name)) or {}
        for parameter, text in plan.writes.items():
            self._put(parameter, text)
            note(parameter)
        for start in range(0, len(plan.delete), 10):
            names = plan.delete[start : start + 10]
            self._call("ssm:DeleteParameters", names[0], self._ssm.delete_parameters, Names=names)
            for parameter in names:
                note(parameter)
        number = int(before.get("version", 0))
        if plan.writes or plan.delete or not before:
            number += 1
            count = len(plan.writes) + len(plan.same)
            made = {"version": number, "stage": stage, "count": count, "key": self._key_arn, "tier": self._tier}
            self._put(name, json.dumps(made, separators=(",", ":")))
        return number

    def _put(self, name: str, text: str) -> None:
        wanted: dict[str, Any] = {"Name": name, "Value": text, "Type": "SecureString", "Overwrite": True}
        if self._key_arn:
            wanted["KeyId"] = self._key_arn
        if self._tier != "Standard":
            wanted["Tier"] = self._tier
        self._call("ssm:PutParameter", name, self._ssm.put_parameter, **wanted)

    # History

    def _versions(self, name: str) -> list[Any]:
        return self._pages("ssm:GetParameterHistory", name, self._ssm.get_parameter_history, Name=name)

    def history(self) -> list[Release]:
        """Return the uploads that Parameter Store still has (it keeps a hundred), the newest first."""
        try:
            versions = self._versions(f"{self.prefix}/{_VERSION}")
        except Missing:
            return []
        releases = [_release(item) for item in versions]
        return sorted((item for item in releases if item), key=lambda item: item.number, reverse=True)

    def values_at(self, release: Release) -> dict[str, str]:
        """Return the text of every parameter as it was when a release was complete.

        Raises:
            ConfigurationError: parameters of it were deleted since, with their history.
        """
        values: dict[str, str] = {}
        for name in self.read():
            then = [item for item in self._versions(name) if item["LastModifiedDate"] <= release.at]
            if then and not name.endswith(f"/{_VERSION}"):
                values[name] = max(then, key=lambda item: int(item["Version"]))["Value"]
        if len(values) < release.count:
            raise ConfigurationError(
                f"release {release.number} cannot be put back",
                f"{release.count - len(values)} of its {release.count} parameters were deleted since",
                "render the stage from the commit of that time instead",
            )
        return values


def _manifest(text: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("version"), int) else None


def _release(item: Mapping[str, Any]) -> Release | None:
    found = _manifest(item["Value"])
    if found is None:
        return None
    by = str(item.get("LastModifiedUser", ""))
    return Release(
        found["version"], item["LastModifiedDate"], by, str(found.get("stage", "")), int(found.get("count", 0))
    )


def find_release(releases: Iterable[Release], number: int) -> Release:
    """Return the release of a number.

    Raises:
        UsageError: Parameter Store does not know it.
    """
    for release in releases:
        if release.number == number:
            return release
    raise UsageError(f"there is no release {number}", "Parameter Store does not know it", "see: carboy config history")
