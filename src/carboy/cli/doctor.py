"""`carboy doctor`: check every part, and say how to fix what fails."""

import platform
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from carboy.cli.doctor_security import audit
from carboy.cli.output import json_option, paint, print_json
from carboy.cli.project import Project, pass_project, runtime_of
from carboy.errors import CarboyError, ConfigurationError, UpstreamError
from carboy.web.diagnosis import Finding, diagnose, failed

if TYPE_CHECKING:
    from carboy.serve import Service

_PATIENCE_S = 2.0  # an interactive command has to end soon


@click.command("doctor")
@click.option("--security", is_flag=True, help="Audit the configuration for weaknesses instead.")
@json_option
@pass_project
@click.pass_context
def command(ctx: click.Context, project: Project, security: bool, as_json: bool) -> None:
    """Check settings, database, storage and upstream services.

    Each finding says what to do, and the command ends with 4 when one fails. What is checked is the profile, the
    settings, AWS with its secrets and keys where they are used, the clock, the instance folder, the database and its
    migrations, the jobs, and what each module checks of itself.

    With `--security` it audits the debug mode, authentication, the secret key, limits, the session cookie, response
    headers, the metrics port, file modes, webhook sources, API keys, and TLS to the database.

    Example:
      carboy doctor --profile prod
      carboy doctor --profile prod --security
    """
    findings = []
    for finding in examine(project, audit if security else _examine_parts):
        findings.append(finding)
        if not as_json:
            word = paint("ok  ", "green") if finding.ok else paint("FAIL", "red")
            click.echo(f"{word}  {finding.name}: {finding.detail}")
            if finding.hint:
                click.echo(f"      {paint('hint:', 'cyan')} {finding.hint}")
    is_well = all(finding.ok for finding in findings)
    if as_json:
        shown = ("name", "ok", "detail", "hint")
        print_json({"ok": is_well, "checks": [{key: getattr(one, key) for key in shown} for one in findings]})
    if not is_well:
        ctx.exit(UpstreamError.exit_code)


def examine(project: Project, checks: "Callable[[Service], Iterator[Finding]]") -> Iterator[Finding]:
    """Yield what each check finds; without good settings or an application there is nothing further to check."""
    from carboy.cli.settings import load_all
    from carboy.serve import Service

    yield Finding("python", ok=True, detail=f"{platform.python_version()} on {platform.platform(terse=True)}")
    try:
        settings = load_all(project)
        yield Finding("profile", ok=True, detail=str(settings.profile))
        yield Finding("settings", True, f"{len(list(settings))} valid", "; ".join(settings.warnings))
        service = Service(project.make_quiet_app(db_connect_budget_s=_PATIENCE_S, db_heal_s=_PATIENCE_S))
        runtime_of(service)
    except ConfigurationError as error:
        for fault in error.faults:
            yield Finding("settings", ok=False, detail=f"{fault.pointer}: {fault.detail}", hint=error.hint)
        if not error.faults:
            yield failed("settings", error)
        return
    except CarboyError as error:
        yield failed("application", error)
        return
    yield from checks(service)


def _examine_parts(service: "Service") -> Iterator[Finding]:
    yield from diagnose(runtime_of(service), asks_upstreams=True)
