"""`carboy jobs`."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from carboy.cli.output import json_option, paint, print_json, print_records, time_text
from carboy.cli.project import Project, pass_project
from carboy.errors import UsageError

if TYPE_CHECKING:
    from carboy.jobs import JobStore, JobView

_PAGE = 1000
_TIMES = ("run_at", "created_at", "finished_at")


@click.group("jobs")
def command() -> None:
    """List, retry and delete jobs.

    Example:
      carboy jobs list --state dead
      carboy jobs retry --all
    """


@command.command("list")
@click.option("--state", type=click.Choice(["queued", "running", "done", "dead"]), help="Only jobs in this state.")
@click.option("--kind", help="Only jobs of this kind.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="The maximum number.")
@json_option
@pass_project
def list_(project: Project, state: str | None, kind: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first.

    Example:
      carboy jobs list --state dead --json
    """
    jobs = project.runtime().jobs.store.list(state=state, kind=kind, limit=limit)
    columns = {"id": "ID", "kind": "KIND", "state": "STATE", "attempts": "TRIES", "created_at": "CREATED"}
    columns |= {"run_at": "RUNS AT", "key": "KEY", "error": "ERROR"}
    print_records([_describe(job) for job in jobs], columns, as_json=as_json)


@command.command("show")
@click.argument("job_id", metavar="ID", type=int)
@json_option
@pass_project
def show(project: Project, job_id: int, as_json: bool) -> None:
    """Show one job.

    Example:
      carboy jobs show 17
    """
    found = _describe(project.runtime().jobs.store.get(job_id))
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        click.echo(f"{paint(name, 'bold')}: {'-' if value is None else value}")


@command.command("retry")
@click.argument("job_id", metavar="[ID]", type=int, required=False)
@click.option("--all", "all_dead", is_flag=True, help="Every dead job.")
@click.option("--kind", help="With --all: only jobs of this kind.")
@pass_project
def retry(project: Project, job_id: int | None, all_dead: bool, kind: str | None) -> None:
    """Run a dead or waiting job now, with its full number of attempts.

    Example:
      carboy jobs retry 17
      carboy jobs retry --all --kind archive.fetch_detail
    """
    if (job_id is None) != all_dead:
        raise UsageError(
            "which jobs?", "an ID or --all says it, not both", "`carboy jobs list --state dead` shows them"
        )
    store = project.runtime().jobs.store
    if job_id is None:
        click.echo(f"{store.retry_all(kind=kind)} jobs run again", err=True)
    else:
        click.echo(f"job {job_id} is {store.retry(job_id).state}", err=True)


@command.command("purge")
@click.option("--state", type=click.Choice(["done", "dead"]), default="done", show_default=True, help="Which jobs.")
@click.option("--kind", help="Only jobs of this kind.")
@click.option("--older-than", metavar="TIME", default="0s", show_default=True, help="Only those that ended before: 7d.")
@click.option("--dry-run", is_flag=True, help="Only print how many.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_project
def purge(project: Project, state: str, kind: str | None, older_than: str, dry_run: bool, yes: bool) -> None:
    """Delete finished jobs.

    Example:
      carboy jobs purge --state dead --older-than 7d --dry-run
    """
    from carboy.config import parse_duration

    try:
        age_s = parse_duration(older_than)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--older-than") from None
    runtime = project.runtime()
    before_ms = runtime.clock.now_ms() - round(age_s * 1000) + 1
    if dry_run or (not yes and sys.stdin.isatty()):
        count = sum(1 for _ in _ended(runtime.jobs.store, state, kind, before_ms))
        click.echo(f"{count} {state} jobs would be deleted", err=True)
        if dry_run or not click.confirm("delete them?", err=True):
            return
    deleted = runtime.jobs.store.purge(state=state, kind=kind, before_ms=before_ms)
    click.echo(f"{deleted} {state} jobs deleted", err=True)


def _ended(store: "JobStore", state: str, kind: str | None, before_ms: int) -> "Iterator[JobView]":
    before = None
    while page := store.list(state=state, kind=kind, limit=_PAGE, before=before):
        yield from (job for job in page if job.finished_at is not None and job.finished_at < before_ms)
        before = int(page[-1].id)


def _describe(job: "JobView") -> dict[str, Any]:
    found = asdict(job)
    return found | {name: time_text(found[name]) for name in _TIMES}
