"""Write the reference pages of the documentation: `python -m carboy.cli.reference [--check]`.

In `docs/reference`, `cli.md` comes from the commands' own help, `settings.md` from the declared settings, `errors.md`
from the tree of errors. With `--check` nothing is written, and a page that is stale ends it with code 1.
"""

import inspect
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from carboy import errors
from carboy.errors import CarboyError

__all__ = ["render_cli", "render_errors", "render_settings", "stale_pages", "write_pages"]

_HEAD = "<!-- made by `python -m carboy.cli.reference`; do not edit -->\n\n"


def render_cli() -> str:
    """Return the page of the commands: the help of each."""
    lines = [f"{_HEAD}# Commands\n"]
    for path, command in commands():
        context = click.Context(command, info_name=" ".join(path), max_content_width=100, terminal_width=100)
        lines += [
            f"{'##' if len(path) < 3 else '###'} `{' '.join(path)}`\n",
            "```text",
            command.get_help(context),
            "```\n",
        ]
    return "\n".join(lines)


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


def render_settings() -> str:
    """Return the page of the settings: a table for each part."""
    from carboy.config import Setting, read_sources, settings_of
    from carboy.config.base import BaseSettings
    from carboy.serve import ServeSettings
    from carboy.web import settings_parts

    with tempfile.TemporaryDirectory() as empty:
        parts = settings_parts(read_sources(folder=Path(empty), environ={}))
    by_part: dict[str, list[Setting]] = {}
    for part in (BaseSettings, *parts, ServeSettings):
        for item in settings_of(part):
            by_part.setdefault(item.part, []).append(item)
    lines = [
        f"{_HEAD}# Settings\n",
        "Each name is an environment variable (also with `FLASK_` before it), a line of `.env`, a key of `app.config`,",
        "and in lower case an entry of `carboy.toml`.\n",
    ]
    for name, items in by_part.items():
        lines += [f"## {name}\n", "| setting | default | what |", "| --- | --- | --- |"]
        lines += [f"| `{item.name}` | {_default(item)} | {_what(item)} |" for item in items]
        lines.append("")
    return "\n".join(lines)


def render_errors() -> str:
    """Return the page of the errors: each class, what it means, the exit code of a command that ends with it."""
    lines = [
        f"{_HEAD}# Errors\n",
        "Every error that is raised on purpose says what happened, why, and what to do.\n",
        "| class | exit code | meaning |",
        "| --- | --- | --- |",
    ]
    for kind in (getattr(errors, name) for name in errors.__all__):
        if isinstance(kind, type) and issubclass(kind, CarboyError):
            base = kind.__mro__[1].__name__
            under = "" if base == "Exception" else f" (a `{base}`)"
            meaning = " ".join(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].split())
            lines.append(f"| `{kind.__name__}`{under} | {kind.exit_code} | {_cell(meaning)} |")
    return "\n".join(lines) + "\n"


def stale_pages(folder: Path) -> list[str]:
    """Return the names of the pages in a folder that do not say what the code says."""
    return [
        name
        for name, text in _pages().items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]


def write_pages(folder: Path) -> None:
    """Write the pages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def _pages() -> dict[str, str]:
    return {"cli.md": render_cli(), "settings.md": render_settings(), "errors.md": render_errors()}


def _default(item: Any) -> str:
    from carboy.config import REQUIRED, Derived, render

    match item.default:
        case required if required is REQUIRED:
            return "required"
        case Derived(text=text):
            return _cell(text)
        case None | "" | () | []:
            return "–"
        case value:
            text = render(value)
            return f"`{_cell(', '.join(map(str, text)) if isinstance(text, list) else str(text))}`"


def _what(item: Any) -> str:
    unit = f", {item.unit}" if item.unit else ""
    secret = "; secret" if item.is_secret else ""
    return _cell(f"{item.help}{unit}{secret}")


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Write the pages into `docs/reference`, or check them; return the exit code."""
    folder = Path("docs/reference")
    if arguments != ["--check"]:
        write_pages(folder)
        return 0
    stale = stale_pages(folder)
    for name in stale:
        click.echo(f"{folder / name} is stale: run `python -m carboy.cli.reference`", err=True)
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
