"""`carboy archive destinations`: who receives what the archive keeps, from a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from carboy.cli.output import json_option, print_json, print_table
from carboy.cli.project import Project, pass_project
from carboy.errors import InvalidInput, UpstreamError

if TYPE_CHECKING:
    from carboy.services.archive import Archive

NAME = click.argument("name", metavar="NAME")


@click.group("destinations")
def command() -> None:
    """List, pause, retry and test destinations.

    Example:
      carboy archive destinations list
      carboy archive destinations retry siem
    """


@contextmanager
def open_archive(project: Project) -> "Iterator[Archive]":
    """Give the archive of the application, within its context."""
    from carboy.services.archive import archive_of

    runtime = project.runtime()
    try:
        with runtime.app.app_context():
            yield archive_of(runtime.app)
    finally:
        runtime.close()


@command.command("list")
@json_option
@pass_project
def list_(project: Project, as_json: bool) -> None:
    """List the destinations with their state.

    Example:
      carboy archive destinations list
    """
    with open_archive(project) as archive:
        found = [archive.destinations.describe(name) for name in archive.destinations.names()]
    if as_json:
        print_json(found)
        return
    titles = ("NAME", "KIND", "STATE", "WAITING", "FAILED", "OLDEST_S", "SUCCESS", "P95_MS")
    keys = ("name", "kind", "state", "waiting", "failed", "oldest_waiting_s", "success_rate", "p95_ms")
    print_table(titles, [[one[key] for key in keys] for one in found])


@command.command()
@NAME
@click.option("--state", help="Only deliveries of this state: waiting, delivering, delivered, failed, expired.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Deliveries at most.")
@json_option
@pass_project
def show(project: Project, name: str, state: str | None, limit: int, as_json: bool) -> None:
    """Show a destination with its newest deliveries; with the id of a delivery, that one with every attempt.

    Example:
      carboy archive destinations show siem --state failed
      carboy archive destinations show 7529845821700098482
    """
    from carboy.services.archive.destinations.store import STATES, DeliveryFilter

    if state is not None and state not in STATES:
        raise InvalidInput("`--state` cannot be used", f"`{state}` is not a state", f"choose of {', '.join(STATES)}")
    with open_archive(project) as archive:
        if name.isdigit():
            delivery = archive.destinations.delivery(min(int(name), (1 << 63) - 1))
            _print_delivery(delivery, as_json=as_json)
            return
        described = archive.destinations.describe(name)
        deliveries = archive.destinations.deliveries(name, DeliveryFilter(state), limit)
    if as_json:
        print_json({**described, "deliveries": deliveries})
        return
    print_table(("KEY", "VALUE"), list(described.items()))
    click.echo()
    rows = [
        (one["id"], one["event"]["source"], one["event"]["id"], one["state"], one["attempts_made"], one["next_try"])
        for one in deliveries
    ]
    print_table(("DELIVERY", "SOURCE", "EVENT", "STATE", "ATTEMPTS", "NEXT_TRY"), rows)


def _print_delivery(delivery: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(delivery)
        return
    print_table(("KEY", "VALUE"), [(key, value) for key, value in delivery.items() if key != "attempts"])
    click.echo()
    keys = ("at", "duration_ms", "status", "error", "response")
    print_table([key.upper() for key in keys], [[one[key] for key in keys] for one in delivery["attempts"]])


@command.command()
@NAME
@json_option
@pass_project
def test(project: Project, name: str, as_json: bool) -> None:
    """Send a sample event to a destination; exit 4 if it is refused.

    Example:
      carboy archive destinations test siem
    """
    from carboy.services.archive.destinations.service import describe_attempt

    with open_archive(project) as archive:
        attempt = archive.destinations.test(name)
    described = describe_attempt(attempt)
    if as_json:
        print_json(described)
    else:
        print_table(("KEY", "VALUE"), list(described.items()))
    if not attempt.is_delivered:
        raise click.exceptions.Exit(UpstreamError.exit_code)


def _change(project: Project, name: str, change: Callable[["Archive"], str]) -> None:
    with open_archive(project) as archive:
        click.echo(change(archive))


@command.command()
@NAME
@pass_project
def pause(project: Project, name: str) -> None:
    """Pause a destination; its deliveries wait.

    Example:
      carboy archive destinations pause siem
    """

    def change(archive: "Archive") -> str:
        archive.destinations.pause(name)
        return f"{name} is paused"

    _change(project, name, change)


@command.command()
@NAME
@pass_project
def resume(project: Project, name: str) -> None:
    """Resume a paused destination.

    Example:
      carboy archive destinations resume siem
    """

    def change(archive: "Archive") -> str:
        archive.destinations.resume(name)
        return f"{name} is active"

    _change(project, name, change)


@command.command()
@NAME
@click.option(
    "--state",
    type=click.Choice(["failed", "waiting"]),
    default="failed",
    show_default=True,
    help="Which deliveries of the destination are tried.",
)
@pass_project
def retry(project: Project, name: str, state: str) -> None:
    """Retry a destination's deliveries now, or the one delivery of an id.

    Example:
      carboy archive destinations retry siem
    """

    def change(archive: "Archive") -> str:
        if name.isdigit():
            count = archive.destinations.retry_delivery(min(int(name), (1 << 63) - 1))
        else:
            count = archive.destinations.retry(name, state)
        return f"{count} will be tried again"

    _change(project, name, change)


@command.command()
@NAME
@click.option("--dry-run", is_flag=True, help="Only print how many.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_project
def drop(project: Project, name: str, dry_run: bool, yes: bool) -> None:
    """Discard a destination's waiting deliveries; their events stay archived.

    Also for a destination that was removed from the settings: `list` shows it as `removed` while deliveries wait.

    Example:
      carboy archive destinations drop siem --dry-run
    """
    with open_archive(project) as archive:
        count = archive.destinations.describe(name)["waiting"]
        if dry_run:
            click.echo(f"{count} deliveries would be dropped")
            return
        if count and not yes and sys.stdin.isatty():
            click.confirm(f"drop {count} deliveries?", abort=True, err=True)
        click.echo(f"{archive.destinations.drop(name)} deliveries were dropped")


@command.command()
@NAME
@click.option("--from", "start", metavar="TIME", required=True, help="Events from then on; ISO 8601 with an offset.")
@click.option("--until", "end", metavar="TIME", required=True, help="The end, excluded.")
@click.option("--source", help="Only of this source.")
@click.option("--filter", "filter_", metavar="JMESPATH", default="", help="Only events that match.")
@click.option("--dry-run", is_flag=True, help="Only print how many.")
@pass_project
def replay(
    project: Project, /, name: str, start: str, end: str, source: str | None, filter_: str, dry_run: bool
) -> None:
    """Make a new delivery for each archived event of a range that the destination wants.

    Example:
      carboy archive destinations replay siem --from 2026-01-01T00:00:00Z --until 2026-01-02T00:00:00Z --dry-run
    """
    from carboy.services.archive.destinations.operations import read_range
    from carboy.services.archive.sources import source_names

    body = {"from": start, "until": end, "filter": filter_, **({"source": source} if source else {})}
    with open_archive(project) as archive:
        destination = archive.destinations.get(name)
        chosen = read_range(body, source_names(archive.settings.archive_sources))
        count = archive.destinations.replayer.count(chosen, destination)
        if not dry_run and count:
            archive.destinations.replayer.start(chosen, destination)
    click.echo(f"{count} events would be replayed" if dry_run else f"{count} events are replayed")
