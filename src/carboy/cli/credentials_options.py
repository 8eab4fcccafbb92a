"""What `carboy config` and `carboy run` share: whose credentials, from which files, kept where."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from carboy.aws.rackspace import ACCOUNTS_URL, IDENTITY_URL, Rackspace, RackspaceUser
from carboy.aws.temporary_credentials import (
    CredentialBroker,
    Credentials,
    Environment,
    boto_session,
    parse_environments,
    region_of,
)
from carboy.config.encrypted.file import read_file
from carboy.config.environ import live_environ
from carboy.errors import ConfigurationError, UsageError
from carboy.extras import extra


def cache_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder for what is kept between commands; None when `CARBOY_CACHE` is `off`."""
    named = environ.get("CARBOY_CACHE", "")
    if named == "off":
        return None
    if named:
        return Path(named)
    home = environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "carboy"


@dataclass(slots=True)
class CredentialOptions:
    """Credentials for the environments of one command.

    Attributes:
        environments: the path of `environments.yml`; it need not be there.
        username: Rackspace's, as given on the command line.
        apikey: Rackspace's.
        duration_s: how long credentials are asked for.
        environ: the environment variables.
    """

    environments: Path
    username: str | None
    apikey: str | None
    duration_s: int = 3600
    environ: Mapping[str, str] = field(default_factory=live_environ, repr=False)
    _broker: CredentialBroker | None = None

    def known(self) -> dict[str, Environment] | None:
        """Return the environments in the file, by name; None when there is no file."""
        data = read_file(self.environments)
        return None if data is None else parse_environments(data, str(self.environments))

    def find(self, name: str) -> Environment:
        """Return an environment by its name.

        Raises:
            ConfigurationError: the file is not there, or does not have it.
        """
        known = self.known()
        if known is None:
            raise ConfigurationError(
                f"the environment `{name}` is not known",
                f"there is no `{self.environments}`",
                "write it, or give --config",
            )
        if name not in known:
            raise ConfigurationError(
                f"the environment `{name}` is not known",
                f"`{self.environments}` has {', '.join(f'`{other}`' for other in known) or 'none'}",
                "name one of them, or add it",
            )
        return known[name]

    def get(self, environment: Environment) -> Credentials:
        """Return credentials for an environment."""
        if self._broker is None:
            self._broker = CredentialBroker(
                self.environ,
                user=self._user(),
                rackspace=self._rackspace,
                cache=cache_folder(self.environ),
                ask_code=_ask_code,
                verify_account=self.environ.get("CARBOY_VERIFY_ACCOUNT") != "off",
                duration_s=self.duration_s,
            )
        return self._broker.get(environment)

    def session(self, name: str) -> Any:
        """Return a boto3 session for an environment; AWS's own chain where there is no `environments.yml`."""
        if self.known() is not None or self.username is not None:
            return boto_session(self.get(self.find(name)))
        with extra("aws"):
            import boto3
        return boto3.Session(region_name=region_of(self.environ))

    def _user(self) -> RackspaceUser | None:
        if self.username is None and self.apikey is None:
            return None
        username = self.username or self.environ.get("RS_USERNAME")
        apikey = self.apikey or self.environ.get("RS_API_KEY")
        if not username or not apikey:
            missing = "--apikey or RS_API_KEY" if username else "--username or RS_USERNAME"
            raise UsageError("Rackspace needs a user name and an API key", "one is missing", f"give {missing}")
        return RackspaceUser(username, apikey)

    def _rackspace(self) -> Rackspace:
        return Rackspace(
            self.environ.get("RACKSPACE_IDENTITY_URL") or IDENTITY_URL,
            self.environ.get("RACKSPACE_ACCOUNTS_URL") or ACCOUNTS_URL,
        )


def _ask_code(device: str) -> str:
    try:
        return str(click.prompt(f"Code of {device}", err=True, hide_input=sys.stdin.isatty())).strip()
    except click.Abort:
        raise UsageError("the role needs an MFA code", "none was given", "type it when asked") from None
