"""`carboy tail`."""

import time
from typing import Any

import click

from carboy.cli.output import time_text
from carboy.cli.project import Project, pass_project

_AT_ONCE = 200


@click.command("tail")
@click.option(
    "--lines",
    "-n",
    type=click.IntRange(0, _AT_ONCE),
    default=10,
    show_default=True,
    help="How many earlier lines to show first.",
)
@click.option("--every", "every_s", type=float, default=1.0, show_default=True, help="Seconds between two polls.")
@click.option("--once", is_flag=True, help="Print the earlier lines and exit.")
@pass_project
def command(project: Project, lines: int, every_s: float, once: bool) -> None:
    """Follow jobs: a line for each webhook, delivery and message.

    Example:
      carboy tail
      carboy tail -n 50 --once
    """
    store = project.runtime().jobs.store
    found = store.list(limit=max(lines, 1))
    _show(reversed(found[:lines]))
    newest = int(found[0].id) if found else 0
    while not once:
        time.sleep(max(0.1, every_s))
        found = _newer(store, newest)
        _show(reversed(found))
        newest = int(found[0].id) if found else newest


def _newer(store: Any, newest: int) -> list[Any]:
    """Return the jobs that were made after one, the newest first, however many they are."""
    found: list[Any] = []
    while True:
        page = store.list(limit=_AT_ONCE, before=int(found[-1].id) if found else None)
        fresh = [job for job in page if int(job.id) > newest]
        found += fresh
        if len(fresh) < _AT_ONCE:
            return found


def _show(jobs: Any) -> None:
    for job in jobs:
        args = " ".join(str(one) for one in job.args)[:60]
        error = ((job.error or "").strip().splitlines() or [""])[-1][:80]
        click.echo(f"{time_text(job.created_at)}  {job.state:<8} {job.kind:<24} {args}  {error}".rstrip())
