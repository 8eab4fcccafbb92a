"""The group `carboy`: which commands there are, the options that all of them have, and how an error ends.

A command's module is imported when that command is used: `carboy --help` imports none of them.
"""

import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from inspect import cleandoc
from typing import Any

import click

from carboy.cli.output import did_you_mean, note, paint
from carboy.cli.project import Project
from carboy.errors import CarboyError, ConfigurationError, InvalidInput
from carboy.problems import Problem

COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("carboy.cli.serve", "Serve the application, and run its jobs."),
    "worker": ("carboy.cli.worker", "Run jobs only."),
    "new": ("carboy.cli.new", "Create a new service, with tests and deployment files."),
    "settings": ("carboy.cli.settings", "Show and check settings, and where their values come from."),
    "config": ("carboy.cli.config", "Edit and render encrypted configuration that is kept in git."),
    "db": ("carboy.cli.db", "Migrate the database, and work with migrations."),
    "keys": ("carboy.cli.keys", "Create, list and revoke API keys."),
    "jobs": ("carboy.cli.jobs", "List, retry and delete jobs."),
    "archive": ("carboy.cli.archive", "List, replay, verify and erase archived webhooks."),
    "sms": ("carboy.cli.sms", "Send messages and show their state, statistics and providers."),
    "console": ("carboy.cli.console", "Open the console, logged in by a one-time address."),
    "tail": (
        "carboy.cli.tail",
        "Follow jobs: a line for each webhook, delivery and message.",
    ),
    "run": ("carboy.cli.run", "Run a command with temporary AWS credentials."),
    "build": (
        "carboy.cli.build",
        "Build a zip for AWS Lambda: the same bytes every time, for the function's platform, without Docker.",
    ),
    "lambda": ("carboy.cli.lambda_", "Invoke the Lambda handler locally."),
    "doctor": ("carboy.cli.doctor", "Check settings, database, storage and upstream services."),
}
"""Name → module and one line of help. The module's `command` is the command; one that is not there is left out."""

_INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands whose modules are there, in the order of the table."""
        return [name for name, (module, _) in COMMANDS.items() if find_spec(module) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command and add the common options."""
        module, _ = COMMANDS.get(cmd_name, ("", ""))
        if not module or find_spec(module) is None:
            return None
        command: click.Command = import_module(module).command
        complete(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name; a misspelt one is refused with the nearest."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = did_you_mean(args[0], self.list_commands(ctx))
            if near and "No such command" in error.message:
                raise click.UsageError(f"No such command '{args[0]}'. Did you mean '{near}'?", ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their lines of the table, without an import."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete a command's name, without an import."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return [CompletionItem(name, help=COMMANDS[name][1]) for name in names] + click.Command.shell_complete(
            self, ctx, incomplete
        )


def complete(command: click.Command) -> None:
    """Give a command and all below it what every command has.

    These are `--profile`, `--env-file` and `--app`, unless it has its own of that name, and examples that are shown as
    they are written.
    """
    taken = {name for parameter in command.params for name in (*parameter.opts, parameter.name)}
    if "common_profile" in taken:
        return
    command.help = cleandoc(command.help or "").replace("\n\nExample:\n", "\n\n\b\nExample:\n")
    for option in _common_options():
        option.opts = [name for name in option.opts if name not in taken]
        if any(name.startswith("--") for name in option.opts):
            command.params.append(option)
    if isinstance(command, click.Group) and not isinstance(command, LazyGroup):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                complete(below)


def _common_options() -> Iterator[click.Option]:
    """Yield the common options, which stand before a command's name or after it."""

    def keep(field: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
        def callback(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
            if value is not None:
                setattr(ctx.ensure_object(Project), field, value)

        return callback

    for field, names, metavar, text in (
        (
            "profile",
            ("--profile", "-e"),
            "NAME",
            "The profile: local, dev, prod, ….  [default: FLASK_PROFILE or local]",
        ),
        ("env_file", ("--env-file", "-f"), "FILE", "Read this file instead of .env."),
        ("app", ("--app",), "MODULE:NAME", "The Flask application.  [default: FLASK_APP, or the built-in gateway]"),
    ):
        yield click.Option(
            [*names, f"common_{field}"],
            metavar=metavar,
            help=text,
            expose_value=False,
            callback=keep(field),
            type=click.Path(exists=True, dir_okay=False) if field == "env_file" else str,
        )


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="carboy", message="carboy %(version)s")
def cli() -> None:
    """Take Flask services to production.

    Example:
      carboy serve
      carboy --profile prod settings check
    """


complete(cli)


def main() -> None:
    """Run the command line, and end the process with the code of how it went."""
    _open_standard_streams()
    try:
        code = _run()
    except KeyboardInterrupt:  # at any time, while an error is shown too
        code = _interrupted()
    sys.exit(code)


def _open_standard_streams() -> None:
    """Open what was closed at the start as the null device, or files and sockets would get its number."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "r" if name == "stdin" else "w"))


def _run() -> int:
    try:
        code = cli.main(prog_name="carboy", standalone_mode=False) or 0
        sys.stdout.flush()
    except click.exceptions.Abort:
        code = _interrupted()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except CarboyError as error:
        _show(error)
        code = error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader closed the pipe: print no more
        code = 1
    return code if isinstance(code, int) else 0


def _interrupted() -> int:
    note("interrupted")
    return _INTERRUPTED


def _show(error: CarboyError) -> None:
    """Print an error on stderr: what happened, every fault, and the hint."""
    title, hint = paint("error:", "red", err=True), paint("hint:", "cyan", err=True)
    faults = error.faults if isinstance(error, ConfigurationError | InvalidInput) else ()
    if faults:
        click.echo(f"{title} {error.what}:", err=True)
        for fault in faults:
            click.echo(f"  {fault.pointer}: {fault.detail}", err=True)
    else:
        click.echo(f"{title} {error}", err=True)
    wait = error.headers.get("Retry-After") if isinstance(error, Problem) else None
    if error.hint or wait:
        click.echo(f"{hint} {error.hint or f'try again in {wait} s'}", err=True)
