"""The closed file of one `carboy config` command: its options, its keys, reading and writing it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, wraps
from pathlib import Path
from typing import Any

import click

from carboy.aws import connect_kms
from carboy.cli.credentials_options import CredentialOptions, cache_folder
from carboy.cli.output import options
from carboy.config.encrypted.decrypt import Opened, open_secrets
from carboy.config.encrypted.drafts import Drawer
from carboy.config.encrypted.file import read_file, write_whole
from carboy.config.encrypted.keyring import Keyring, KeyService
from carboy.config.encrypted.structure import Config, Stage, faulty, parse_config
from carboy.errors import ConfigurationError, Fault

_META = "carboy.config"
_DEFAULTS = {"config": Path("config.yml"), "environments": Path("./environments.yml")}


@dataclass(slots=True)
class ClosedFile:
    """The closed file, and who asks for its keys.

    Attributes:
        path: the file.
        credentials_of: whose credentials.
        allowed: the KMS keys and accounts that may be used; empty for all.
        service: returns KMS with the credentials of an environment.
    """

    path: Path
    credentials_of: CredentialOptions
    allowed: tuple[str, ...]
    service: Callable[[str], KeyService] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.service = cache(lambda environment: connect_kms(self.credentials_of.session(environment)))

    @property
    def name(self) -> str:
        """Return the file's name for messages."""
        return str(self.path)

    @property
    def drawer(self) -> Drawer:
        """Return the private place for drafts and marks."""
        return Drawer(cache_folder(self.credentials_of.environ), self.path)

    def load(self) -> bytes | None:
        """Return the content of the file; None if the file does not exist."""
        return read_file(self.path)

    def read(self) -> tuple[Config, bytes]:
        """Return the file, parsed, and its bytes.

        Raises:
            ConfigurationError: it does not exist, or has faults.
        """
        data = self.load()
        if data is None:
            raise ConfigurationError(
                f"`{self.name}` cannot be read", "there is no such file", "make one: carboy config edit"
            )
        return parse_config(data, self.name), data

    def keyring(self, config: Config | None = None, environment: str | None = None) -> Keyring:
        """Return the keys of the file's stages; with the credentials of `environment` for all, where it is given."""
        app = config.app if config else "carboy"
        return Keyring(self.service, app, allowed=self.allowed, environment=environment)

    def open(self, data: bytes) -> tuple[Opened, Keyring]:
        """Return the file with all its secrets open."""
        config = parse_config(data, self.name)
        keyring = self.keyring(config)
        return open_secrets(config, keyring), keyring

    def write(self, text: str, before: bytes | None) -> None:
        """Write the file, unless it changed meanwhile or would not read back."""
        parse_config(text, self.name)
        write_whole(self.path, text.encode(), before)

    def key_for(self, config: Config, stage: str, environment: str | None) -> Stage:
        """Return the stage whose key encrypts what is rendered: the stage's own, or that of another environment.

        Raises:
            ConfigurationError: the environment has no key, or several.
        """
        own = config.stage(stage)
        if environment in {None, own.environment}:
            return own
        found = {entry.key: entry for entry in config.stages.values() if entry.environment == environment}
        if len(found) == 1:
            return next(iter(found.values()))
        why = "no stage has this environment" if not found else f"its stages have {len(found)} different keys"
        raise faulty(
            config.document.source, [Fault(f"environment {environment}", f"which key to use is not clear: {why}")]
        )


def common_options(*, short: bool = True) -> Callable[[Any], Any]:
    """Return a decorator that gives a command the options of all, before its name and after it.

    Args:
        short: whether `-e` is `--environments`.
    """
    names = ["--environments", *(["-e"] if short else [])]
    path = click.Path(path_type=Path)
    return options(
        click.option("--config", "-c", type=path, help="The encrypted configuration file.  [default: config.yml]"),
        click.option(*names, type=path, help="The environments.  [default: ./environments.yml]"),
        click.option("--username", "-u", help="Rackspace user name (or RS_USERNAME)."),
        click.option("--apikey", "-k", help="Rackspace API key (better: RS_API_KEY; others can see arguments)."),
    )


def pass_file(*, short: bool = True) -> Callable[[Callable[..., None]], Any]:
    """Return a decorator that gives a command the options of all, and passes it the `ClosedFile` made of them.

    Those after the command's name override those before it.

    Args:
        short: whether `-e` is `--environments`.
    """

    def decorate(function: Callable[..., None]) -> Any:
        @common_options(short=short)
        @click.pass_context
        @wraps(function)
        def called(ctx: click.Context, /, *args: Any, **given: Any) -> None:
            note_options(ctx, given)
            found = ctx.meta[_META]
            credentials_of = CredentialOptions(
                found.get("environments") or _DEFAULTS["environments"], found.get("username"), found.get("apikey")
            )
            pinned = credentials_of.environ.get("CONFIG_KMS_KEYS", "")
            allowed = tuple(entry.strip() for entry in pinned.split(",") if entry.strip())
            function(ClosedFile(found.get("config") or _DEFAULTS["config"], credentials_of, allowed), *args, **given)

        return called

    return decorate


def note_options(ctx: click.Context, given: dict[str, Any]) -> None:
    """Take the options of all out of what a command was given, and keep those that were set."""
    kept = ctx.meta.setdefault(_META, {})
    for name in ("config", "environments", "username", "apikey"):
        value = given.pop(name, None)
        if value is not None:
            kept[name] = value
