"""`carboy sms`: the gateway from a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from carboy.cli.output import json_option, print_json, print_records, print_table
from carboy.cli.project import Project, pass_project
from carboy.cli.services import open_gateway
from carboy.cli.sms_providers import providers
from carboy.cli.sms_reports import add_commands
from carboy.errors import InvalidInput, Missing, UpstreamError, UsageError
from carboy.http_values import MAX_ID

if TYPE_CHECKING:
    from carboy.services.sms import Gateway
    from carboy.services.sms.requests import SendRequest


@click.group("sms")
def command() -> None:
    """Send messages and show their state, statistics and providers.

    Example:
      carboy sms send +8613800000000 --template captcha --param code=1234 --dry-run
      carboy sms providers
    """


@command.command("send")
@click.argument("receivers", nargs=-1, required=True, metavar="NUMBER...")
@click.option("--template", "-t", required=True, help="A template from SMS_TEMPLATES.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter of the template; repeatable.")
@click.option("--provider", help="The only one that may carry it.  [default: as SMS_PROVIDER says]")
@click.option("--dry-run", is_flag=True, help="Show the provider, text and parts without sending.")
@json_option
@pass_project
@click.pass_context
def send(
    ctx: click.Context,
    project: Project,
    /,
    receivers: tuple[str, ...],
    template: str,
    params: tuple[str, ...],
    provider: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send a message and wait for the result; exit 4 if no provider accepts it.

    Example:
      carboy sms send +8613800000000 --template captcha --param code=1234
      carboy sms send +8613800000000 --template captcha --param code=1234 --dry-run
    """
    from carboy.services.sms.requests import read_send

    body = {"receivers": list(receivers), "template": template, "params": _read_params(params)}
    with open_gateway(project) as gateway:
        wanted = read_send({**body, **({"provider": provider} if provider else {})}, gateway.rules)
        if dry_run:
            _show_plan(gateway, wanted, as_json=as_json)
            return
        accepted = gateway.submit(wanted, "")
        _send_now(gateway, accepted.row)
        messages = _show(gateway, accepted.row, as_json=as_json)
    if any(one["state"] == "failed" for one in messages):
        ctx.exit(UpstreamError.exit_code)


@command.command("status")
@click.argument("sms_id", metavar="ID")
@json_option
@pass_project
def status(project: Project, sms_id: str, as_json: bool) -> None:
    """Show a request and its messages.

    Example:
      carboy sms status 7529845821700098482
    """
    if not (sms_id.isascii() and sms_id.isdigit()):
        raise UsageError(f"`{sms_id}` is no id", "an id has digits only", "it is the `id` of the answer")
    with open_gateway(project) as gateway:
        _show(gateway, min(int(sms_id), MAX_ID), as_json=as_json)


@command.command("templates")
@json_option
@pass_project
def templates(project: Project, as_json: bool) -> None:
    """List the message templates.

    Example:
      carboy sms templates
    """
    with open_gateway(project) as gateway:
        found = [
            {
                "name": one.name,
                "params": list(one.params),
                "otp": one.otp,
                "providers": list(gateway.rules.carriers[one.name]),
                "text": one.text or None,
            }
            for one in gateway.rules.templates.values()
        ]
    print_records(found, ("name", "params", "otp", "providers", "text"), as_json=as_json)


def _read_params(given: Sequence[str]) -> dict[str, str]:
    params = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter("it is written NAME=VALUE", param_hint="--param")
        params[name] = value
    return params


def _show_plan(gateway: "Gateway", wanted: "SendRequest", *, as_json: bool) -> None:
    """Show what would be sent; the text itself too, as the person here wrote it."""
    names = gateway.dispatcher.candidates(wanted.template, wanted.provider, wanted.receivers[0].region)
    if not names:
        raise InvalidInput(
            "the text cannot be sent", "no provider that is configured can carry it", "see: carboy sms providers"
        )
    route = gateway.dispatcher.routes[names[0]]
    carried = wanted.template.at(route.name, route.kind) if route.traits.needs == "template_id" else None
    plan = {
        "provider": names[0],
        "then": names[1:],
        "template_id": carried.id_for(wanted.receivers[0].region) if carried else None,
        "text": None if wanted.personal else wanted.template.render(wanted.params) or None,
        "receivers": [
            {"receiver": one.shown, "segments": wanted.parts and wanted.parts[one.region == "CN"]}
            for one in wanted.receivers
        ],
    }
    if as_json:
        print_json(plan)
        return
    shown = {**plan, "then": ", ".join(names[1:]) or None}
    rows = [(name, shown[name]) for name in ("provider", "then", "template_id", "text")]
    print_table(("", "WOULD BE"), rows)
    print_table(("RECEIVER", "SEGMENTS"), [tuple(one.values()) for one in plan["receivers"]])  # type: ignore[union-attr]


def _send_now(gateway: "Gateway", row: int) -> None:
    """Do the work here; what cannot be sent now is left to the jobs of `carboy serve` or `carboy worker`."""
    from carboy.jobs import Later

    found = gateway.records.request(row)
    assert found is not None
    try:
        commit = gateway.dispatcher.send(row, [one.id for one in found[1]])
    except Later as error:
        click.echo(f"{error.why}: `carboy serve` or `carboy worker` goes on trying", err=True)
        return
    if commit is not None:
        gateway.writer.run(commit.apply, commit.item)


def _show(gateway: "Gateway", row: int, *, as_json: bool) -> list[dict[str, Any]]:
    from carboy.services.sms.gateway import describe_request

    found = gateway.records.request(row)
    if found is None:
        raise Missing(f"request {row}", "no request has that id", "check the id")
    document = describe_request(*found)
    messages: list[dict[str, Any]] = document["messages"]
    if as_json:
        print_json(document)
        return messages
    click.echo(f"request {document['id']}, template {document['template']}", err=True)
    names = ("id", "receiver", "state", "provider", "attempts", "segments", "provider_code", "provider_message")
    print_records(messages, names, as_json=False)
    return messages


add_commands(command)
command.add_command(providers)
