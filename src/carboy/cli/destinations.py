"""`carboy archive destinations`: who receives what the archive keeps, from a terminal."""

import sys
from typing import Any

import click

from carboy.cli.output import json_option, print_json, print_records, print_table
from carboy.cli.project import Project, pass_project
from carboy.cli.services import open_archive, range_options, read_range
from carboy.errors import InvalidInput, UpstreamError
from carboy.http_values import MAX_ID

NAME = click.argument("name", metavar="NAME")


@click.group("destinations")
def command() -> None:
    """List, pause, retry and test destinations.

    Example:
      carboy archive destinations list
      carboy archive destinations retry siem
    """


@command.command("list")
@json_option
@pass_project
def list_(project: Project, as_json: bool) -> None:
    """List the destinations with their state.

    Example:
      carboy archive destinations list
    """
    with open_archive(project) as (_, archive):
        found = [archive.destinations.describe(name) for name in archive.destinations.names()]
    columns = {key: key.upper() for key in ("name", "kind", "state", "waiting", "failed")}
    columns |= {"oldest_waiting_s": "OLDEST_S", "success_rate": "SUCCESS", "p95_ms": "P95_MS"}
    print_records(found, columns, as_json=as_json)


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
    with open_archive(project) as (_, archive):
        if name.isdigit():
            delivery = archive.destinations.delivery(min(int(name), MAX_ID))
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

    with open_archive(project) as (_, archive):
        attempt = archive.destinations.test(name)
    described = describe_attempt(attempt)
    if as_json:
        print_json(described)
    else:
        print_table(("KEY", "VALUE"), list(described.items()))
    if not attempt.is_delivered:
        raise click.exceptions.Exit(UpstreamError.exit_code)


@command.command()
@NAME
@pass_project
def pause(project: Project, name: str) -> None:
    """Pause a destination; its deliveries wait.

    Example:
      carboy archive destinations pause siem
    """
    with open_archive(project) as (_, archive):
        archive.destinations.pause(name)
    click.echo(f"{name} is paused")


@command.command()
@NAME
@pass_project
def resume(project: Project, name: str) -> None:
    """Resume a paused destination.

    Example:
      carboy archive destinations resume siem
    """
    with open_archive(project) as (_, archive):
        archive.destinations.resume(name)
    click.echo(f"{name} is active")


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
    with open_archive(project) as (_, archive):
        if name.isdigit():
            count = archive.destinations.retry_delivery(min(int(name), MAX_ID))
        else:
            count = archive.destinations.retry(name, state)
    click.echo(f"{count} will be tried again")


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
    with open_archive(project) as (_, archive):
        count = archive.destinations.describe(name)["waiting"]
        if dry_run:
            click.echo(f"{count} deliveries would be dropped")
            return
        if count and not yes and sys.stdin.isatty():
            click.confirm(f"drop {count} deliveries?", abort=True, err=True)
        click.echo(f"{archive.destinations.drop(name)} deliveries were dropped")


@command.command()
@NAME
@range_options
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
    with open_archive(project) as (_, archive):
        destination = archive.destinations.get(name)
        chosen = read_range(archive, start, end, source, filter_)
        count = archive.destinations.replayer.count(chosen, destination)
        if not dry_run and count:
            archive.destinations.replayer.start(chosen, destination)
    click.echo(f"{count} events would be replayed" if dry_run else f"{count} events are replayed")
