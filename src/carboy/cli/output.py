"""Print what a command found: one JSON document, or a table for a person."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
import orjson

from carboy.clock import from_unix_ms

__all__ = ["json_option", "print_json", "print_table", "time_text"]

Callback = TypeVar("Callback", bound=Callable[..., Any])


def json_option(function: Callback) -> Callback:
    """Give a command `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(function)


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
    click.echo(orjson.dumps(document, default=str, option=options), nl=False)


def print_table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print aligned columns on stdout; nothing but the titles where there are no rows."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(titles), *cells]) for column in range(len(titles))]
    for row in [list(titles), *cells]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def time_text(at_ms: int | None) -> str | None:
    """Return a time as RFC 3339 has it, in UTC and to the second; None for none."""
    return None if at_ms is None else f"{from_unix_ms(at_ms):%Y-%m-%dT%H:%M:%SZ}"


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case Mapping() | list() | tuple():
            return orjson.dumps(value, default=str).decode()
    return " ".join(str(value).split())
