"""`carboy run`: a command with temporary AWS credentials."""

import json
import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import click

from carboy.aws.temporary_credentials import Credentials, Environment
from carboy.cli.credentials_options import CredentialOptions
from carboy.config.encrypted.file import read_file
from carboy.config.encrypted.selectors import Ambiguous, choose
from carboy.config.encrypted.yaml_document import parse_document
from carboy.config.environ import read_environ
from carboy.errors import CarboyError, ConfigurationError, UsageError

_DROPPED = {
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SECURITY_TOKEN", "AWS_CREDENTIAL_EXPIRATION", "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_SESSION_NAME", "RS_USERNAME", "RS_API_KEY", "RACKSPACE_IDENTITY_URL",
    "RACKSPACE_ACCOUNTS_URL",
}  # fmt: skip


class _Run(click.Command):
    """A command whose words start at the first argument that is not an option, or after `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        rest = super().parse_args(ctx, args)
        words = ctx.params.get("words", ())
        ctx.meta["carboy.run.is_one_string"] = len(words) == 1 and given[-2:-1] != ["--"]
        return rest


class NotFound(CarboyError):
    """The command does not exist; the exit code is the shell's."""

    exit_code = 127


class NotAllowed(CarboyError):
    """The command cannot be run; the exit code is the shell's."""

    exit_code = 126


@click.command(
    cls=_Run, name="run", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False}
)
@click.option("--environment", "-e", help="An environment of environments.yml.")
@click.option("--stage", "-s", help="A stage of config.yml: its environment is used.")
@click.option("--account", "-a", help="An AWS account, twelve digits.")
@click.option("--role", "-r", help="A role to assume in the account: its name or ARN.")
@click.option("--profile", help="A profile of AWS's own configuration (SSO as well).")
@click.option(
    "--config",
    "-c",
    "environments",
    default="./environments.yml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The file of environments.",
)
@click.option(
    "--stages",
    "stages_file",
    default="config.yml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The encrypted configuration file, for --stage.",
)
@click.option(
    "--duration",
    default=3600,
    show_default=True,
    type=click.IntRange(900, 43200),
    help="Seconds that the credentials last.",
)
@click.option("--username", "-u", help="Rackspace user name (or RS_USERNAME).")
@click.option("--apikey", "-k", help="Rackspace API key (better: RS_API_KEY; other users can see arguments).")
@click.option("--print-env", is_flag=True, help="Print what a shell evals, instead of running a command.")
@click.option(
    "--credential-process",
    is_flag=True,
    help="Print what AWS's tools expect of a credential_process, instead of running a command.",
)
@click.argument("words", metavar="[--] COMMAND…", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(
    ctx: click.Context, /, words: tuple[str, ...], print_env: bool, credential_process: bool, **given: Any
) -> None:
    """Run a command with temporary AWS credentials.

    Example:
      carboy run --environment staging -- aws s3 ls     arguments as they are, no shell
      carboy run -e staging 'aws s3 ls | head'          one string: a shell
      eval "$(carboy run -e staging --print-env)"

    The credentials come from AWS profiles, SSO, assumed roles or Rackspace, and are kept until shortly before they
    end. The command's exit code and signals are its own.
    """
    if sum((print_env, credential_process, bool(words))) != 1:
        raise UsageError(
            "there is nothing to run", "give a command, --print-env or --credential-process, one of them",
            "carboy run -e staging -- aws s3 ls",
        )  # fmt: skip
    options = CredentialOptions(given["environments"], given["username"], given["apikey"], given["duration"])
    environment = _wanted(options, given)
    credentials = options.get(environment)
    if credential_process:
        click.echo(json.dumps(_for_aws_tools(credentials)))
        return
    drop = [name for name in (environment.rs_username_var, environment.rs_apikey_var) if name]
    if print_env:
        click.echo(_for_shell(credentials, drop), nl=False)
        return
    arguments = ["/bin/sh", "-c", words[0]] if ctx.meta["carboy.run.is_one_string"] else list(words)
    _become(arguments, child_environment(read_environ(), credentials, drop), words[0])


def _wanted(options: CredentialOptions, given: Mapping[str, Any]) -> Environment:
    """Return the environment that the options name."""
    environment, stage, account, role, profile = (
        given[name] for name in ("environment", "stage", "account", "role", "profile")
    )
    where = [f"--{name}" for name in ("environment", "stage", "account") if given[name]]
    if len(where) > 1:
        raise UsageError(f"{' and '.join(where)} do not go together", "each names an account", "give one of them")
    if role and (environment or stage):
        raise UsageError(
            f"--role and {where[0]} do not go together", "the environment says which role", "write `role` there"
        )
    if not where and not profile:
        raise UsageError(
            "no account was named",
            "credentials belong to an account",
            "give --environment, --stage, --account or --profile",
        )
    if account and not (len(account) == 12 and account.isascii() and account.isdigit()):
        raise UsageError(f"`{account}` is not an AWS account", "it has twelve digits", "correct --account")
    if not (environment or stage):
        return Environment("", account, (role,) if role else (), profile)
    found = options.find(environment or _environment_of(stage, given["stages_file"], given["environments"]))
    if profile:
        raise UsageError(
            f"--profile and {where[0]} do not go together", "the environment says which profile", "write it there"
        )
    return found


def _environment_of(stage: str, closed: Path, environments: Path) -> str:
    """Return the environment of a stage: by the closed file, else by `stages` in the file of environments."""
    for path in (closed, environments):
        data = read_file(path)
        if data is None:
            continue
        tree = parse_document(data, str(path)).tree
        stages = tree.get("stages") if isinstance(tree, dict) else None
        if not isinstance(stages, dict):
            continue
        try:
            name = choose([key for key in stages if isinstance(key, str)], stage)
        except (Ambiguous, ValueError) as error:
            raise ConfigurationError(f"the stage `{stage}` is not clear", str(error), "name its environment") from None
        entry = stages.get(name)
        found = entry.get("environment") if isinstance(entry, dict) else None
        if isinstance(found, str) and found:
            return found
        raise ConfigurationError(
            f"the stage `{stage}` has no environment", f"`{path}` does not give it one", "add it to `stages`"
        )
    raise ConfigurationError(
        f"the stage `{stage}` is not known", f"there are no stages in `{closed}`", "name the file with --stages"
    )


def _variables(credentials: Credentials) -> dict[str, str]:
    made = {"AWS_ACCESS_KEY_ID": credentials.access_key_id, "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key}
    if credentials.session_token:
        made["AWS_SESSION_TOKEN"] = credentials.session_token
    if credentials.region:
        made |= {"AWS_REGION": credentials.region, "AWS_DEFAULT_REGION": credentials.region}
    return made


def child_environment(environ: Mapping[str, str], credentials: Credentials, drop: Sequence[str] = ()) -> dict[str, str]:
    """Return the environment variables of a child: the credentials, and nothing that competes with or made them."""
    removed = {*_DROPPED, *drop, "AWS_SESSION_TOKEN"}
    return {**{name: value for name, value in environ.items() if name not in removed}, **_variables(credentials)}


def _for_shell(credentials: Credentials, drop: Sequence[str]) -> str:
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in _variables(credentials).items()]
    unset = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", *([] if credentials.session_token else ["AWS_SESSION_TOKEN"]), *drop]
    return "".join([*lines, f"unset {' '.join(unset)}\n"])


def _for_aws_tools(credentials: Credentials) -> dict[str, object]:
    made: dict[str, object] = {
        "Version": 1, "AccessKeyId": credentials.access_key_id, "SecretAccessKey": credentials.secret_access_key,
    }  # fmt: skip
    if credentials.session_token:
        made["SessionToken"] = credentials.session_token
    if credentials.expires_at:
        made["Expiration"] = credentials.expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return made


def _become(arguments: list[str], environ: dict[str, str], shown: str) -> None:
    """Replace this process with the command, which gets its signals and its terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and a child would inherit that
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(arguments[0], arguments, environ)  # noqa: S606 (no shell is what is wanted)
    except OSError as error:
        kind = NotFound if isinstance(error, FileNotFoundError) else NotAllowed
        why = error.strerror or "the system refuses it"
        raise kind(f"`{shown}` was not started", why, "check the command and PATH") from None
