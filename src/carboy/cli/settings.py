"""`carboy settings`."""

import contextlib
import io
from typing import TYPE_CHECKING, Any

import click

from carboy.cli.output import did_you_mean, json_option, paint, print_json, print_table, show_value
from carboy.cli.project import Project, of_gateway, own_faults, pass_project
from carboy.errors import CarboyError, ConfigurationError, MissingExtra, UsageError

if TYPE_CHECKING:
    from carboy.config import Entry, Settings

_LEAST_LENGTH = 5


@click.group("settings")
def command() -> None:
    """Show and check settings, and where their values come from.

    Example:
      carboy settings show
      carboy settings get DATABASE_URL
    """


@command.command("show")
@click.option("--changed", is_flag=True, help="Only settings that differ from their default.")
@json_option
@pass_project
def show(project: Project, changed: bool, as_json: bool) -> None:
    """Print every setting with its value and its layer. Secrets are masked.

    Example:
      carboy settings show --changed
      carboy settings show --profile prod --json
    """
    settings = load_all(project)
    shown = [entry for entry in settings if not changed or entry.layer != "default"]
    if as_json:
        print_json({entry.name: _describe(entry) for entry in shown})
    else:
        print_table(
            ("NAME", "VALUE", "FROM", "HIDES"),
            [(entry.name, entry.shown, entry.layer, ", ".join(entry.hides)) for entry in shown],
        )
    _warn(project, settings)


@command.command("check")
@json_option
@pass_project
@click.pass_context
def check(ctx: click.Context, project: Project, as_json: bool) -> None:
    """Check every setting and report all errors; exit 3 if there are any.

    Example:
      carboy settings check --profile prod --env-file prod.env
    """
    try:
        settings = load_all(project)
    except ConfigurationError as error:
        if not as_json:
            raise
        faults = [{"setting": fault.pointer, "detail": fault.detail} for fault in error.faults]
        print_json({"ok": False, "faults": faults or [{"setting": None, "detail": str(error)}], "warnings": []})
        ctx.exit(error.exit_code)
    if as_json:
        print_json({"ok": True, "faults": [], "warnings": _warnings(project, settings)})
        return
    click.echo(f"{len(list(settings))} settings of profile {settings.profile}: nothing is wrong", err=True)
    _warn(project, settings)


@command.command("get")
@click.argument("name")
@json_option
@pass_project
def get(project: Project, name: str, as_json: bool) -> None:
    """Print one setting's value; a secret is masked.

    Example:
      carboy settings get JOBS_CONCURRENCY
    """
    settings = load_all(project)
    name = name.upper()
    entry = settings.entry(name) or settings.entry(name.removeprefix("FLASK_"))
    if entry is None:
        near = did_you_mean(name, [one.name for one in settings])
        hint = f"did you mean `{near}`?" if near else "`carboy settings show` lists what there is"
        raise UsageError(f"`{name}` is not a setting", "no part declares it and no layer gives it", hint)
    if as_json:
        print_json({"name": entry.name, **_describe(entry)})
    else:
        is_plain = entry.shown is None or isinstance(entry.shown, str)
        click.echo((entry.shown or "") if is_plain else show_value(entry.shown))


@command.command("refresh")
@json_option
@pass_project
def refresh(project: Project, as_json: bool) -> None:
    """Make running processes reload their settings, secrets and parameters.

    A process whose new settings are not valid keeps the last valid ones and logs the error.

    Example:
      carboy settings refresh
    """
    from carboy.config import BaseSettings
    from carboy.web.reload import ask_all

    asked = ask_all(project.settings().part(BaseSettings).instance_path)
    if not asked:
        raise CarboyError(
            "no process was asked",
            "no process serves from this instance folder",
            "see INSTANCE_PATH, or send SIGHUP",
        )
    if as_json:
        print_json({"asked": asked})
    else:
        click.echo(f"asked: {', '.join(map(str, asked))}", err=True)


def load_all(project: Project) -> "Settings":
    """Return the settings of every part that the project runs, and of the server.

    Raises:
        ConfigurationError: with all that is wrong.
    """
    from carboy.serve import ServeSettings
    from carboy.web import load_settings, settings_parts

    try:
        with own_faults():
            settings, _ = load_settings(lambda *known: [*settings_parts(*known), ServeSettings], project.sources)
    except (ConfigurationError, MissingExtra) as error:  # of the gateway, which the application may not be
        adopted = _settings_of_adopted(project)
        if adopted is not None:
            return adopted
        if isinstance(error, MissingExtra) and project.app_path() is None:
            raise of_gateway(error) from error
        raise
    return settings


def _settings_of_adopted(project: Project) -> "Settings | None":
    """Return the settings of an application that took its parts by `init_app`, where its own configuration counts."""
    from carboy.extension import find_extension
    from carboy.web import Runtime

    if project.app_path() is None:
        return None
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # the caller prints the warnings
            found = find_extension(project.make_quiet_app())
    except Exception:  # noqa: BLE001 (what is wrong with the settings is the better message)
        return None
    return found.settings if isinstance(found, Runtime) and found.is_adopted else None


def _describe(entry: "Entry") -> dict[str, Any]:
    return {"value": entry.shown, "layer": entry.layer, "hides": list(entry.hides), "secret": entry.is_secret}


def _warn(project: Project, settings: "Settings") -> None:
    for warning in _warnings(project, settings):
        click.echo(f"{paint('warning:', 'yellow', err=True)} {warning}", err=True)


def _warnings(project: Project, settings: "Settings") -> list[str]:
    """Return the warnings of the settings, and the variables whose names are nearly those of settings."""
    from carboy.config.layers import misspelt

    sources = project.sources()
    warnings = list(settings.warnings)
    given = {name.removeprefix("FLASK_"): name for name in sorted({*sources.environ, *sources.dotenv})}
    known = [entry.name for entry in settings]
    names = [name for name in given if len(name) >= _LEAST_LENGTH and name.isupper()]
    for bare, near in misspelt([name for name in names if name.removesuffix("_FILE") not in known], known):
        if not any(f"`{near}`" in warning and bare in warning for warning in warnings):
            warnings.append(f"the variable `{given[bare]}` is not a setting: did you mean `{near}`?")
    return warnings
