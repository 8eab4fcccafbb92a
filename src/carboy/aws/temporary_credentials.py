"""Temporary AWS credentials of an environment: from AWS's own chain, an assumed role, or Rackspace.

They are cached until shortly before they expire, in a file that only its owner can read.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from carboy.aws.explain import explain, explained, unknown_profile
from carboy.aws.rackspace import Rackspace, RackspaceUser
from carboy.clock import SYSTEM_CLOCK, Clock, from_unix_ms
from carboy.config.encrypted.file import write_private
from carboy.config.encrypted.yaml_document import parse_document
from carboy.errors import ConfigurationError, Fault, Refused, Unreachable, UsageError
from carboy.extras import extra

_MARGIN_S = 300  # credentials that expire sooner are not returned from the cache
_CHAINED_S = 3600  # AWS's limit where a role is assumed from a role
_TEXTS = ("profile", "region", "source_profile", "mfa_serial", "external_id", "rs_username_var", "rs_apikey_var")


@dataclass(frozen=True, slots=True)
class Environment:
    """An entry of `environments.yml`: an AWS account, and where its credentials come from.

    Attributes:
        name: the environment's name; empty for an account that was given by its number.
        account: twelve digits; None where the profile alone decides.
        roles: the roles to assume one after the other: names in the account, or ARNs.
    """

    name: str
    account: str | None
    roles: tuple[str, ...] = ()
    profile: str | None = None
    region: str | None = None
    source_profile: str | None = None
    mfa_serial: str | None = None
    external_id: str | None = None
    rs_username_var: str | None = None
    rs_apikey_var: str | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """AWS credentials with their expiry (None: they do not expire, or the time is unknown)."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    expires_at: datetime | None
    region: str | None


def parse_environments(data: bytes | str, source: str) -> dict[str, Environment]:
    """Return the environments in a file, by name.

    Raises:
        ConfigurationError: every fault, with its line.
    """
    document = parse_document(data, source)
    tree = document.tree
    entries = tree.get("environments") if isinstance(tree, dict) else None
    if not isinstance(entries, list):
        raise _faulty(source, [Fault(source, "must have `environments`, a list")])
    faults: list[Fault] = []
    found: dict[str, Environment] = {}
    for index, entry in enumerate(entries):
        line = document.line(("environments", index))
        problems: list[str] = []
        environment = _read_environment(entry, problems)
        if environment and environment.name in found:
            problems.append("has the name of another one")
        shown = f"`{entry['name']}`" if isinstance(entry, dict) and "name" in entry else f"number {index + 1}"
        faults += [Fault(f"{source}:{line}: environment {shown}", problem) for problem in problems]
        if environment:
            found[environment.name] = environment
    if faults:
        raise _faulty(source, faults)
    return found


def _faulty(source: str, faults: list[Fault]) -> ConfigurationError:
    why = "\n  ".join(f"{fault.pointer}: {fault.detail}" for fault in faults)
    return ConfigurationError(f"`{source}` cannot be used", why, "correct it, then try again", faults)


def _read_environment(entry: object, problems: list[str]) -> Environment | None:
    if not isinstance(entry, dict):
        problems.append("must be a mapping with `name` and `account`")
        return None
    name, account = entry.get("name"), entry.get("account")
    if not isinstance(name, str) or not name:
        problems.append("`name` must be text")
    if isinstance(account, (int, float)):
        problems.append("`account` is a number, and YAML drops its leading zeros: put it in quotes")
    elif not (isinstance(account, str) and len(account) == 12 and account.isascii() and account.isdigit()):
        problems.append("`account` must be twelve digits, in quotes")
    texts = {key: entry.get(key) for key in _TEXTS}
    problems += [
        f"`{key}` must be text"
        for key, value in texts.items()
        if value is not None and not (isinstance(value, str) and value)
    ]
    role = entry.get("role")
    roles = [] if role is None else role if isinstance(role, list) else [role]
    if not all(isinstance(item, str) and item for item in roles):
        problems.append("`role` must be the name or the ARN of a role, or a list of them")
    return None if problems else Environment(str(name), str(account), tuple(roles), **texts)


class CredentialBroker:
    """Gets temporary credentials, and caches them.

    Args:
        environ: the environment variables, for the user names and keys that environments name.
        user: the Rackspace user of the command line.
        rackspace: makes the client of Rackspace, where it is needed.
        cache: the folder of cached credentials; None for no cache.
        ask_code: asks a person for the code of an MFA device.
        verify_account: whether STS must confirm the account of credentials that no role was assumed with.
        duration_s: the lifetime to request.
        clock: the time.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        user: RackspaceUser | None = None,
        rackspace: Callable[[], Rackspace] = Rackspace,
        cache: Path | None = None,
        ask_code: Callable[[str], str] | None = None,
        verify_account: bool = True,
        duration_s: int = 3600,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._environ, self._user, self._rackspace = environ, user, rackspace
        self._cache, self._ask_code, self._duration_s, self._clock = cache, ask_code, duration_s, clock
        self._client: Rackspace | None = None
        self._verify = verify_account

    def get(self, environment: Environment) -> Credentials:
        """Return credentials for an environment, cached ones while they are valid.

        Raises:
            UsageError: a user has no key.
            ConfigurationError: a variable or a profile that the environment names does not exist, or the credentials
                are of another account than it names.
            UpstreamError: AWS or Rackspace refused or was unavailable.
        """
        user = self._rackspace_user(environment)
        path = self._path(environment, user)
        cached = self._read_cache(path)
        if cached:
            return cached
        found = self._from_rackspace(environment, user) if user else self._from_aws(environment)
        for at, role in enumerate(environment.roles):
            found = self._assume(environment, role, found, is_first=at == 0, is_chained=at > 0 or user is not None)
        if user is None and environment.account and not environment.roles:
            if not self._verify:
                return found  # not cached: a later command may verify
            self._verify_account(environment, found)
        self._write_cache(path, found)
        return found

    def _rackspace_user(self, environment: Environment) -> RackspaceUser | None:
        if self._user:
            return self._user
        named = environment.rs_username_var, environment.rs_apikey_var
        if any(named):
            names = named[0] or "RS_USERNAME", named[1] or "RS_API_KEY"
        elif environment.profile or environment.source_profile or not self._environ.get("RS_USERNAME"):
            return None
        else:
            names = "RS_USERNAME", "RS_API_KEY"
        missing = [name for name in names if not self._environ.get(name)]
        if missing:
            raise ConfigurationError(
                f"there are no Rackspace credentials for `{environment.name or environment.account}`",
                f"{' and '.join(f'`{name}`' for name in missing)} {'are' if len(missing) > 1 else 'is'} not set",
                "set what is missing, or give --username and --apikey",
            )
        return RackspaceUser(self._environ[names[0]], self._environ[names[1]])

    def _from_rackspace(self, environment: Environment, user: RackspaceUser) -> Credentials:
        if environment.account is None:
            raise UsageError("Rackspace needs an account", "none was named", "give --environment or --account")
        self._client = self._client or self._rackspace()
        found = self._client.credentials(user, environment.account, self._duration_s)
        ends = self._now() + timedelta(seconds=self._duration_s)
        region = environment.region or region_of(self._environ)
        return Credentials(found["accessKeyId"], found["secretAccessKey"], found["sessionToken"], ends, region)

    def _from_aws(self, environment: Environment) -> Credentials:
        with extra("aws"):
            import boto3
            from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound
        profile = (environment.source_profile if environment.roles else None) or environment.profile
        name = profile or environment.source_profile
        try:
            session = boto3.Session(profile_name=name, region_name=environment.region or region_of(self._environ))
            found = session.get_credentials()
            frozen = found.get_frozen_credentials() if found else None
        except ProfileNotFound:
            unknown = unknown_profile(name or self._environ.get("AWS_PROFILE", "default"))
            raise ConfigurationError(unknown.what, unknown.why, unknown.hint) from None
        except (BotoCoreError, ClientError) as error:
            raise explain(error, "the sign-in", name or "the default profile") from error
        if found is None or frozen is None or not frozen.access_key or not frozen.secret_key:
            raise Refused(
                "there are no AWS credentials",
                f"AWS's own chain found none{f' for the profile `{name}`' if name else ''}",
                "set AWS_PROFILE, or sign in with: aws sso login",
            )
        ends = getattr(found, "_expiry_time", None)
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token, ends, session.region_name)

    def _assume(
        self, environment: Environment, role: str, by: Credentials, *, is_first: bool, is_chained: bool
    ) -> Credentials:
        session = boto_session(by)
        wanted: dict[str, Any] = {"RoleSessionName": "carboy", "DurationSeconds": self._duration_s}
        if is_chained or by.session_token:
            wanted["DurationSeconds"] = min(self._duration_s, _CHAINED_S)
        if environment.external_id:
            wanted["ExternalId"] = environment.external_id
        if environment.mfa_serial and is_first:
            if self._ask_code is None:
                raise UsageError("the role needs an MFA code", "it is not run on a terminal", "run it on a terminal")
            wanted |= {"SerialNumber": environment.mfa_serial, "TokenCode": self._ask_code(environment.mfa_serial)}
        with explained("sts:AssumeRole", role):
            client = session.client("sts")
            if not role.startswith("arn:"):
                account = environment.account or client.get_caller_identity()["Account"]
                role = f"arn:{client.meta.partition}:iam::{account}:role/{role.lstrip('/')}"
        with explained("sts:AssumeRole", role):
            found = client.assume_role(RoleArn=role, **wanted)["Credentials"]
        return Credentials(
            found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"], found["Expiration"], by.region
        )

    def _verify_account(self, environment: Environment, found: Credentials) -> None:
        """Raise where the credentials are of another account: without a role, AWS's own chain decides which one."""
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        quick = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2, "mode": "standard"})
        try:
            account = boto_session(found).client("sts", config=quick).get_caller_identity()["Account"]
        except (BotoCoreError, ClientError) as error:
            failure = explain(error, "sts:GetCallerIdentity", str(environment.account))
            if not isinstance(failure, Unreachable):
                raise failure from error
            raise Unreachable(
                f"the account {environment.account} was not verified",
                failure.why,
                "let this machine reach STS, or set CARBOY_VERIFY_ACCOUNT=off to use the credentials as they are",
            ) from error
        if account != environment.account:
            named = f"the environment `{environment.name}` is" if environment.name else "the command names"
            raise ConfigurationError(
                f"the credentials are not of the account {environment.account}",
                f"{named} account {environment.account}, and AWS says that they are of {account}",
                "name a role or a profile of that account, or correct the account",
            )

    # Cache

    def _now(self) -> datetime:
        return from_unix_ms(self._clock.now_ms())

    def _path(self, environment: Environment, user: RackspaceUser | None) -> Path | None:
        if self._cache is None:
            return None
        asked = [
            self._environ.get(name)
            for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE", "AWS_ENDPOINT_URL", "AWS_REGION",
                         "AWS_DEFAULT_REGION", "RACKSPACE_IDENTITY_URL", "RACKSPACE_ACCOUNTS_URL")
        ]  # fmt: skip
        key = [str(environment), asked, user and [user.username, user.api_key], self._duration_s]
        return self._cache / "credentials" / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()}.json"

    def _read_cache(self, path: Path | None) -> Credentials | None:
        try:
            found = json.loads(path.read_bytes()) if path else None
            if found is None:
                return None
            cached = Credentials(**{**found, "expires_at": datetime.fromisoformat(found["expires_at"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return cached if cached.expires_at and cached.expires_at - self._now() > timedelta(seconds=_MARGIN_S) else None

    def _write_cache(self, path: Path | None, found: Credentials) -> None:
        if path is None or found.expires_at is None or found.session_token is None:
            return
        try:
            made = asdict(found) | {"expires_at": found.expires_at.astimezone(UTC).isoformat()}
            write_private(path, json.dumps(made).encode())
            self._sweep(path.parent)
        except OSError:
            return  # the folder is read-only: they are fetched each time

    def _sweep(self, folder: Path) -> None:
        """Remove cached credentials that have expired."""
        for path in folder.glob("*.json"):
            if self._read_cache(path) is None:
                path.unlink(missing_ok=True)


def region_of(environ: Mapping[str, str]) -> str | None:
    """Return the region that the environment variables name, by either of AWS's two names."""
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None


def boto_session(credentials: Credentials) -> Any:
    """Return a boto3 session with these credentials."""
    with extra("aws"):
        import boto3
    return boto3.Session(
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        aws_session_token=credentials.session_token,
        region_name=credentials.region,
    )
