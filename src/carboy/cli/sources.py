"""`carboy archive senders` and `carboy archive source`: the senders of webhooks from a terminal."""

import click

from carboy.cli.output import json_option, print_json, print_table

__all__ = ["senders"]

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
