"""Write the reference pages of the documentation: `python -m docs.tools.reference [--check]`.

Each page of `docs/reference` comes from what it describes: the commands' help, the declared settings, the OpenAPI
documents, and the source itself. With `--check` nothing is written, and a page that is stale ends it with code 1.
"""

from collections.abc import Callable
from pathlib import Path

import click
from docs.tools.reference.commands import commands, render_cli
from docs.tools.reference.errors import render_errors
from docs.tools.reference.http import render_http
from docs.tools.reference.observability import render_events, render_logs, render_metrics
from docs.tools.reference.senders import render_senders
from docs.tools.reference.settings import render_settings
from docs.tools.reference.sms_codes import render_sms_codes

__all__ = ["PAGES", "commands", "main", "render_cli", "render_errors", "render_settings", "stale_pages", "write_pages"]

PAGES: dict[str, Callable[[], str]] = {
    "cli.md": render_cli,
    "settings.md": render_settings,
    "errors.md": render_errors,
    "http.md": render_http,
    "metrics.md": render_metrics,
    "logs.md": render_logs,
    "events.md": render_events,
    "senders.md": render_senders,
    "sms-codes.md": render_sms_codes,
}
"""What writes each page."""


def stale_pages(folder: Path) -> list[str]:
    """Return the names of the pages in a folder that do not say what the code says."""
    return [
        name
        for name, render in PAGES.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != render()
    ]


def write_pages(folder: Path) -> None:
    """Write the pages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, render in PAGES.items():
        (folder / name).write_text(render(), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write the pages into `docs/reference`, or check them; return the exit code."""
    folder = Path("docs/reference")
    if arguments != ["--check"]:
        write_pages(folder)
        return 0
    stale = stale_pages(folder)
    for name in stale:
        click.echo(f"{folder / name} is stale: run `python -m docs.tools.reference`", err=True)
    return int(bool(stale))
