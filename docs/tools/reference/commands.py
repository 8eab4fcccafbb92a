"""The page of the commands: the help of each."""

from collections.abc import Iterator

import click
from docs.tools.reference.tables import page

__all__ = ["commands", "render_cli"]


def render_cli() -> str:
    """Return the page of the commands: the help of each."""
    parts = []
    for path, command in commands():
        context = click.Context(command, info_name=" ".join(path), max_content_width=100, terminal_width=100)
        parts += [
            f"{'##' if len(path) < 3 else '###'} `{' '.join(path)}`",
            f"```text\n{command.get_help(context)}\n```",
        ]
    return page("Commands", *parts)


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command with its full name, groups before what is in them."""
    from carboy.cli.main import cli

    def walk(path: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
        yield path, command
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=path[-1])
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                if below is not None and not below.hidden:
                    yield from walk((*path, name), below)

    yield from walk(("carboy",), cli)
