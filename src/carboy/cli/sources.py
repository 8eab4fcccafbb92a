"""`carboy archive senders` and `carboy archive source`: the senders of webhooks from a terminal."""

from base64 import b64encode

import click

from carboy.cli.output import json_option, print_json, print_table, time_text
from carboy.cli.project import Project, pass_project

__all__ = ["refused", "senders"]

_OWNERS = {"sender": "the sender", "you": "you", "exchange": "the sender, in an exchange", "none": "–"}


@click.command()
@json_option
def senders(as_json: bool) -> None:
    """List the senders that are known by name, with what a source of each needs.

    Example:
      carboy archive senders --json | jq '.[] | select(.name == "github")'
    """
    from carboy.webhooks import list_presets

    presets = list_presets()
    if as_json:
        names = ("name", "title", "needs", "secret", "enter", "docs", "note")
        print_json([{**{key: getattr(one, key) for key in names}, "keys": dict(one.keys)} for one in presets])
        return
    rows = [(one.name, one.title, str(one.keys["verify"]), one.needs, _OWNERS[one.secret]) for one in presets]
    print_table(("NAME", "SENDER", "VERIFY", "NEEDS", "WHO MAKES IT"), rows)


@click.command()
@click.option("--source", default="", help="Only of this source.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many.")
@json_option
@pass_project
def refused(project: Project, source: str, limit: int, as_json: bool) -> None:
    """List the newest requests that sources refused, newest first; the last 1000 are kept.

    Example:
      carboy archive refused --source github
    """
    from carboy.services.archive.service import refused_requests

    runtime = project.runtime()
    try:
        found = refused_requests(runtime).newest(source, limit)
    finally:
        runtime.close()
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
