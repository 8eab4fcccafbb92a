"""Lists as files: CSV that spreadsheets open without harm, and JSON by lines."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import orjson
from flask import Response

from carboy.problems import Problem
from carboy.web.console.forms import left_out

Download = Literal["csv", "ndjson"]
DOWNLOADS: tuple[Download, ...] = ("csv", "ndjson")
_TYPES = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def make_download(name: str, form: Download, fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Response:
    """Return a file of rows, written row by row.

    Args:
        name: of the file, without its ending.
        form: `csv` or `ndjson`.
        fields: the columns of a CSV file, in this order.
        rows: each with all the fields.

    Raises:
        Problem: 422, where a filter could not be read: a file does not say so, as a page does.
    """
    if names := left_out():
        raise Problem(422, f"a filter cannot be read: {', '.join(names)}")
    lines = _csv(fields, rows) if form == "csv" else _ndjson(rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
    return Response(lines, headers=headers, content_type=_TYPES[form])


def _ndjson(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    for row in rows:
        yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _csv(fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(fields)
    for row in rows:
        writer.writerow([_cell(row[field]) for field in fields])
        yield out.getvalue().encode()
        out.seek(0)
        out.truncate()
    yield out.getvalue().encode()


def _cell(value: Any) -> Any:
    """Return a cell; a text that a spreadsheet would take for a formula begins with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
