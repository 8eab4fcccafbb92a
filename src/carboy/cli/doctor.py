"""`carboy doctor`: ask every part, and say what to do about what is wrong."""

import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from carboy.cli.doctor_security import Finding, audit
from carboy.cli.output import json_option, paint, print_json
from carboy.cli.project import Project, pass_project, runtime_of
from carboy.clock import SYSTEM_CLOCK
from carboy.errors import CarboyError, ConfigurationError, UpstreamError

if TYPE_CHECKING:
    from carboy.config import Settings
    from carboy.serve import Service
    from carboy.web import Runtime

__all__ = ["command", "compare_clocks"]

_PATIENCE_S = 2.0  # who asks how it is wants to hear it soon

_LEAST_FREE_BYTES = 100_000_000
_MOST_OFF_S = 60.0  # of the five minutes after which AWS refuses what was signed


@click.command("doctor")
@click.option("--security", is_flag=True, help="Audit the configuration for weaknesses instead.")
@json_option
@pass_project
@click.pass_context
def command(ctx: click.Context, project: Project, security: bool, as_json: bool) -> None:
    """Check every part against the outside.

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
        print_json({"ok": is_well, "checks": [asdict(finding) for finding in findings]})
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
        yield Finding("settings", True, f"{len(list(settings))} are right", "; ".join(settings.warnings))
        service = Service(project.make_quiet_app(db_connect_budget_s=_PATIENCE_S, db_heal_s=_PATIENCE_S))
        runtime_of(service)
    except ConfigurationError as error:
        for fault in error.faults:
            yield Finding("settings", ok=False, detail=f"{fault.pointer}: {fault.detail}", hint=error.hint)
        if not error.faults:
            yield _failed("settings", error)
        return
    except CarboyError as error:
        yield _failed("application", error)
        return
    yield from checks(service)


def _examine_parts(service: "Service") -> Iterator[Finding]:
    runtime = runtime_of(service)
    yield from _aws(runtime.settings)
    yield _instance_folder(runtime)
    if "database" in runtime.checks:
        yield from _database(runtime)
    for name, check in {**runtime.checks, **runtime.dependencies}.items():
        if name != "database":
            with service.app.app_context():
                yield _ask(name, check)


def _ask(name: str, check: object) -> Finding:
    try:
        check()  # type: ignore[operator]
    except Exception as error:  # noqa: BLE001 (whatever a part's check raises is what it found)
        return _failed(name, error)
    return Finding(name, ok=True, detail="it answers")


def _failed(name: str, error: Exception) -> Finding:
    hint = error.hint if isinstance(error, CarboyError) else ""
    return Finding(name, ok=False, detail=str(error) or type(error).__name__, hint=hint)


def compare_clocks(whose: str, there_ms: float) -> Finding:
    """Say how far this machine's time is from another's, in milliseconds since the epoch."""
    off_s = abs(SYSTEM_CLOCK.now_ms() - there_ms) / 1000
    hint = "" if off_s < _MOST_OFF_S else "have this machine take its time from the network (chrony, systemd-timesyncd)"
    return Finding("clock", ok=not hint, detail=f"{off_s:.0f} s from the time of {whose}", hint=hint)


def _aws(settings: "Settings") -> Iterator[Finding]:
    """Say as whom AWS is asked, where the settings come from it; they were read from there a moment ago."""
    followed = [one for one in settings.references if one.scheme.startswith("aws-")]
    opened = settings["CONFIG_FILE"]
    parameters = sum(entry.layer.startswith("Parameter Store") for entry in settings)
    if not (followed or opened or parameters or settings["DB_SECRET_NAME"]):
        return
    from carboy.aws import client

    try:
        answer = client("sts").get_caller_identity()
    except Exception as error:  # noqa: BLE001 (what it says is the finding)
        yield _failed("aws", error)
        return
    yield Finding("aws", ok=True, detail=f"account {answer['Account']}, as {answer['Arn']}")
    if parameters or followed:
        found = f"{parameters} settings from Parameter Store, {len(followed)} references followed"
        yield Finding("secrets", ok=True, detail=found)
    if opened:
        yield Finding("kms", ok=True, detail=f"it opened {opened}")
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if date:
        yield compare_clocks("AWS", parsedate_to_datetime(date).timestamp() * 1000)


def _instance_folder(runtime: "Runtime") -> Finding:
    folder = Path(runtime.settings["INSTANCE_PATH"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        hint = "make it writable for this user, or set INSTANCE_PATH"
        return Finding("instance folder", ok=False, detail=f"{folder}: {error.strerror}", hint=hint)
    if free_bytes < _LEAST_FREE_BYTES:
        detail = f"{folder}: {free_bytes // 1_000_000} MB are free"
        return Finding("instance folder", ok=False, detail=detail, hint="make room on its disk")
    return Finding("instance folder", ok=True, detail=f"{folder}, {free_bytes // 1_000_000_000} GB are free")


def _database(runtime: "Runtime") -> Iterator[Finding]:
    asked = _ask("database", runtime.checks["database"])
    if not asked.ok:
        hint = asked.hint or "see DATABASE_URL, and whether the server is up"
        yield Finding("database", ok=False, detail=asked.detail, hint=hint)
        return
    from carboy.db import ServerClock, migrate
    from carboy.db.failed_migration import find_failed_migration

    yield Finding("database", ok=True, detail=f"{runtime.engine.dialect.name} answers")
    connector = vars(runtime.engine).get("carboy_connector")
    if connector is not None:
        detail = connector.describe_tls(runtime.engine)
        hint = "" if ", verified" in detail else "set DB_TLS_CA to the PEM of the server's authority"
        yield Finding("database TLS", ok=True, detail=detail, hint=hint)
    if isinstance(runtime.clock, ServerClock):
        yield compare_clocks("the database", runtime.clock.now_ms())
    halt = find_failed_migration(runtime.engine)
    if halt is not None:
        at = f" at `{halt.statement}`" if halt.statement else ""
        hint = f"undo by hand what `{halt.migration}` did before that, mend its cause, then run `carboy db upgrade`"
        yield Finding("migrations", ok=False, detail=f"`{halt.migration}` stopped half-way{at}: {halt.why}", hint=hint)
        return
    if not migrate.is_current(runtime.engine):
        found = migrate.current(runtime.engine) or "nothing"
        detail = f"it has {found}, the code needs {migrate.head()}"
        yield Finding("migrations", ok=False, detail=detail, hint="run `carboy db upgrade`")
        return
    yield Finding("migrations", ok=True, detail=f"at {migrate.head()}, the newest")
    dead = sum(row["count"] for row in runtime.jobs.store.stats() if row["state"] == "dead")
    hint = "`carboy jobs list --state dead` shows why, `carboy jobs retry --all` tries again" if dead else ""
    yield Finding("jobs", ok=True, detail=f"{dead} are dead", hint=hint)
