"""Print what a command found: one JSON document, or a table for a person."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
import orjson

__all__ = ["json_option", "print_json", "print_table"]

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
    click.get_binary_stream("stdout").write(orjson.dumps(document, default=str, option=options))


def print_table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print aligned columns on stdout; nothing but the titles where there are no rows."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(titles), *cells]) for column in range(len(titles))]
    for row in [list(titles), *cells]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case Mapping() | list() | tuple():
            return orjson.dumps(value, default=str).decode()
    return " ".join(str(value).split())
