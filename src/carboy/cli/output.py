"""Print the results of commands: one JSON document, or a table; with colours and column widths."""

import difflib
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, TypeVar

import click
import orjson

from carboy.clock import from_unix_ms
from carboy.config.environ import read_environ

Style = Literal["bold", "red", "green", "yellow", "cyan"]

_LEAST_WIDTH = 8

Callback = TypeVar("Callback", bound=Callable[..., Any])


def json_option(function: Callback) -> Callback:
    """Give a command `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(function)


def options(*several: Callable[[Callback], Callback]) -> Callable[[Callback], Callback]:
    """Return a decorator that gives a command several options, which its help shows in this order."""

    def decorate(function: Callback) -> Callback:
        for option in reversed(several):
            function = option(function)
        return function

    return decorate


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
    click.echo(orjson.dumps(document, default=str, option=options), nl=False)


def print_records(
    records: Sequence[Mapping[str, Any]], columns: Mapping[str, str] | Sequence[str], *, as_json: bool
) -> None:
    """Print records as one JSON document, or some of their keys as a table.

    Args:
        records: each with all the keys.
        columns: the title of each key; of keys alone the title is the key in upper case, with blanks for `_`.
        as_json: whether it is a document.
    """
    if as_json:
        print_json(records)
        return
    titles = columns if isinstance(columns, Mapping) else {key: key.replace("_", " ").upper() for key in columns}
    print_table(list(titles.values()), [[one[key] for key in titles] for one in records])


def print_table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print aligned columns on stdout; without rows the titles, and on stderr that there is nothing.

    On a terminal the columns fit its width: columns without a value are left out, then the widest ones are cut, with
    `…`; the first, which names the row in further commands, last. In a pipe nothing is cut.
    """
    cells = [list(titles), *([show_value(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    if sys.stdout.isatty():
        cells, widths = _fit(cells, widths, shutil.get_terminal_size().columns)
    for number, row in enumerate(cells):
        line = "  ".join(_cut(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(paint(line, "bold") if number == 0 else line)
    if len(cells) == 1:
        note("there are none")


def _fit(cells: list[list[str]], widths: list[int], room: int) -> tuple[list[list[str]], list[int]]:
    gap = 2
    if len(cells) > 1 and sum(widths) + gap * (len(widths) - 1) > room:
        kept = [at for at in range(len(widths)) if at == 0 or any(row[at] not in {"", "-"} for row in cells[1:])]
        cells, widths = [[row[at] for at in kept] for row in cells], [widths[at] for at in kept]
    left = room - widths[0] - gap
    fitted = [widths[0], *fit_widths(widths[1:], left)]
    is_fitted = sum(fitted) + gap * (len(fitted) - 1) <= room
    return cells, fitted if is_fitted else fit_widths(widths, room)


def fit_widths(widths: Sequence[int], room: int) -> list[int]:
    """Return widths of columns, two spaces apart, that fit a line: the widest are made narrower, down to 8."""
    fitted = list(widths)
    for _ in range(sum(widths)):
        widest = max(range(len(fitted)), key=lambda column: fitted[column])
        if sum(fitted) + 2 * (len(fitted) - 1) <= room or fitted[widest] <= _LEAST_WIDTH:
            break
        fitted[widest] -= 1
    return fitted


def paint(text: str, style: Style, *, err: bool = False) -> str:
    """Return text in a colour or in bold where a person sees it: on a terminal, and without `NO_COLOR`."""
    stream, environ = (sys.stderr if err else sys.stdout), read_environ()
    if not stream.isatty() or environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return text
    return click.style(text, bold=True) if style == "bold" else click.style(text, fg=style)


def note(text: str) -> None:
    """Print a line for the operator on stderr; a closed stderr is ignored."""
    with suppress(BrokenPipeError):
        click.echo(text, err=True)


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is nearest to a misspelt one; None where none is near."""
    return next(iter(difflib.get_close_matches(name, list(known), 1, cutoff)), None)


def time_text(at_ms: int | None) -> str | None:
    """Return a time as RFC 3339 has it, in UTC and to the second; None for none."""
    return None if at_ms is None else f"{from_unix_ms(at_ms):%Y-%m-%dT%H:%M:%SZ}"


def _cut(cell: str, width: int) -> str:
    return cell.ljust(width) if len(cell) <= width else cell[: width - 1] + "…"


def show_value(value: Any) -> str:
    """Return a value in one line: a list of texts with commas, other lists and tables as JSON, `-` for none."""
    match value:
        case None:
            return "-"
        case list() | tuple() if value and all(isinstance(each, str) for each in value):
            return ", ".join(value)
        case Mapping() | list() | tuple():
            return orjson.dumps(value, default=str).decode()
    return " ".join(str(value).split())
