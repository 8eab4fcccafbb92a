"""`carboy sms providers`: who carries messages, how well; take one out of turn and put it back."""

import getpass

import click

from carboy.cli.output import json_option, print_json, print_table
from carboy.cli.project import Project, pass_project
from carboy.cli.services import open_gateway


@click.group("providers", invoke_without_command=True)
@json_option
@pass_project
@click.pass_context
def providers(ctx: click.Context, project: Project, as_json: bool) -> None:
    """List the SMS providers in the order in which they are tried.

    Example:
      carboy sms providers --json
      carboy sms providers out aliyun
      carboy sms providers back aliyun
    """
    if ctx.invoked_subcommand is not None:
        return
    from carboy.services.sms.provider_reports import describe_providers

    with open_gateway(project) as gateway:
        reports = {one["name"]: one for one in describe_providers(gateway)}
        found = [
            {
                "name": route.name,
                "kind": route.kind,
                "needs": route.traits.needs,
                "max_receivers": route.traits.max_receivers,
                "templates": [name for name, carriers in gateway.rules.carriers.items() if route.name in carriers],
                "receipts": bool(route.callback),
                **{name: value for name, value in reports[route.name].items() if name != "calls"},
            }
            for route in gateway.dispatcher.routes.values()
        ]
    if as_json:
        print_json(found)
        return
    titles = ("NAME", "KIND", "SHARE", "HEALTH", "OUT SINCE", "BALANCE", "TEMPLATES")
    print_table(
        titles,
        [
            (
                one["name"],
                one["kind"],
                f"{one['share']:.0%}",
                f"{one['health']:.0%}",
                one["out_since"],
                one["balance"] and f"{one['balance']['amount']:.2f} {one['balance']['unit']}",
                one["templates"],
            )
            for one in found
        ],
    )
    for one in found:
        if one["health_reason"]:
            click.echo(f"{one['name']}: {one['health_reason']}", err=True)


@providers.command("out")
@click.argument("name")
@pass_project
def out(project: Project, name: str) -> None:
    """Take a provider out of rotation; calls under way finish.

    Example:
      carboy sms providers out aliyun
    """
    _turn(project, name, is_out=True)
    click.echo(f"{name} gets no messages until: carboy sms providers back {name}", err=True)


@providers.command("back")
@click.argument("name")
@pass_project
def back(project: Project, name: str) -> None:
    """Put a provider back into rotation.

    Example:
      carboy sms providers back aliyun
    """
    _turn(project, name, is_out=False)
    click.echo(f"{name} gets messages again", err=True)


def _turn(project: Project, name: str, *, is_out: bool) -> None:
    from carboy.services.sms.provider_reports import turn_provider

    with open_gateway(project) as gateway:
        turn_provider(gateway, name, getpass.getuser(), is_out=is_out)
