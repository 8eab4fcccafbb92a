"""`carboy archive senders` and `carboy archive source`: the senders of webhooks from a terminal."""

import sys
from base64 import b64encode

import click

from carboy.cli.output import json_option, print_json, print_table, time_text
from carboy.cli.project import Project, pass_project
from carboy.cli.services import open_archive
from carboy.errors import Missing, Unreachable, UsageError

_OWNERS = {"sender": "the sender", "you": "you", "exchange": "the sender, in an exchange", "none": "–"}


@click.command()
@json_option
def senders(as_json: bool) -> None:
    """List the webhook senders that have a preset.

    Example:
      carboy archive senders --json | jq '.[] | select(.name == "github")'
    """
    from carboy.webhooks import list_presets

    presets = list_presets()
    if as_json:
        names = ("name", "title", "needs", "secret", "enter", "docs", "checked", "evidence", "note")
        print_json([{**{key: getattr(one, key) for key in names}, "keys": dict(one.keys)} for one in presets])
        return
    rows = [
        (one.name, one.title, str(one.keys["verify"]), one.needs, _OWNERS[one.secret], one.checked) for one in presets
    ]
    print_table(("NAME", "SENDER", "VERIFY", "NEEDS", "WHO MAKES IT", "CHECKED"), rows)


@click.command()
@click.option("--source", default="", help="Only of this source.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="The maximum number.")
@json_option
@pass_project
def refused(project: Project, source: str, limit: int, as_json: bool) -> None:
    """List refused requests, newest first; the last 1000 are kept.

    Example:
      carboy archive refused --source github
    """
    from carboy.services.archive.refusals import RefusedRequests

    with open_archive(project) as (runtime, _):
        found = RefusedRequests(runtime).newest(source, limit)
    names = ("source", "reason", "status", "address", "size", "detail")
    rows = [{"at": time_text(one.at_ms), **{name: getattr(one, name) for name in names}} for one in found]
    if not as_json:
        print_table(("TIME", *(name.upper() for name in names)), [list(row.values()) for row in rows])
        return
    for row, one in zip(rows, found, strict=True):
        row |= {"id": str(one.id), "request_id": one.request_id}
        if one.body is not None:
            row |= {"headers": one.headers, "body_base64": b64encode(one.body).decode()}
    print_json(rows)


@click.group("source")
def source_group() -> None:
    """Add and test webhook sources.

    Example:
      carboy archive source add shop --preset shopify
      carboy archive source test shop
    """


@source_group.command("add")
@click.argument("name", metavar="NAME")
@click.option("--preset", required=True, help="The sender; `carboy archive senders` lists them.")
@click.option("--url", default="https://YOUR-HOST", show_default=True, help="This service's public address.")
@click.option("--reference", default="", help="Where the secret is, such as aws-secretsmanager:/prod/shop#webhook.")
@click.option("--secret-stdin", is_flag=True, help="Read the secret that the sender made from stdin.")
@json_option
@pass_project
def add(project: Project, /, name: str, preset: str, secret_stdin: bool, as_json: bool, **asked: str) -> None:
    """Add a source to carboy.toml, and print what to enter at the sender.

    A secret or path token that you make is random, and kept in a file that only you can read. The lines and comments
    that carboy.toml has stay as they are.

    Example:
      carboy archive source add shop --preset shopify --reference aws-secretsmanager:/prod/shop#webhook
      carboy archive source add repos --preset github --url https://hooks.example.com
    """
    from carboy.config.files import find_toml
    from carboy.services.archive.source_tables import PLACEHOLDER, add_source, plan_source
    from carboy.webhooks import find_preset, nearest_preset

    known = find_preset(preset)
    if known is None:
        near = nearest_preset(preset)
        hint = f"did you mean `{near}`?" if near else "`carboy archive senders` lists them"
        raise UsageError("the source was not added", f"no preset is named `{preset}`", hint)
    sources = project.sources()
    toml = find_toml(sources.folder, sources.environ.get("CARBOY_TOML") or sources.dotenv.get("CARBOY_TOML"))
    secret = sys.stdin.read().strip() if secret_stdin else ""
    if secret_stdin and not secret:
        raise UsageError("the source was not added", "stdin has no secret", 'printf %s "$SECRET" | carboy archive …')
    new = plan_source(name, known, root=sources.folder, secret=secret, **asked)
    add_source(toml or sources.folder / "carboy.toml", new)
    facts = {
        "source": name,
        "address": new.address,
        "secret": new.secret,
        "handshake_secret": new.handshake_secret,
        "enter": f"{known.title}: {known.enter}",
        "docs": known.docs,
        "missing": str(new.missing or ""),
        "note": known.note,
    }
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        if value and key != "missing":
            click.echo(f"{key.replace('_', ' ') + ':':<18}{value}")
    if new.missing:
        click.echo(f"note: write the secret that the sender shows into {new.missing}", err=True)
    if known.needs == "audience" and PLACEHOLDER in new.address:
        click.echo("note: the token is for this address: write it into `audience` once the host is known", err=True)
    if known.needs == "SNS_TOPIC_ARNS":
        click.echo("note: list the topic in SNS_TOPIC_ARNS", err=True)
    if known.signs_address and PLACEHOLDER in new.address:
        click.echo("note: the address is signed: behind a proxy, set public_url to its scheme and host", err=True)


@source_group.command("test")
@click.argument("name", metavar="NAME")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="Where the service answers.")
@json_option
@pass_project
def test(project: Project, name: str, url: str, as_json: bool) -> None:
    """Send a sample event, signed with the source's own secret, to the running service; exit 1 when it is refused.

    Example:
      carboy archive source test shop
    """
    from carboy import net
    from carboy.clock import SYSTEM_CLOCK
    from carboy.services.archive.settings import ArchiveSettings
    from carboy.services.archive.source_tables import sample_request
    from carboy.services.archive.sources import make_sources

    tables = project.settings(ArchiveSettings).part(ArchiveSettings).archive_sources
    if name not in tables:
        raise Missing(f"`{name}`", f"no source is named so; there are {', '.join(tables) or 'none'}", "check the name")
    sent = sample_request(make_sources(tables)[name], url, SYSTEM_CLOCK.now_ms())
    headers = {header: value.encode() for header, value in sent.headers.items()}  # a secret may have any letters
    try:
        response = net.post(sent.url, data=sent.body, headers=headers, timeout=10)
    except OSError as error:  # requests' errors are such
        raise Unreachable(
            "the sample was not sent", f"nothing answers at {url}", "start the service, or name `--url`"
        ) from error
    is_accepted = 200 <= response.status_code < 300
    if as_json:
        print_json({"source": name, "accepted": is_accepted, "status": response.status_code, "response": response.text})
    else:
        click.echo(f"{response.status_code} {response.text.strip()}")
    if not is_accepted:
        raise click.exceptions.Exit(1)
