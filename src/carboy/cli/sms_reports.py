"""`carboy sms list`, `stats`, `cancel` and `opt-outs`: what the gateway sent, and whom it must not write to."""

from typing import Any

import click

from carboy.cli.output import json_option, print_records
from carboy.cli.project import Project, pass_project
from carboy.cli.services import open_gateway
from carboy.errors import InvalidInput, Missing
from carboy.http_values import MAX_ID

_COLUMNS = ("id", "receiver", "country", "template", "state", "provider", "segments", "reference", "created_at")


@click.command("list")
@click.option("--template", help="Only of this template.")
@click.option("--provider", help="Only of this provider.")
@click.option("--state", help="Only in this state, such as failed.")
@click.option("--country", help="Only to this country, such as CN.")
@click.option("--reference", help="Only with the caller's reference.")
@click.option("--from", "begin", metavar="TIME", help="Accepted from then on: ISO 8601 with an offset.")
@click.option("--until", metavar="TIME", help="Accepted before.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="The maximum number.")
@json_option
@pass_project
def list_(project: Project, /, begin: str | None, until: str | None, limit: int, as_json: bool, **chosen: Any) -> None:
    """List messages, newest first.

    Example:
      carboy sms list --state failed --from 2026-01-31T00:00:00Z
    """
    from carboy.services.sms.gateway import describe_message
    from carboy.services.sms.states import STATES
    from carboy.services.sms.tables import MESSAGES

    if chosen["state"] not in {None, *STATES}:
        raise click.BadParameter(f"there is no such state; there are {', '.join(STATES)}", param_hint="--state")
    from_ms, until_ms = _read_time(begin, "--from"), _read_time(until, "--until")
    with open_gateway(project) as gateway:
        rows = gateway.records.newest(MESSAGES, chosen, from_ms=from_ms, until_ms=until_ms, limit=limit)
    found = [describe_message(row) for row in rows]
    print_records(found, _COLUMNS, as_json=as_json)


@click.command("stats")
@click.option("--from", "begin", metavar="DAY", help="The first day, UTC.  [default: 30 days are counted]")
@click.option("--until", metavar="DAY", help="The day after the last.  [default: tomorrow]")
@click.option("--group", metavar="NAMES", help="Any of day, template, provider, country, state, with commas.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@pass_project
def stats(
    project: Project, begin: str | None, until: str | None, group: str | None, as_csv: bool, as_json: bool
) -> None:
    """Show statistics: messages, parts, cost, delivery times, codes entered.

    Example:
      carboy sms stats --from 2026-01-01 --until 2026-02-01 --group provider,country
    """
    from carboy.services.sms.statistics import FIGURES, read_statistics_query
    from carboy.services.sms.statistics import as_csv as to_csv

    with open_gateway(project) as gateway:
        query = read_statistics_query(begin, until, group, gateway.clock.now_ms())
        figures = gateway.statistics.figures(query)
    if as_csv and not as_json:
        click.echo(to_csv(query, figures), nl=False)
    else:
        print_records(figures, (*query.groups, *FIGURES), as_json=as_json)


@click.command("cancel")
@click.argument("sms_id", metavar="ID")
@pass_project
def cancel(project: Project, sms_id: str) -> None:
    """Cancel a request or a message that is not sent yet.

    Example:
      carboy sms cancel 7529845821700098482
    """
    if not (sms_id.isascii() and sms_id.isdigit()):
        raise click.BadParameter("an id has digits only", param_hint="ID")
    with open_gateway(project) as gateway:
        found = gateway.cancel(min(int(sms_id), MAX_ID))
    click.echo(f"canceled; {found.too_late} were sent or had ended before" if found.too_late else "canceled", err=True)


@click.group("opt-outs")
def opt_outs() -> None:
    """List and change the numbers that get no marketing messages.

    Example:
      carboy sms opt-outs add +8613800000000
      carboy sms opt-outs list
    """


@opt_outs.command("add")
@click.argument("number", metavar="NUMBER")
@pass_project
def add(project: Project, number: str) -> None:
    """Opt a number out.

    Example:
      carboy sms opt-outs add +8613800000000
    """
    from carboy.services.sms.opt_outs import OptOut, opt_out

    with open_gateway(project) as gateway:
        receiver = _read_number(gateway, number)
        is_new = gateway.writer.run(opt_out, OptOut(receiver, "api", None, gateway.clock.now_ms()))
    click.echo(f"{receiver.shown} {'has opted out' if is_new else 'had opted out before'}", err=True)


@opt_outs.command("remove")
@click.argument("number", metavar="NUMBER")
@pass_project
def remove(project: Project, number: str) -> None:
    """Opt a number in again.

    Example:
      carboy sms opt-outs remove +8613800000000
    """
    from carboy.services.sms.opt_outs import opt_in

    with open_gateway(project) as gateway:
        receiver = _read_number(gateway, number)
        if not gateway.writer.run(opt_in, receiver.e164):
            raise Missing(receiver.shown, "the number has not opted out", "see: carboy sms opt-outs list")
    click.echo(f"{receiver.shown} gets marketing messages again", err=True)


@opt_outs.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="The maximum number.")
@json_option
@pass_project
def list_opt_outs(project: Project, limit: int, as_json: bool) -> None:
    """List the numbers, newest first.

    Example:
      carboy sms opt-outs list --json
    """
    from carboy.services.sms.operations import describe_opt_out
    from carboy.services.sms.tables import OPT_OUTS

    with open_gateway(project) as gateway:
        found = [describe_opt_out(row) for row in gateway.records.newest(OPT_OUTS, {}, limit=limit)]
    print_records(found, ("receiver", "reason", "provider", "at"), as_json=as_json)


def add_commands(group: click.Group) -> None:
    """Add these commands to `carboy sms`."""
    for one in (list_, stats, cancel, opt_outs):
        group.add_command(one)


def _read_number(gateway: Any, text: str) -> Any:
    from carboy.services.sms.numbers import parse_number

    return parse_number(text, gateway.rules.numbers.of_look_ups)


def _read_time(text: str | None, option: str) -> int | None:
    from carboy.http_values import parse_query_time

    if text is None:
        return None
    try:
        return parse_query_time(text)
    except ValueError as error:
        raise InvalidInput(f"{option} cannot be read", str(error), "such as 2026-01-31T00:00:00Z") from error
